"""Services that share a cluster, and when their requests come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

LONGEST_WAIT = 10.0
"""Seconds after which a request without a deadline is given up."""

MOST_WAITING = 1000
"""Requests of one service that may wait; who comes then is refused."""


@dataclass(frozen=True, slots=True)
class Poisson:
    """Requests come independently of each other, as of many users."""


@dataclass(frozen=True, slots=True)
class Bursty:
    """Requests come for ``on`` seconds, then none for ``off`` seconds; both are means of
    exponential times."""

    on: float
    off: float


@dataclass(frozen=True, slots=True)
class Diurnal:
    """More and fewer requests in turn, as by day and by night: a sine of ``period`` seconds, whose
    lowest rate is ``low`` times its highest one."""

    period: float
    low: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """Requests at recorded ``times``, in seconds from the beginning, again after ``duration``."""

    times: tuple[float, ...]
    duration: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.times) / self.duration


Arrivals = Poisson | Bursty | Diurnal | Recorded


@dataclass(frozen=True, slots=True)
class Service:
    """A model that is asked ``rate`` times a second in the mean.

    ``deadline``: seconds after which nobody wants the answer any more; None: there is none.
    ``priority``: how much more its requests count than those of a service of priority 1.
    """

    name: str
    model: str
    rate: float
    deadline: float | None = None
    priority: float = 1.0
    arrivals: Arrivals = field(default_factory=Poisson)


@dataclass(frozen=True)
class Workload:
    """``longest_wait``: seconds after which a request without a deadline is given up;
    ``most_waiting``: requests of one service that may wait."""

    services: Sequence[Service]
    longest_wait: float = LONGEST_WAIT
    most_waiting: int = MOST_WAITING

    @cached_property
    def limits(self) -> tuple[float, ...]:
        """By service: the seconds after which a request that has not begun is given up."""
        return tuple(service.deadline or self.longest_wait for service in self.services)

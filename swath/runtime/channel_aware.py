"""Taking, before each request, the plan that suits what the source's uplink carries now.

All plans of a table are installed at the beginning; to change the plan is to send the next request
under another one's version.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from swath.planners.rate_table import Band, RateTable

Rate = Callable[[], float]
"""Bytes/s of the source's uplink now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Which band of the table the next ``requests`` requests took, at what rate (bytes/s), and the
    seconds that it took to choose it once the rate was known."""

    band: int
    rate: float
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """Which plan was taken when."""

    table: RateTable
    taken: tuple[Taken, ...]

    @property
    def changes(self) -> int:
        """How often another plan was taken than before."""
        bands = [each.band for each in self.taken]
        return sum(one != other for one, other in pairwise(bands))

    @property
    def slowest_choice(self) -> float:
        """Seconds."""
        return max((each.seconds for each in self.taken), default=0.0)


class Chooser:
    """Chooses from a table by what ``rate`` says, and remembers what it chose."""

    def __init__(self, table: RateTable, rate: Rate) -> None:
        self._table = table
        self._rate = rate
        self._numbers = {id(band): number for number, band in enumerate(table.bands)}
        self._present: Band | None = None
        self._taken: list[Taken] = []

    def choose(self, requests: int) -> Taken:
        """What the next so many requests take. Raises what the rate raises."""
        rate = self._rate()
        begin = time.perf_counter()
        band = self._present = self._table.choose(rate, self._present)
        number = self._numbers[id(band)]
        taken = Taken(number, rate, requests, time.perf_counter() - begin)
        self._taken.append(taken)
        return taken

    @property
    def report(self) -> ChannelReport:
        return ChannelReport(self._table, tuple(self._taken))

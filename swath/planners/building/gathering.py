"""Stages whose input one device hands out and whose output one device gathers: who, and what that
takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from swath.cluster import Link
from swath.cost import Costs, MessageCost
from swath.planners.building.fusing import Segment
from swath.planners.building.survey import by_speed, primary
from swath.planners.building.weighing import slowdown
from swath.planners.registry import Problem

EACH_DEGREE = 8
"""Up to here every number of devices is tried, beyond it each twice as large."""


def strongest(problem: Problem, names: Sequence[str]) -> tuple[str, ...]:
    """These devices, the fastest first."""
    return tuple(name for name in by_speed(problem.costs) if name in names)


def aggregator(problem: Problem, names: Sequence[str]) -> str:
    """Who gathers where nothing else is chosen: the source, or the fastest of these devices."""
    first = primary(problem.costs)
    return first if first in names else strongest(problem, names)[0]


def degrees(most: int) -> Iterator[int]:
    """Numbers of devices that are tried: 2, 3, ... and the most."""
    degree = 2
    while degree < most:
        yield degree
        degree = degree + 1 if degree < EACH_DEGREE else degree * 2
    if most > 1:
        yield most


@dataclass(frozen=True, slots=True)
class Leg:
    """Between the device whose port it is and another: seconds for each byte and for each message,
    which come one after the other, and those of latency, which pass at the same time."""

    per_byte: float
    each: float
    latency: float


NO_LEG = Leg(0.0, 0.0, 0.0)
"""Within a device."""


class Port:
    """Seconds of the messages that one device sends or receives.

    A device has one port and one processor, by which its messages go one after the other; the work
    at their other ends is taken to pass beside it.
    """

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self.out = lru_cache(maxsize=None)(self._out)
        self.into = lru_cache(maxsize=None)(self._into)

    def handing_out(self, holder: str, shares: Iterable[tuple[str, int]]) -> float:
        """``shares``: (device, bytes that it needs)."""
        return _seconds((self.out(holder, device), nbytes) for device, nbytes in shares)

    def gathering(self, leader: str, shares: Iterable[tuple[str, int]]) -> float:
        """``shares``: (device, bytes that it has made)."""
        return _seconds((self.into(leader, device), nbytes) for device, nbytes in shares)

    def _out(self, holder: str, device: str) -> Leg:
        """From whose port it is to another device."""
        path = self._costs.path(holder, device)
        return self._leg(holder, self._costs.sending(holder), device, path)

    def _into(self, leader: str, device: str) -> Leg:
        """To whose port it is from another device."""
        path = self._costs.path(device, leader)
        return self._leg(leader, self._costs.receiving(leader), device, path)

    def _leg(self, hub: str, message: MessageCost, device: str, path: Link) -> Leg:
        if hub == device:
            return NO_LEG
        pace = slowdown(self._costs, hub)
        per_byte = 1 / path.bandwidth + message.per_byte * pace
        return Leg(per_byte, message.fixed * pace, path.latency)


def _seconds(messages: Iterable[tuple[Leg, int]]) -> float:
    total, latency = 0.0, 0.0
    for leg, nbytes in messages:
        if nbytes:
            total += leg.each + nbytes * leg.per_byte
            latency = max(latency, leg.latency)
    return total + latency


def merged(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Neighbours that one device computes alone, which nobody gathers, as one."""
    found: list[Segment] = []
    for segment in segments:
        last = found[-1] if found else None
        if last and last.leader is segment.leader is None and last.split == segment.split:
            found[-1] = replace(last, stop=segment.stop)
        else:
            found.append(segment)
    return tuple(found)

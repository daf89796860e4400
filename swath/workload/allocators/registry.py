"""The registry of allocators: name -> what it is -> the allocator, imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from swath.errors import WorkloadError
from swath.workload.serving import Allocator
from swath.workload.ways import Menu
from swath.workload.workload import Workload


@dataclass(frozen=True)
class Setting:
    """What an allocator knows beforehand: the services with their ways; ``speeds``: sustained
    FLOP/s by device, 0 for one that does not compute; ``scale``: how many times the workload's
    rates the requests come at in the mean; ``seed``: of what it draws; ``policy``: a file of what
    was learnt (None: the one that comes with Swath)."""

    workload: Workload
    menus: Sequence[Menu]
    speeds: Sequence[float]
    scale: float = 1.0
    seed: int = 0
    policy: Path | None = None


@dataclass(frozen=True)
class AllocatorInfo:
    """An allocator as it is registered. ``target``: ``module:class``, made of a `Setting`."""

    name: str
    target: str
    summary: str


_SIMPLE = "swath.workload.allocators.simple"
_ALLOCATORS = (
    AllocatorInfo(
        "equal", f"{_SIMPLE}:Equal", "one request of every service at a time, with equal shares"
    ),
    AllocatorInfo(
        "proportional",
        f"{_SIMPLE}:Proportional",
        "one request of every service at a time, with shares as its offered FLOPs",
    ),
    AllocatorInfo(
        "greedy", f"{_SIMPLE}:Greedy", "all devices to who came first, one request at a time"
    ),
    AllocatorInfo("random", f"{_SIMPLE}:Random", "anybody on any devices that are idle"),
    AllocatorInfo(
        "round-robin", f"{_SIMPLE}:RoundRobin", "services in turn, soonest on idle devices"
    ),
    AllocatorInfo(
        "shortest-work-first",
        f"{_SIMPLE}:ShortestWorkFirst",
        "the least work first, soonest on idle devices",
    ),
    AllocatorInfo(
        "earliest-deadline",
        f"{_SIMPLE}:EarliestDeadline",
        "the earliest deadline first, soonest on idle devices",
    ),
    AllocatorInfo(
        "optimal-static",
        "swath.workload.allocators.static:OptimalStatic",
        "fixed shares of each service's requests by each way, the best for the mean load",
    ),
    AllocatorInfo(
        "drl",
        "swath.workload.learning.steering:Steered",
        "prices by a learnt policy: of devices' time, of waiting, of being late",
    ),
)


def known_allocators() -> tuple[AllocatorInfo, ...]:
    """Everything registered, in order."""
    return _ALLOCATORS


def check_allocator(name: str) -> AllocatorInfo:
    """What is registered under this name. Raises WorkloadError where nothing is."""
    info = next((info for info in _ALLOCATORS if info.name == name), None)
    if info is None:
        names = [info.name for info in _ALLOCATORS]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
        raise WorkloadError(f"allocator {name!r} is not known; {hint}")
    return info


def make_allocator(name: str, setting: Setting) -> Allocator:
    """The allocator of this name. Raises WorkloadError where there is none."""
    module, _, attribute = check_allocator(name).target.partition(":")
    allocator: Allocator = getattr(import_module(module), attribute)(setting)
    return allocator

"""The registry of planners: name -> what it is -> the planner, imported when it is asked for.

Those that come with Swath stand in `swath.planners.catalogue`.

A package of somebody else adds a planner through the entry-point group ``swath.planners``: the
entry point's name is the planner's, its object a `PlannerInfo`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.plan import Plan

Objective = Literal["latency", "throughput", "energy"]


@dataclass(frozen=True)
class Problem:
    """What a planner is asked: this graph on that cluster (`costs.cluster`), at those costs.

    ``objective``: what is to be small: the seconds of one inference, those between the results of a
    stream of them, or the joules of one. ``deadline``: seconds that one inference may take then.
    """

    graph: Graph
    costs: Costs
    objective: Objective = "latency"
    deadline: float | None = None


class Planner(Protocol):
    """A method with its options, ready to plan."""

    def plan(self, problem: Problem) -> Plan:
        """A valid plan; raises PlanError, with the reason, where the method has none."""
        ...


@dataclass(frozen=True)
class PlannerInfo:
    """A planner as it is registered. ``target``: ``module:class``; options are keyword arguments
    of the class. ``fewest``: computing devices without which it has no plan."""

    name: str
    target: str
    summary: str
    paper: str | None = None
    splits: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ("latency",)
    options: Mapping[str, str] = field(default_factory=dict)
    fewest: int = 1


_REGISTRY: dict[str, PlannerInfo] = {}


def register_planner(info: PlannerInfo) -> PlannerInfo:
    """Make a planner known under its name."""
    _REGISTRY[info.name] = info
    return info


def known_planners() -> tuple[PlannerInfo, ...]:
    """Everything registered, in the order of registration; other packages' last."""
    _load_entry_points()
    return tuple(_REGISTRY.values())


def make_planner(name: str, **options: Any) -> Planner:
    """The planner of this name. Raises PlanError for a name or an option that is not known."""
    _load_entry_points()
    info = _REGISTRY.get(name)
    if info is None:
        close = difflib.get_close_matches(name, _REGISTRY, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_REGISTRY)}"
        raise PlanError(f"planner {name!r} is not known; {hint}")
    for option in options:
        if option not in info.options:
            known = ", ".join(info.options) or "none"
            raise PlanError(f"planner {name!r} has no option {option!r}; its options: {known}")
    module, _, attribute = info.target.partition(":")
    planner: Planner = getattr(import_module(module), attribute)(**options)
    return planner


@lru_cache(maxsize=1)
def _load_entry_points() -> None:
    for entry in entry_points(group="swath.planners"):
        if entry.name not in _REGISTRY:
            register_planner(entry.load())

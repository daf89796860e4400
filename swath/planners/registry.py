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
from math import inf
from typing import Any, Literal, Protocol, get_args

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.plan.plan import Plan

Objective = Literal["latency", "throughput", "energy", "reliability"]


@dataclass(frozen=True)
class Problem:
    """What a planner is asked: this graph on that cluster (`costs.cluster`), at those costs.

    Of the graph a weightless copy is kept, for plans carry one. ``objective``: what is to be small:
    the seconds of one inference, those between the results of a stream of them, the joules of one,
    or (reliability) the probability that one misses the deadline. ``deadline``: seconds that one
    inference may take. Raises PlanError for an objective that there is not, for a deadline that is
    no time, and for reliability without one.
    """

    graph: Graph
    costs: Costs
    objective: Objective = "latency"
    deadline: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "graph", weightless(self.graph))
        if self.objective not in get_args(Objective):
            known = ", ".join(get_args(Objective))
            raise PlanError(f"objective {self.objective!r} is not known; use one of {known}")
        if self.deadline is not None and not 0 < self.deadline < inf:
            raise PlanError(
                f"a deadline of {self.deadline * 1e3:g} ms is none; "
                "give a time that an inference can take"
            )
        if self.objective == "reliability" and self.deadline is None:
            raise PlanError("reliability is how often a deadline is met; give one (--deadline MS)")

    @property
    def limit(self) -> float | None:
        """Seconds that no inference may be predicted to exceed; None where there is no deadline, or
        one that is only to be met as often as can be."""
        return None if self.objective == "reliability" else self.deadline


class Planner(Protocol):
    """A method with its options, ready to plan."""

    def plan(self, problem: Problem) -> Plan:
        """A valid plan; raises PlanError, with the reason, where the method has none."""
        ...


@dataclass(frozen=True)
class PlannerInfo:
    """A planner as it is registered. ``target``: ``module:class``; options are keyword arguments
    of the class. ``objectives``: what it plans for, its first one unless told otherwise.
    ``fewest``: computing devices without which it has no plan."""

    name: str
    target: str
    summary: str
    paper: str | None = None
    splits: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ("latency",)
    options: Mapping[str, str] = field(default_factory=dict)
    fewest: int = 1


_NAMED = 5
"""Planners that a refusal names instead, at most."""

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
    """The planner of this name; asked for an objective that it does not plan for, it raises
    PlanError. So does this for a name or an option that is not known."""
    info = _info(name)
    for option in options:
        if option not in info.options:
            known = ", ".join(info.options) or "none"
            raise PlanError(f"planner {name!r} has no option {option!r}; its options: {known}")
    module, _, attribute = info.target.partition(":")
    planner: Planner = getattr(import_module(module), attribute)(**options)
    return _Registered(info, planner)


def check_objective(name: str, objective: Objective) -> None:
    """Raises PlanError where the planner of this name does not plan for the objective, or where
    there is no such planner."""
    info = _info(name)
    if objective not in info.objectives:
        others = [other.name for other in known_planners() if objective in other.objectives]
        raise PlanError(
            f"planner {name!r} knows no objective {objective!r}; "
            f"it plans for {', '.join(info.objectives)}"
            + (f" (for {objective}: {', '.join(others[:_NAMED])})" if others else "")
        )


def first_objective(name: str) -> Objective:
    """What the planner of this name plans for unless told otherwise."""
    return _info(name).objectives[0]


@dataclass(frozen=True, slots=True)
class _Registered:
    """A planner that is asked only for what it plans for."""

    info: PlannerInfo
    planner: Planner

    def plan(self, problem: Problem) -> Plan:
        check_objective(self.info.name, problem.objective)
        return self.planner.plan(problem)


def _info(name: str) -> PlannerInfo:
    _load_entry_points()
    info = _REGISTRY.get(name)
    if info is None:
        close = difflib.get_close_matches(name, _REGISTRY, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_REGISTRY)}"
        raise PlanError(f"planner {name!r} is not known; {hint}")
    return info


@lru_cache(maxsize=1)
def _load_entry_points() -> None:
    for entry in entry_points(group="swath.planners"):
        if entry.name not in _REGISTRY:
            register_planner(entry.load())

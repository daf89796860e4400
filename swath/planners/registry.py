"""The registry of planners: name -> what it is -> the planner, imported when it is asked for.

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
    """What a planner is asked: this graph on that cluster (`costs.cluster`), at those costs."""

    graph: Graph
    costs: Costs
    objective: Objective = "latency"


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


register_planner(
    PlannerInfo(
        "whole",
        "swath.planners.whole:Whole",
        "one device alone, the one that is done first",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "even",
        "swath.planners.even:Even",
        "shares by device speed; layers fused while a recomputed halo is cheaper than an exchange",
        splits=("rows", "cols", "grid", "channels"),
        options={
            "split": "rows, cols, grid or channels; default: rows or channels, stage by stage"
        },
    )
)
register_planner(
    PlannerInfo(
        "dpfp",
        "swath.planners.dpfp:Dpfp",
        "fused blocks of rows by dynamic programming, halos exchanged between neighbours",
        paper="Li et al., ICC 2022 and Computer Networks 2022",
        splits=("rows",),
        options={"subset": "true: the best of the k fastest devices; default: all of them"},
    )
)
register_planner(
    PlannerInfo(
        "modnn",
        "swath.planners.modnn:Modnn",
        "every layer in strips of rows, gathered and handed out again by a leader",
        paper="Mao et al., DATE 2017",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "neurosurgeon",
        "swath.planners.neurosurgeon:Neurosurgeon",
        "one cut: the beginning on the source, the rest on one other device",
        paper="Kang et al., ASPLOS 2017",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "edgeld",
        "swath.planners.edgeld:Edgeld",
        "convolutions between pools in balanced columns on followers, the rest on the leader",
        paper="Xue et al., HPCC 2020",
        splits=("cols",),
    )
)
register_planner(
    PlannerInfo(
        "deepslicing",
        "swath.planners.deepslicing:DeepSlicing",
        "rows in proportion to speed, synchronised every few layers",
        paper="Zhang et al., TPDS 2021",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "deepthings",
        "swath.planners.deepthings:DeepThings",
        "the first layers fused into cells of a grid that idle devices take, the rest on one",
        paper="Zhao et al., TCAD 2018",
        splits=("grid",),
        options={
            "layers": "how many are fused; default: while maps outweigh filters",
            "cells": "of the grid, as square as can be; default: two for each device",
        },
    )
)
register_planner(
    PlannerInfo(
        "hu-split",
        "swath.planners.hu_split:HuSplit",
        "every layer by rows so that all are done at the same time, in closed form",
        paper="Hu et al., JPDC 2024",
        splits=("rows",),
        options={"allocation": "share of each device for this task; default: all of each"},
    )
)
register_planner(
    PlannerInfo(
        "halp",
        "swath.planners.halp:Halp",
        "a host computes what two others both need, so that sending hides behind computing",
        paper="Li et al., ICC 2022",
        splits=("rows",),
        fewest=3,
    )
)

"""The plan: who computes what of one model on one cluster. Frozen data, no behaviour.

A plan names stages (runs of operators), tiles (a device, a stage, one region per tensor that the
stage hands on), the order of tiles on each device, where reductions are split, and how regions
travel. Everything else, messages and buffers included, follows from it by compilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, split_reductions
from swath.ops import Region

PLAN_VERSION = 1

Exchange = Literal["peer", "leader"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A fused block: nodes (by name, in topological order) that a tile computes without talking.

    ``leader``: the device that gathers what this stage makes and hands it out again, whatever the
    plan's exchange says; None: as the plan says.
    """

    name: str
    nodes: tuple[str, ...]
    leader: str | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """A device, a stage, and the region of each handed-on tensor that the tile makes.

    ``path`` labels tiles that follow each other on one route; data is taken from the same path
    first where several tiles hold it.
    """

    device: str
    stage: str
    outputs: Mapping[str, Region]
    path: str = ""


@dataclass(frozen=True, slots=True)
class PlanDevice:
    """A device as the plan knows it. ``memory``: bytes it may use, None: not limited."""

    name: str
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class NamedSource:
    """Whoever on ``device`` needs ``tensor`` takes it from ``holder`` where ``holder`` has it."""

    device: str
    tensor: str
    holder: str


@dataclass(frozen=True)
class Plan:
    """One way to compute one model on some devices.

    ``model`` is the digest of the graph, ``graph`` a weightless copy. ``source`` is the device
    whose coordinator holds the inputs and wants the outputs. ``tiles`` stand in the order in
    which each device computes its own. With ``exchange == "leader"`` what a stage makes is
    gathered by ``leader`` and handed out again by it, unless the stage names a leader of its own.
    """

    planner: str
    model: str
    graph: Graph = field(repr=False)
    devices: tuple[PlanDevice, ...]
    source: str
    stages: tuple[Stage, ...]
    tiles: tuple[Tile, ...]
    splits: tuple[ReductionSplit, ...] = ()
    sources: tuple[NamedSource, ...] = ()
    exchange: Exchange = "peer"
    leader: str | None = None
    version: int = PLAN_VERSION

    @cached_property
    def stage_by_name(self) -> Mapping[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def devices_used(self) -> tuple[str, ...]:
        """Names of the devices that compute something, in the plan's order."""
        busy = {tile.device for tile in self.tiles}
        return tuple(device.name for device in self.devices if device.name in busy)

    @cached_property
    def split_graph(self) -> Graph:
        """The weightless graph with the plan's reductions split; stages name its nodes."""
        return split_reductions(self.graph, self.splits)

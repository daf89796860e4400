"""Plans as JSON: versioned, readable, the same bytes for the same plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swath.errors import PlanError
from swath.graph.codec import graph_from_json, graph_to_json
from swath.graph.reductions import ReductionSplit
from swath.ops import Region
from swath.plan.plan import PLAN_VERSION, NamedSource, Plan, PlanDevice, Stage, Tile


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON data, the weightless graph included."""
    return {
        "swath_plan": plan.version,
        "planner": plan.planner,
        "model": plan.model,
        "source": plan.source,
        "exchange": plan.exchange,
        "leader": plan.leader,
        "devices": [{"name": device.name, "memory": device.memory} for device in plan.devices],
        "stages": [
            {
                "name": stage.name,
                "nodes": list(stage.nodes),
                **({} if stage.leader is None else {"leader": stage.leader}),
            }
            for stage in plan.stages
        ],
        "tiles": [
            {
                "device": tile.device,
                "stage": tile.stage,
                "outputs": {name: _region_to_json(r) for name, r in tile.outputs.items()},
                **({"path": tile.path} if tile.path else {}),
            }
            for tile in plan.tiles
        ],
        "splits": [
            {"node": split.node, "axis": split.axis, "bounds": list(split.bounds)}
            for split in plan.splits
        ],
        "sources": [
            {"device": source.device, "tensor": source.tensor, "holder": source.holder}
            for source in plan.sources
        ],
        "graph": graph_to_json(plan.graph),
    }


def plan_from_json(data: Mapping[str, Any], origin: str = "plan") -> Plan:
    """The plan that `plan_to_json` wrote. Raises PlanError for another version or other content."""
    version = data.get("swath_plan") if isinstance(data, Mapping) else None
    if version is None:
        raise PlanError(f"{origin}: not a plan; write one with 'swath plan'")
    if version != PLAN_VERSION:
        raise PlanError(
            f"{origin}: a plan of version {version}, this is version {PLAN_VERSION}; plan again"
        )
    try:
        return Plan(
            planner=data["planner"],
            model=data["model"],
            graph=graph_from_json(data["graph"]),
            devices=tuple(PlanDevice(item["name"], item["memory"]) for item in data["devices"]),
            source=data["source"],
            stages=tuple(
                Stage(item["name"], tuple(item["nodes"]), item.get("leader"))
                for item in data["stages"]
            ),
            tiles=tuple(
                Tile(
                    item["device"],
                    item["stage"],
                    {name: _region_from_json(r) for name, r in item["outputs"].items()},
                    item.get("path", ""),
                )
                for item in data["tiles"]
            ),
            splits=tuple(
                ReductionSplit(item["node"], item["axis"], tuple(item["bounds"]))
                for item in data["splits"]
            ),
            sources=tuple(
                NamedSource(item["device"], item["tensor"], item["holder"])
                for item in data["sources"]
            ),
            exchange=data["exchange"],
            leader=data["leader"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PlanError(f"{origin}: a broken plan ({reason}); plan again") from None


def save_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan file."""
    Path(path).write_text(json.dumps(plan_to_json(plan), indent=1) + "\n", encoding="utf-8")


def load_plan(path: str | Path) -> Plan:
    """Read a plan file; raises PlanError in one line that names it."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror or error}; name a plan file") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise PlanError(f"{path}: not a plan; write one with 'swath plan'") from None
    return plan_from_json(data, str(path))


def _region_to_json(region: Region) -> list[list[int]]:
    return [[lo, hi] for lo, hi in region]


def _region_from_json(data: list[list[int]]) -> Region:
    return Region((int(lo), int(hi)) for lo, hi in data)

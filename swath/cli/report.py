"""The report of a run: as commands print it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from swath.cli.output import format_bytes, format_ms
from swath.plan.plan import Plan
from swath.planners import Objective
from swath.planners.choosing import SPLITTING_PLANNER, Choice
from swath.runtime.lab.cluster import LabChecks
from swath.runtime.lab.conditions import MOST_STOLEN, Conditions
from swath.runtime.plain import Milliseconds
from swath.runtime.running import RunReport

FIGURES: Mapping[Objective, str] = {
    "latency": "per inference",
    "throughput": "from result to result",
    "energy": "per inference",
}
"""What the figures are of that objectives want small."""


WORTH_SAYING = 0.05
"""By how much slower or faster than expected a machine may be without a word."""


def run_report(report: RunReport) -> dict[str, Any]:
    """The keys of `swath run --json`."""
    return {
        "latency_ms": asdict(report.latency),
        "single_ms": None if report.single is None else asdict(report.single),
        "speedup": report.speedup,
        "max_abs_diff": report.max_abs_diff,
        "max_rel_diff": report.max_rel_diff,
        "bit_exact": report.bit_exact,
        "within_tolerance": report.within_tolerance,
        "bytes_moved": report.bytes_moved,
        "predicted_ms": report.predicted,
        "devices": list(report.plan.devices_used),
        "planner": report.plan.planner,
        "stages": len(report.plan.stages),
    }


def plan_report(
    plan: Plan,
    objective: Objective,
    predicted: float,
    figure: float,
    bound: float,
    planning: float,
    bytes_moved: int,
    peaks: Mapping[str, int],
) -> dict[str, Any]:
    """The keys of `swath plan --json`; seconds (``bound``: what no plan's latency is below), joules
    and bytes are given."""
    return {
        "planner": plan.planner,
        "objective": objective,
        "predicted_ms": predicted * 1e3,
        "interval_ms": figure * 1e3 if objective == "throughput" else None,
        "energy_j": figure if objective == "energy" else None,
        "plan_ms": planning * 1e3,
        "lower_bound_ms": bound * 1e3,
        "devices_used": list(plan.devices_used),
        "stages": len(plan.stages),
        "peak_memory_bytes": max(peaks.values(), default=0),
        "memory_by_device_bytes": dict(peaks),
        "bytes_moved": bytes_moved,
    }


def run_facts(report: RunReport) -> dict[str, str]:
    """The same for people."""
    devices = report.plan.devices_used
    rows = {
        "devices": f"{len(devices)}: {', '.join(devices)}",
        "plan": f"{len(report.plan.stages)} stages, by planner {report.plan.planner}",
        "latency": _times(report.latency),
    }
    if report.predicted is not None:
        rows["predicted"] = (
            f"{format_ms(report.predicted)} (measured on average: {format_ms(report.latency.mean)})"
        )
    if report.single is not None:
        rows["one device alone"] = _times(report.single)
    if report.speedup is not None:
        rows["speed-up"] = f"{report.speedup:.2f}"
    if report.bit_exact:
        rows["result"] = "equal to the last bit"
    elif report.max_abs_diff is not None:
        verdict = "within tolerance" if report.within_tolerance else "BEYOND TOLERANCE"
        rows["result"] = (
            f"{verdict}: differs by {report.max_abs_diff:.1g} "
            f"({report.max_rel_diff:.0e} of the largest value)"
        )
    rows["bytes moved"] = f"{format_bytes(report.bytes_moved)} per inference"
    return rows


def lab_facts(checks: LabChecks) -> dict[str, str]:
    """What was seen of a lab before it measured, for people."""
    cores = ", ".join(f"{name} {share:.3g}" for name, share in checks.cores.items())
    rows = {"quotas": f"all bite: {cores}"}
    if not checks.delays:
        rows["latencies"] = (
            "not those of the cluster file: this kernel cannot delay packets; "
            f"the fabric's own, {checks.latency * 1e3:.2g} ms"
        )
    return rows


def machine_facts(conditions: Conditions) -> dict[str, str]:
    """What a lab's machine was like, for people."""
    rows = {}
    if abs(conditions.slowdown - 1) >= WORTH_SAYING:
        rows["machine"] = (
            f"{conditions.slowdown:.2f} times as slow as when it was profiled; predicted for that"
        )
    if conditions.stolen > MOST_STOLEN:
        rows["stolen"] = (
            f"{conditions.stolen:.0%} of this machine, by its host, while it measured: "
            "what was measured is too slow; measure again when its host is less busy"
        )
    return rows


def format_figure(objective: Objective, figure: float) -> str:
    """What an objective wants small, given in seconds or joules, for people."""
    return f"{figure:.3g} J" if objective == "energy" else format_ms(figure * 1e3)


def format_bound(predicted: float, bound: float) -> str:
    """A lower bound and how far above it a plan is, both in seconds, for people."""
    return f"{format_ms(bound * 1e3)}: it takes at most {predicted / bound:.2f} times the best"


def giving_up(choice: Choice) -> str | None:
    """What to say when one device is taken because a split would be worse; None else."""
    if choice.given_up is None:
        return None
    (device,) = choice.plan.devices_used
    better = "to need less" if choice.objective == "energy" else "to be faster"
    alone, split = (format_figure(choice.objective, x) for x in (choice.figure, choice.given_up))
    return (
        f"One device is predicted {better} ({alone}) than a split ({split}), so {device} "
        f"computes alone. Split it all the same with --planner {SPLITTING_PLANNER}."
    )


def advice(report: RunReport) -> str | None:
    """What to say when the split is not faster; None when it is."""
    if report.speedup is None or report.speedup > 1 or len(report.plan.devices_used) < 2:
        return None
    return (
        "One device alone is faster here: what the devices say to each other takes longer than the "
        "computing it saves. Try --planner whole, fewer devices, a larger input (zoo:NAME@HxW), "
        "or make sure that each worker has a core of its own."
    )


def _times(times: Milliseconds) -> str:
    return (
        f"{format_ms(times.median)} (median; 95% {format_ms(times.p95)}, "
        f"best {format_ms(times.min)})"
    )


def exit_status(report: RunReport) -> int:
    """1 where the outputs are beyond tolerance."""
    return 1 if report.within_tolerance is False else 0

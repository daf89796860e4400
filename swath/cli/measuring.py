"""Plans measured for real, and what commands print of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import swath
from swath.cli.grounds import Place
from swath.cli.progress import Display
from swath.cli.report import exit_status
from swath.errors import FabricError, SwathError, WorkerError
from swath.plan.compile import compile_plan

Measured = Mapping[str, swath.RunReport | SwathError]
"""By planner: what came of running its plan, or why the workers could not run it."""

_PLACES: Mapping[Place, str] = {
    "local": "by workers started here; the median of {} inferences",
    "cluster": "by the cluster's workers; the median of {} inferences",
    "lab": "in the lab; the median of {} figures, each the mean of requests back to back",
}


def measure_each(
    plans: Mapping[str, swath.Plan],
    run: Callable[[swath.Plan], swath.RunReport],
    display: Display,
) -> Measured:
    """What comes of the planners' plans. Those that are the same programs are run once."""
    versions = {name: compile_plan(plan).version for name, plan in plans.items()}
    different = len(set(versions.values()))
    found: dict[str, swath.RunReport | SwathError] = {}
    for name, version in versions.items():
        if version not in found:
            with display.about(f"plan of {name}, {len(found) + 1} of {different}"):
                try:
                    found[version] = run(plans[name])
                except (FabricError, WorkerError) as error:
                    found[version] = error
    return {name: found[version] for name, version in versions.items()}


def reports_of(measured: Measured) -> dict[str, swath.RunReport]:
    """Of the plans that were run."""
    return {name: each for name, each in measured.items() if isinstance(each, swath.RunReport)}


def measured_status(measured: Measured) -> int:
    """1 where a plan could not be run, or came to another result than the unsplit model."""
    reports = reports_of(measured)
    return int(len(reports) < len(measured) or any(map(exit_status, reports.values())))


def measured_keys(found: swath.RunReport | SwathError | None) -> dict[str, Any]:
    """What measuring adds to a planner's JSON; null without it, and ``reason`` where it failed."""
    if isinstance(found, swath.RunReport):
        return {
            "measured_ms": asdict(found.latency),
            "max_abs_diff": found.max_abs_diff,
            "within_tolerance": found.within_tolerance,
        }
    nothing = dict.fromkeys(("measured_ms", "max_abs_diff", "within_tolerance"))
    return nothing if found is None else {**nothing, "reason": f"not measured: {found}"}


def measured_facts(place: Place, repeat: int, measured: Measured) -> dict[str, str]:
    """What measuring adds for people."""
    reports = reports_of(measured)
    rows = {"measured": _PLACES[place].format(repeat)}
    wrong = [name for name, report in reports.items() if exit_status(report)]
    if wrong:
        rows["results"] = f"BEYOND TOLERANCE of the unsplit model's: {', '.join(wrong)}"
    elif reports and all(report.bit_exact for report in reports.values()):
        rows["results"] = "all equal to the unsplit model's, to the last bit"
    elif reports:
        most = max(report.max_abs_diff or 0.0 for report in reports.values())
        rows["results"] = f"all within tolerance of the unsplit model's; they differ by {most:.1g}"
    return rows

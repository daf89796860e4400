"""How often a deadline is met: what commands print and draw of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import swath
from swath.cli.output import format_ms
from swath.cli.progress import Display
from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.simulate import make_script
from swath.simulate.reliability import (
    CONFIDENCE,
    Reliability,
    latency_quantiles,
    reliability_curve,
    reliability_of,
)
from swath.simulate.trials import run_trials
from swath.trace.shares import Steps, draw_shares


def try_each(
    plans: Mapping[str, swath.Plan], costs: Costs, count: int, display: Display
) -> tuple[dict[str, list[float]], dict[str, PlanError]]:
    """By planner, the latencies (seconds) of so many trials of its plan, all at the same moments;
    and why there are none. Plans that are the same programs are tried once."""
    found: dict[str, list[float]] = {}
    failed: dict[str, PlanError] = {}
    known: dict[str, list[float]] = {}
    for name, plan in plans.items():
        programs = compile_plan(plan)
        try:
            if programs.version not in known:
                trials = run_trials([make_script(plan, programs, costs)], costs, count)
                counted = display.count(f"trying the plan of {name}", trials, count)
                known[programs.version] = [each.latencies[0] for each in counted]
            found[name] = known[programs.version]
        except PlanError as error:
            failed[name] = error
    return found, failed


def reliability_keys(found: Reliability | None) -> dict[str, Any] | None:
    """How often a deadline is met, as JSON; null where there is none."""
    if found is None:
        return None
    keys = asdict(found)
    del keys["deadline"]
    return {**keys, "deadline_ms": milliseconds(found.deadline)}


def trial_keys(latencies: Sequence[float] | None, deadline: float | None) -> dict[str, Any]:
    """What trials add to a JSON object; null without them, or without a deadline."""
    if latencies is None:
        return {"reliability": None, "latency_quantiles_ms": None}
    found = None if deadline is None else reliability_of(latencies, deadline)
    quantiles = latency_quantiles(latencies)
    return {
        "reliability": reliability_keys(found),
        "latency_quantiles_ms": {
            f"p{100 * level:g}": seconds * 1e3 for level, seconds in quantiles.items()
        },
    }


def format_reliability(found: Mapping[str, Any]) -> str:
    """`reliability_keys` for people, in a few characters."""
    return f"{found['probability']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def reliability_fact(found: Mapping[str, Any]) -> str:
    """The same in a line of its own."""
    return (
        f"{format_reliability(found)} of {found['trials']} trials within "
        f"{found['deadline_ms']:g} ms; in brackets: bounds at {CONFIDENCE:.0%} confidence"
    )


def quantile_fact(latencies: Sequence[float]) -> str:
    """Within what time which share of the trials was over, for people."""
    found = latency_quantiles(latencies)
    return ", ".join(f"{level * 100:g}% {format_ms(x * 1e3)}" for level, x in found.items())


def milliseconds(seconds: float) -> float:
    """Of a deadline, as it was given."""
    return round(seconds * 1e3, 9)


def save_shares(
    latencies: Mapping[str, Sequence[float]], path: Path, title: str, deadline: float | None
) -> None:
    """Draw, against the deadline, how often it is met: a line for each name."""
    lines = {}
    for name, own in latencies.items():
        curve = reliability_curve(own)
        lines[name] = Steps(curve.deadlines * 1e3, curve.probabilities, curve.lows, curve.highs)
    mark = None if deadline is None else milliseconds(deadline)
    draw_shares(lines, path, title, "deadline, ms", "inferences that meet it", mark)

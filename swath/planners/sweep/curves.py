"""What the rows of a sweep say together: curves to draw, and a summary by planner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import TypeVar

from swath.planners.sweep.sweeping import Row
from swath.trace.curves import Panel

Group = TypeVar("Group", bound=Hashable)

TIE = 1e-9
"""Two predictions of the same plan differ by less than this share."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a planner did. ``plans`` and ``refusals``: numbers; ``speedup``: the geometric mean over
    its plans, None where there is none to tell; ``best``: in how many problems nobody was faster.
    """

    planner: str
    plans: int
    refusals: int
    speedup: float | None
    best: int


def standings(rows: Iterable[Row]) -> list[Standing]:
    """Of each planner, the one that is best most often first."""
    by_planner: dict[str, list[Row]] = defaultdict(list)
    least: dict[str, float] = {}
    for row in rows:
        by_planner[row.planner].append(row)
        if row.predicted_ms is not None:
            least[row.problem_id] = min(row.predicted_ms, least.get(row.problem_id, float("inf")))
    found = []
    for planner, own in by_planner.items():
        plans = [(row, row.predicted_ms) for row in own if row.predicted_ms is not None]
        speedups = [row.speedup for row, _ in plans if row.speedup is not None]
        best = sum(time <= least[row.problem_id] * (1 + TIE) for row, time in plans)
        mean = geometric_mean(speedups) if speedups else None
        found.append(Standing(planner, len(plans), len(own) - len(plans), mean, best))
    return sorted(found, key=lambda standing: (-standing.best, -(standing.speedup or 0.0)))


def speedup_panels(rows: Iterable[Row]) -> list[list[Panel]]:
    """Speed-up over one device: for each model and network a row of panels, against the number of
    devices at each rate, and last against the rate on the most devices.

    A panel without a line of two points is left out. Where clusters share a place on a line, their
    mean stands there.
    """
    panels = []
    for (model, network), own in _grouped(rows, lambda row: (row.model, row.network)).items():
        place = f"{model.removeprefix('zoo:')}, {network}"
        row_of_panels = [
            Panel(f"{place}, {_rate(rate)}", "devices", _lines(group, lambda row: row.devices))
            for rate, group in _grouped(own, lambda row: row.rate_mbit).items()
        ]
        most = max(row.devices for row in own)
        widest = [row for row in own if row.devices == most and row.rate_mbit is not None]
        row_of_panels.append(
            Panel(
                f"{place}, {most} devices",
                "Mbit/s",
                _lines(widest, lambda row: row.rate_mbit or 0.0),
            )
        )
        panels.append([panel for panel in row_of_panels if _has_curve(panel)])
    return [row_of_panels for row_of_panels in panels if row_of_panels]


def _grouped(rows: Iterable[Row], key: Callable[[Row], Group]) -> dict[Group, list[Row]]:
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _lines(
    rows: Iterable[Row], place: Callable[[Row], float]
) -> dict[str, list[tuple[float, float]]]:
    """Points (place, speed-up) by planner."""
    points: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.speedup is not None:
            points[row.planner][place(row)].append(row.speedup)
    return {
        planner: [(x, fmean(found[x])) for x in sorted(found)] for planner, found in points.items()
    }


def _rate(rate: float | None) -> str:
    return "links of several rates" if rate is None else f"{rate:g} Mbit/s"


def _has_curve(panel: Panel) -> bool:
    return any(len(points) > 1 for points in panel.lines.values())

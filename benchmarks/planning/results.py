"""What came of every scenario of the grid, and the file that keeps it: a line for each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.planning.scenarios import planners
from swath.planners.sweep.sweeping import Row

TIE = 1e-6
"""Two predictions that differ by less than this share are equal."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario, in milliseconds. ``plans``: by planner what is predicted;
    ``refusals``: the reasons. ``bound``: nothing is faster; None where nobody has a plan.
    ``computing``: the share of auto's latency for which its busiest device computes."""

    problem_id: str
    model: str
    cluster: str
    network: str
    devices: int
    rate: float
    bound: float | None
    computing: float | None
    plans: Mapping[str, float]
    refusals: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.model}, {self.cluster}, {self.network}, {self.rate:g} Mbit/s"

    @property
    def kinds(self) -> list[str]:
        """Of the devices: ``["uneven", "camera"]``."""
        return self.cluster.split()[2:]

    @property
    def auto(self) -> float | None:
        return self.plans.get("auto")

    @property
    def others(self) -> Mapping[str, float]:
        return {planner: time for planner, time in self.plans.items() if planner != "auto"}

    @property
    def saving(self) -> float | None:
        """The share of the best other plan's time that auto's saves; None where one is missing."""
        best = min(self.others.values(), default=None)
        return None if best is None or self.auto is None else 1 - self.auto / best

    @property
    def gap(self) -> float | None:
        """How far auto's plan is above the bound, as a share of that."""
        return None if self.auto is None or self.bound is None else self.auto / self.bound - 1


def results(
    rows: Iterable[Row], problem_ids: Iterable[str], known: Iterable[Result] = ()
) -> list[Result]:
    """Of those scenarios that all planners have been through, in the order of the ids. ``known``:
    scenarios done before, of which rows are but what was made anew."""
    done = {result.problem_id: result for result in known}
    by_problem: dict[str, list[Row]] = {problem_id: [] for problem_id in problem_ids}
    for row in rows:
        if row.problem_id in by_problem:
            by_problem[row.problem_id].append(row)
    everyone = set(planners())
    return [
        _result(own, done.get(problem_id)) if own else done[problem_id]
        for problem_id, own in by_problem.items()
        if problem_id in done or {row.planner for row in own} >= everyone
    ]


def _result(rows: Sequence[Row], before: Result | None) -> Result:
    """What rows say, and for planners without one, what was said before."""
    first = rows[0]
    bounds = [row.lower_bound_ms for row in rows if row.lower_bound_ms is not None]
    computing = [row.computing_share for row in rows if row.planner == "auto"]
    plans = {row.planner: row.predicted_ms for row in rows if row.predicted_ms is not None}
    refusals = {row.planner: row.reason for row in rows if row.reason is not None}
    if before is not None:
        bounds = bounds or present([before.bound])
        computing = computing or [before.computing]
        asked = plans.keys() | refusals.keys()
        plans |= {name: time for name, time in before.plans.items() if name not in asked}
        refusals |= {name: why for name, why in before.refusals.items() if name not in asked}
    return Result(
        first.problem_id, first.model.removeprefix("zoo:"), first.cluster, first.network,
        first.devices, first.rate_mbit or 0.0, max(bounds, default=None), computing[0], plans,
        refusals,
    )  # fmt: skip


def present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


_FIELDS = ("problem_id", "model", "cluster", "network", "devices", "rate", "bound", "computing")
_DIGITS = ".9g"


def save_results(found: Iterable[Result], path: Path) -> None:
    """A line for each scenario; under each planner's name milliseconds, or why it has no plan."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_FIELDS, *planners()])
        for result in found:
            cells = [getattr(result, name) for name in _FIELDS]
            cells += [result.plans.get(name, result.refusals.get(name)) for name in planners()]
            writer.writerow([format(c, _DIGITS) if isinstance(c, float) else c for c in cells])


def load_results(path: Path) -> list[Result]:
    """What `save_results` wrote; nothing where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_read(line) for line in csv.DictReader(file)]


def _read(line: dict[str, str]) -> Result:
    problem_id, model, cluster, network, devices, rate, bound, computing = (
        line.pop(name) for name in _FIELDS
    )
    plans, refusals = {}, {}
    for planner, cell in line.items():
        try:
            plans[planner] = float(cell)
        except ValueError:
            refusals[planner] = cell
    return Result(
        problem_id, model, cluster, network, int(devices), float(rate),
        float(bound) if bound else None, float(computing) if computing else None, plans, refusals,
    )  # fmt: skip

"""A learnt allocator against simple ones, written to docs/results with a plot.

    python -m benchmarks.allocation --train 0 --train 1 ...     # policies, by training seed
    python -m benchmarks.allocation [-o docs/results/allocation.md]

Training takes some minutes for each seed on two cores; policies and how long they took are
kept in ``--policies FOLDER``, and the page is of all that are there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

import swath
import swath.api
from benchmarks.speed import machine
from swath.cluster.file import parse_cluster
from swath.trace.curves import Panel, draw_curves
from swath.workload.allocators import known_allocators
from swath.workload.allocators.priced import PRICES
from swath.workload.allocators.registry import Setting, make_allocator
from swath.workload.arrivals import offer
from swath.workload.comparing import Ground, Row, compare
from swath.workload.file import parse_workload
from swath.workload.learning.grounds import LOADS as LOADS_DRAWN
from swath.workload.learning.grounds import around
from swath.workload.learning.observing import FEATURES
from swath.workload.learning.policy import load_policy, save_policy
from swath.workload.learning.training import TRAINING_STEPS, Training, train
from swath.workload.serving import serve
from swath.workload.ways import menus

WORKLOAD, CLUSTER = Path("examples/services.yaml"), Path("examples/six-devices.yaml")
LOADS = (0.3, 0.6, 0.9, 1.1, 1.3)
HIGH = 0.9
"""From this load on the learnt allocator must be ahead; below, not behind by more than `BEHIND`."""

BEHIND = 0.02
REQUESTS, RUNS, FIRST_SEED = 5000, 10, 10**6
"""Of a run; runs of each allocator at each load, and their first seed: training draws below it."""

DRAWN = 24
"""Workloads drawn as in training, with other seeds."""

LEARNT = "drl"
OTHERS = tuple(info.name for info in known_allocators() if info.name != LEARNT)

FOUR = {
    "source": "a",
    "devices": [{"name": name, "gflops": gflops} for name, gflops in zip("abcd", (30, 20, 20, 5),
                                                                         strict=True)],
    "links": {"default": {"bandwidth": "300Mbps", "latency": "500us"}},
}  # fmt: skip
TEN = {
    "source": "a",
    "devices": [
        {"name": name, "gflops": gflops}
        for name, gflops in zip("abcdefghij", (40,) * 3 + (20,) * 4 + (10,) * 3, strict=True)
    ],
    "links": {"default": {"bandwidth": "1Gbps", "latency": "200us"}},
}
OTHER_MIX = {
    "services": [
        {"name": "a", "model": "zoo:resnet18", "rate": 4, "deadline": "800ms"},
        {"name": "b", "model": "zoo:vgg11", "rate": 1, "deadline": "3s"},
        {"name": "c", "model": "zoo:mobilenet_v1", "rate": 8},
        {"name": "d", "model": "zoo:tiny_yolov2", "rate": 2, "deadline": "2s",
         "arrivals": {"kind": "bursty", "on": "2s", "off": "4s"}},
        {"name": "e", "model": "zoo:densenet121", "rate": 1},
    ]
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Rows of a load. ``learnt``: one for each training seed; ``usual``: of a policy that always
    asks the usual prices, with which training begins."""

    others: Sequence[Row]
    learnt: Sequence[Row]
    usual: Row


@dataclass(frozen=True)
class Compared:
    """A figure at a load: the best of the others and whose it is, the learnt one's mean over
    training seeds and half of its 95 % interval, and that of the usual prices."""

    best: float
    whose: str
    learnt: float
    interval: float
    usual: float

    @property
    def ratio(self) -> float:
        return self.learnt / self.best


def ground_of(workload: object, cluster: object, planner: str = "auto") -> Ground:
    """Files by their paths, or their contents."""
    services = (
        swath.load_workload(workload) if isinstance(workload, Path) else parse_workload(workload)
    )
    described = swath.load_cluster(cluster) if isinstance(cluster, Path) else parse_cluster(cluster)
    costs = swath.api.costs(described)
    return Ground.of(services, menus(services, swath.load, costs, planner, jobs=-1), costs)


def compared(found: Found, figure: str) -> Compared:
    """The best is the least, of use the most."""
    pick = max if figure == "useful" else min
    best = pick(found.others, key=lambda row: value(row, figure))
    values = [value(row, figure) for row in found.learnt]
    interval = 0.0
    if len(values) > 1:
        from scipy.stats import t

        spread = statistics.stdev(values) / sqrt(len(values))
        interval = float(t.ppf(0.975, len(values) - 1)) * spread
    return Compared(
        value(best, figure),
        best.allocator,
        statistics.fmean(values),
        interval,
        value(found.usual, figure),
    )


def value(row: Row, figure: str) -> float:
    return row.utilisation.total if figure == "useful" else getattr(row.figures, figure)


def evaluate(
    ground: Ground, policies: Iterable[Path], loads: Sequence[float], runs: int = RUNS
) -> dict[float, Found]:
    """By load; all are served the same requests."""
    learners = [(LEARNT, replace(ground, policy=policy)) for policy in (*policies, unlearnt())]
    asked = [*((name, ground) for name in OTHERS), *learners]
    found = {}
    for load in loads:
        rows = Parallel(n_jobs=-1)(delayed(row_of_one)(*each, load, runs) for each in asked)
        *learnt, usual = rows[len(OTHERS) :]
        found[load] = Found(rows[: len(OTHERS)], learnt, usual)
        ratios = {figure: compared(found[load], figure).ratio for figure in FIGURES}
        print(json.dumps({"load": load, **ratios}), flush=True)
    return found


def row_of_one(name: str, ground: Ground, load: float, runs: int) -> Row:
    (row,) = compare(ground, [name], [load], REQUESTS, runs, FIRST_SEED)
    return row


def evaluate_drawn(ground: Ground, policies: Sequence[Path]) -> list[Found]:
    """Workloads as training draws them, each of its own load, drawn with other seeds."""
    found = []
    for number in range(DRAWN):
        drawn = around(ground)(np.random.default_rng(FIRST_SEED + number))
        load = drawn.scale * drawn.ground.load
        found.append(evaluate(drawn.ground, policies, [load], runs=1)[load])
    return found


def drawn_table(found: Sequence[Found]) -> list[str]:
    lines = [
        "| figure | `drl` / best other | usual prices / best other | `drl` / usual prices |",
        "| --- | ---: | ---: | ---: |",
    ]
    for figure, title in FIGURES.items():
        ones = [compared(each, figure) for each in found]
        ratios = [
            statistics.geometric_mean(ratio)
            for ratio in zip(
                *((one.ratio, one.usual / one.best, one.learnt / one.usual) for one in ones),
                strict=True,
            )
        ]
        lines.append(f"| {title} | {' | '.join(f'{ratio:.3f}' for ratio in ratios)} |")
    return lines


def unlearnt() -> Path:
    """A policy that always asks the usual prices."""
    path = Path(tempfile.gettempdir()) / "usual-prices.onnx"
    layer = np.zeros((PRICES, len(FEATURES)), np.float32), np.zeros(PRICES, np.float32)
    save_policy([layer], path)
    return path


def decision_seconds(policy: Path) -> float:
    """Of looking and acting, median."""
    acting = load_policy(policy)
    features = np.zeros(len(FEATURES), np.float32)
    taken = []
    for _ in range(1000):
        start = time.perf_counter()
        acting.act(features)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def requests_a_second(ground: Ground, name: str) -> float:
    """Served on virtual time at a load of 0.9, drawing them and making the allocator included."""
    scale = ground.scale(0.9)
    setting = Setting(ground.workload, ground.menus, ground.speeds, scale, policy=ground.policy)
    start = time.perf_counter()
    offered = offer(ground.workload, ground.seconds(20_000, scale), 0, scale)
    serve(ground.workload, ground.menus, offered, make_allocator(name, setting))
    return len(offered.times) / (time.perf_counter() - start)


FIGURES = {"mean": "mean latency, ms", "p95": "95th percentile, ms", "useful": "useful FLOPs"}


def table(found: dict[float, Found]) -> list[str]:
    lines = [
        "| load | figure | best other | | `drl` | `drl` / best other | usual prices / best other |",
        "| ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for load, rows in found.items():
        for figure, title in FIGURES.items():
            one = compared(rows, figure)
            digits = 3 if figure == "useful" else 0
            lines.append(
                f"| {load:g} | {title} | {one.best:.{digits}f} | `{one.whose}` "
                f"| {one.learnt:.{digits}f} ± {one.interval:.{digits}f} | {one.ratio:.3f} "
                f"| {one.usual / one.best:.3f} |"
            )
    return lines


def verdicts(found: dict[float, Found]) -> list[str]:
    lines = ["| what | must | found | met |", "| --- | --- | ---: | --- |"]
    for figure, title in FIGURES.items():
        high = [compared(rows, figure) for load, rows in found.items() if load >= HIGH]
        low = [compared(rows, figure) for load, rows in found.items() if load < HIGH]
        if figure == "useful":
            worst = min(one.ratio for one in high)
            lines.append(row_of(f"{title}, load ≥ {HIGH:g}: `drl` / best other", "≥ 1", worst,
                                worst >= 1))  # fmt: skip
            continue
        worst = max((one.learnt + one.interval) / one.best for one in high)
        lines.append(row_of(f"{title}, load ≥ {HIGH:g}: `drl` (end of its interval) / best other",
                            "< 1", worst, worst < 1))  # fmt: skip
        worst = max(one.ratio for one in low)
        lines.append(row_of(f"{title}, load < {HIGH:g}: `drl` / best other", f"≤ {1 + BEHIND:g}",
                            worst, worst <= 1 + BEHIND))  # fmt: skip
    return lines


def row_of(what: str, must: str, found: float, is_met: bool) -> str:
    return f"| {what} | {must} | {found:.3f} | {'yes' if is_met else '**no**'} |"


def document(
    found: dict[float, Found],
    drawn: Sequence[Found],
    moved: dict[str, dict[float, Found]],
    ground: Ground,
    policies: Sequence[Path],
    picture: str,
) -> str:
    seconds = [float(policy.with_suffix(".seconds").read_text()) for policy in policies]
    learnt = replace(ground, policy=policies[0])
    speeds = {name: requests_a_second(learnt, name) for name in (*OTHERS, LEARNT)}
    slowest = min(speeds, key=lambda name: speeds[name])
    lines = [
        "# A learnt allocator",
        "",
        f"`python -m benchmarks.allocation` on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        f"`{WORKLOAD}` on `{CLUSTER}`, ways by `auto`. {len(policies)} policies, trained with "
        f"seeds {', '.join(policy.stem.removeprefix('policy-') for policy in policies)} on "
        f"{TRAINING_STEPS:,} steps of workloads drawn around that one; here every allocator has "
        f"the same {RUNS} runs of some {REQUESTS:,} requests at each load, from seeds that no "
        "training has seen. ± is half of the 95 % interval over training seeds. How figures are "
        "taken, what a load is and what is learnt: [allocation.md](../allocation.md). The last "
        "column is a policy that has learnt nothing: it always asks the usual prices, those with "
        "which training begins.",
        "",
        *verdicts(found),
        row_of("training, minutes, longest", "≤ 30", max(seconds) / 60, max(seconds) <= 1800),
        row_of(f"requests served in a second, slowest (`{slowest}`)", "≥ 10,000",
               speeds[slowest], speeds[slowest] >= 10_000),
        row_of("one decision of the policy, ms", "≤ 1", 1e3 * decision_seconds(policies[0]),
               decision_seconds(policies[0]) <= 1e-3),
        "",
        *table(found),
        "",
        f"![Latency and use against load]({picture})",
        "",
    ]  # fmt: skip
    lines += [
        "## Other rates, deadlines and arrivals",
        "",
        f"{len(drawn)} workloads of the same models, drawn as training draws them, with loads from "
        f"{LOADS_DRAWN[0]:g} to {LOADS_DRAWN[1]:g}; geometric means.",
        "",
        *drawn_table(drawn),
        "",
    ]
    for title, rows in moved.items():
        lines += [f"## Moved to {title}", "", "Not trained for that.", "", *table(rows), ""]
    return "\n".join(lines)


def draw(found: dict[float, Found], path: Path) -> None:
    def panel(title: str, figure: str) -> Panel:
        lines: dict[str, list[tuple[float, float]]] = {}
        for load, rows in found.items():
            for row in rows.others:
                lines.setdefault(row.allocator, []).append((load, value(row, figure)))
            mean = statistics.fmean(value(row, figure) for row in rows.learnt)
            lines.setdefault(LEARNT, []).append((load, mean))
        return Panel(title, "load", lines)

    draw_curves(
        [
            [panel("mean latency", "mean"), panel("95th percentile", "p95")],
            [panel("missed", "missed"), panel("useful FLOPs", "useful")],
        ],
        path, "ms", "share",
    )  # fmt: skip


def tell(done: int, reward: float) -> None:
    print(f"{done} steps, reward {reward:+.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", action="append", type=int, metavar="SEED", default=[])
    parser.add_argument("--policies", type=Path, default=Path("swath-out/policies"))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/allocation.md"))
    options = parser.parse_args()
    options.policies.mkdir(parents=True, exist_ok=True)
    ground = ground_of(WORKLOAD, CLUSTER)
    for seed in options.train:
        path = options.policies / f"policy-{seed}.onnx"
        start = time.perf_counter()
        train(ground, Training(seed=seed), path, tell)
        path.with_suffix(".seconds").write_text(f"{time.perf_counter() - start:.1f}\n")
    policies = sorted(options.policies.glob("policy-*.onnx"))
    if options.train or not policies:
        return
    found = evaluate(ground, policies, LOADS)
    drawn = evaluate_drawn(ground, policies)
    moved = {
        title: evaluate(ground_of(*files), policies, (0.3, 0.9, 1.3), runs=3)
        for title, files in {
            "four devices": (WORKLOAD, FOUR),
            "ten devices": (WORKLOAD, TEN),
            "other services": (OTHER_MIX, CLUSTER),
        }.items()
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture = options.output.with_suffix(".png")
    draw(found, picture)
    text = document(found, drawn, moved, ground, policies, picture.name)
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""How well times are predicted: real workers on emulated devices against the simulator.

    python -m benchmarks.prediction [--only 4x0.25] [-o docs/results/prediction.md]

Needs root, and a machine with nothing else to do. Every plan is measured in the lab (network
namespaces, shaped links, CPU quotas that were seen to bite) as the mean of requests back to back,
and predicted by the simulator as the mean of as many; nothing of the measured plan goes into its
prediction. Raw figures go beside the table, as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

import swath
from benchmarks.speed import machine
from swath.cluster import Cluster, Device, Link
from swath.errors import SwathError
from swath.plan.plan import Plan
from swath.runtime.lab.cluster import LabCluster
from swath.runtime.profiling.effort import FULL

MODELS = ("vgg16", "resnet34", "mobilenet_v2", "googlenet")

CLUSTERS = {
    "1x0.25": (0.25,),
    "2x0.25": (0.25,) * 2,
    "4x0.25": (0.25,) * 4,
    "8x0.15": (0.15,) * 8,
    "0.1:0.2:0.4": (0.1, 0.2, 0.4),
}
"""Cores of the devices, by the name of the cluster."""

RATES = (20, 100, 1000)
"""Mbit/s of every link."""

PLANNERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("even", {}),
    ("even", {"split": "rows"}),
    ("even", {"split": "channels"}),
    ("whole", {}),
)

MEDIAN_ERROR, P95_ERROR, ORDERED = 0.07, 0.20, 0.95
"""What must be reached; `STRIVE`: what is striven for."""

STRIVE = (0.03, 0.10, 0.99)


@dataclass(frozen=True)
class Cell:
    """One plan in one lab; milliseconds."""

    cluster: str
    rate: int
    model: str
    plan: str
    stages: int
    measured: float
    predicted: float
    requests: int

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def described(shares: Sequence[float], rate: int) -> Cluster:
    devices = tuple(
        Device(f"device-{index}", gflops=80 * share, cores=share)
        for index, share in enumerate(shares)
    )
    # The source is the strongest: it holds the picture, and the others are asked for help.
    return Cluster(devices, devices[-1].name, default_link=Link(rate * 1e6 / 8, 0.0))


def plans(lab: LabCluster, graph: swath.Graph) -> Iterator[tuple[str, Plan]]:
    """Different plans for a model, by what they are called."""
    seen: list[list[tuple]] = []
    for planner, options in PLANNERS:
        plan = lab.plan(graph, planner, **options)
        tiles = [(tile.device, tile.stage, tile.outputs) for tile in plan.tiles]
        if tiles not in seen and (planner == "whole" or len(plan.devices_used) > 1 or not seen):
            seen.append(tiles)
            yield " ".join([planner, *options.values()]), plan


def cells(name: str, rate: int, models: Sequence[str]) -> Iterator[Cell]:
    """All plans of all models in one lab."""
    with LabCluster(described(CLUSTERS[name], rate), effort=FULL) as lab:
        cooling = next(iter(lab.costs.coolings.values()))
        print(f"# {name} at {rate} Mbit/s: beginning costs {cooling.fresh * 1e6:.0f} us, waiting up"
              f" to {cooling.waited * 1e6:.0f} us, a MB of maps {cooling.refill * 1e12:.0f} us more"
              )  # fmt: skip
        is_checked = False
        for model in models:
            graph = swath.load(f"zoo:{model}")
            inputs = swath.random_inputs(graph)
            for what, plan in plans(lab, graph):
                lab.deploy(graph, plan, inputs)
                with lab.in_force():
                    if not is_checked:
                        lab.check()
                        is_checked = True
                    figures = [lab.figure() for _ in range(3)]
                count = sum(figure.requests for figure in figures)
                measured = 1e3 * statistics.median(figure.seconds for figure in figures)
                pace = statistics.median(figure.pace for figure in figures)
                expected = lab.predict(plan, max(10, count), pace=pace)
                predicted = 1e3 * statistics.fmean(expected.latencies)
                yield Cell(name, rate, model, what, len(plan.stages), measured, predicted, count)


def ordered_share(found: Sequence[Cell]) -> tuple[float, int]:
    """(share of the pairs of plans for one model and lab whose measured times differ by more than
    a tenth that are predicted in the right order, number of such pairs)."""
    right = []
    key = attrgetter("cluster", "rate", "model")
    for _, group in itertools.groupby(sorted(found, key=key), key):
        for one, other in itertools.combinations(group, 2):
            slow, fast = sorted((one, other), key=lambda cell: -cell.measured)
            if slow.measured > 1.1 * fast.measured:
                right.append(slow.predicted > fast.predicted)
    return (statistics.fmean(right) if right else float("nan")), len(right)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def draw(found: Sequence[Cell], path: Path) -> None:
    """Predicted against measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    low = 0.8 * min(min(cell.measured, cell.predicted) for cell in found)
    high = 1.25 * max(max(cell.measured, cell.predicted) for cell in found)
    axes.plot([low, high], [low, high], color="0.5", linewidth=1)
    axes.fill_between([low, high], [0.8 * low, 0.8 * high], [1.2 * low, 1.2 * high],
                      color="0.5", alpha=0.12, linewidth=0)  # fmt: skip
    for model, mark in zip(MODELS, "os^D", strict=True):
        own = [cell for cell in found if cell.model == model]
        axes.scatter([c.measured for c in own], [c.predicted for c in own], s=16, marker=mark,
                     alpha=0.75, label=model)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="predicted, ms",
             xlim=(low, high), ylim=(low, high),
             title="Latency in the lab (band: 20 %)")  # fmt: skip
    axes.legend()
    figure.savefig(path)


METHOD = """\
Real workers on emulated devices: a network namespace each, links shaped by token buckets, CPU by
quota; in every lab each quota and rate was seen to bite. *Measured* is the median of three figures,
each the mean of requests back to back over at least 1 s and 20 quota periods, after 0.6 s of
requests that spend what a quota lends. *Predicted* is the mean of as many requests in the
simulator. It knows tile times from a full profile of this machine taken without any load, what
messages take of the CPU within a device and over each lab's links, the fabric's latency between two
devices, quotas as the kernel keeps them, and three numbers measured once with other networks: what
beginning with a request costs a device and what every byte of maps costs more in one that its quota
stops over and over (for each cluster's shares), and what waiting costs (for each cluster's shares
and size of packets).
Nothing that is measured of a plan goes into its prediction. The kernel here cannot delay packets,
so latencies are the fabric's own. The machine is not as fast at any time (its host is shared): a
fixed convolution is timed right before and after each figure, as it was beside every sample of the
profile, and processors are taken to be as much slower or faster.
"""


def document(found: Sequence[Cell], picture: str) -> str:
    errors = [abs(cell.error) for cell in found]
    share, pairs = ordered_share(found)
    lines = [
        "# Predicted against measured",
        "",
        f"`python -m benchmarks.prediction` on {time.strftime('%Y-%m-%d')}: {machine()}; one "
        "thread a device.",
        "",
        METHOD,
        "| what | must | strive for | found |",
        "| --- | ---: | ---: | ---: |",
        f"| median error of {len(errors)} plans | ≤ {MEDIAN_ERROR:.0%} | {STRIVE[0]:.0%} "
        f"| **{statistics.median(errors):.1%}** |",
        f"| 95th percentile | ≤ {P95_ERROR:.0%} | {STRIVE[1]:.0%} "
        f"| **{percentile(errors, 0.95):.1%}** |",
        f"| order right, of {pairs} pairs more than 10 % apart | ≥ {ORDERED:.0%} "
        f"| {STRIVE[2]:.0%} | **{share:.1%}** |",
        "",
        f"![Predicted against measured]({picture})",
        "",
        "## Every plan",
        "",
        "| cluster (cores) | Mbit/s | model | plan | stages | measured | predicted | error |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {cell.cluster} | {cell.rate} | {cell.model} | {cell.plan} | {cell.stages} "
        f"| {cell.measured:.1f} ms | {cell.predicted:.1f} ms | {cell.error:+.1%} |"
        for cell in found
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=CLUSTERS, help="these clusters")
    parser.add_argument("--rate", action="append", type=int, choices=RATES, help="these rates")
    parser.add_argument("--model", action="append", choices=MODELS, help="these models")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/prediction.md"))
    options = parser.parse_args()
    raw = options.output.with_suffix(".json")
    found = [Cell(**cell) for cell in json.loads(raw.read_text())] if raw.exists() else []
    models = options.model or MODELS
    for name, rate in itertools.product(options.only or CLUSTERS, options.rate or RATES):
        found = [
            cell
            for cell in found
            if (cell.cluster, cell.rate) != (name, rate) or cell.model not in models
        ]
        try:
            for cell in cells(name, rate, models):
                found.append(cell)
                print(f"{cell.model:13} {cell.plan:14} {cell.stages:3} stages  measured "
                      f"{cell.measured:7.1f} ms  predicted {cell.predicted:7.1f} ms  "
                      f"{cell.error:+6.1%}", flush=True)  # fmt: skip
        except SwathError as error:
            print(f"{name} at {rate} Mbit/s: {error}", flush=True)
        raw.write_text(json.dumps([asdict(cell) for cell in found], indent=1) + "\n")
    order = list(CLUSTERS)
    found.sort(key=lambda c: (order.index(c.cluster), c.rate, MODELS.index(c.model)))
    picture = options.output.with_suffix(".png")
    draw(found, picture)
    options.output.write_text(document(found, picture.name))
    print("\n".join(line for line in options.output.read_text().splitlines() if "**" in line))


if __name__ == "__main__":
    main()

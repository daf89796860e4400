"""Offloading in the lab: a weak device and a server, what `psomw` plans against what is not fused.

    python -m benchmarks.offload_lab [--rate 20] [--model resnet34@112x112] [--again]
                                     [-o docs/results/offload-lab.md]

Needs root, and a machine with nothing else to do. Raw figures go beside the page, as JSON, scenario
by scenario; a later run measures what is not there yet (``--again``: all of it), and writes the
page of all there is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import swath
from benchmarks.lab_plans import cells_of, name_of, target
from benchmarks.lab_races import (
    ROUNDS,
    Race,
    Scenario,
    Timed,
    alike,
    each_in_its_lab,
    load,
    race_of,
    taken_in_turn,
)
from benchmarks.speed import machine
from swath.cluster.profile_file import write_whole
from swath.runtime.lab.cluster import Figure, LabCluster

CLUSTERS = {"1:0.1": (1.0, 0.1)}
"""Cores of the server, and of the device that offloads: the last one is the source."""

RATES = (5, 20, 100)
"""Mbit/s of the link, in either direction."""

MODELS = ("vgg16@112x112", "resnet34@112x112", "mobilenet_v2", "tiny_yolov2")

NFL = ("nfl-local", "nfl-remote", "nfl-bestcut")
PLANNERS = ("psomw", *NFL)

SCENARIOS: tuple[Scenario, ...] = tuple(itertools.product(CLUSTERS, RATES, MODELS))

ERROR, SLOWER = 0.10, 0.03
"""By how much a prediction may be off, as a share of what is measured; by how much `psomw` may be
slower than the best that is not fused."""

PREDICTED_REQUESTS = 10
"""Of which a prediction is the mean, at least."""

METHOD = f"""\
Real workers on emulated devices: a network namespace each, the link shaped by token buckets, CPU by
quota. The source has 0.1 cores, holds the picture, wants the result and may compute; the one server
has 1 core. Each rate and quota was seen to bite. At the costs that the lab tells of itself `psomw`
(its defaults: up to 4 paths), `nfl-local` (all on the source), `nfl-remote` (all on the server) and
`nfl-bestcut` (one cut, the best) each make a plan; plans that devices carry out alike are one, and
run once. A figure is the mean of requests back to back over at least 1 s and 20 quota periods,
after 0.6 s of requests that spend what a quota lends. The host's speed drifts within minutes: plans
are measured in turn, in {ROUNDS} rounds, every second of them backwards. *Measured* is the median
of the figures; two planners are compared by the median, over the rounds, of the quotients of their
figures. *Predicted* is the mean of as many requests in the simulator, on processors as much slower
or faster than when they were profiled as a fixed convolution was right before and after the
figures; nothing of a measured plan goes into it. The kernel here cannot delay packets, so latencies
are the fabric's own. Weights are seeded.

The *best NFL* is the one beside which `psomw` does worst; it is picked after measuring, so the
noise of several figures counts against `psomw`.
"""


def kept(path: Path) -> dict[Scenario, Race]:
    """What was measured before."""
    raw = json.loads(path.read_text()) if path.exists() else []
    return {race.scenario: race for race in map(race_of, raw)}


def race(lab: LabCluster, scenario: Scenario) -> Race:
    """What `psomw` and those that do not fuse plan."""
    graph = load(scenario[-1])
    made = {name: lab.plan(graph, name) for name in PLANNERS}
    plans = {names: made[names[0]] for names in alike(made)}
    figures = taken_in_turn(lab, graph, plans)
    timed = []
    for names, plan in plans.items():
        taken = figures[names]
        timed.append(
            Timed(names, len(plan.devices_used), len(plan.stages),
                  predicted(lab, plan, taken),
                  [1e3 * figure.seconds for figure in taken])
        )  # fmt: skip
    by_planner = {name: each.predicted for each in timed for name in each.planners}
    done = Race(scenario, timed, by_planner)
    print(f"  psomw takes {done.share:.3f} of the time by {done.best_other}; predicted "
          f"{off(done.of('psomw')):+.1%}", flush=True)  # fmt: skip
    return done


def predicted(lab: LabCluster, plan: swath.Plan, taken: Sequence[Figure]) -> float:
    """Mean milliseconds of as many requests back to back as are behind a figure, at the pace that
    the machine had then."""
    requests = max(figure.requests for figure in taken)
    pace = statistics.median(figure.pace for figure in taken)
    found = lab.predict(plan, max(PREDICTED_REQUESTS, requests), pace=pace)
    return 1e3 * statistics.fmean(found.latencies)


def off(timed: Timed) -> float:
    """By which share of what is measured a prediction is above it."""
    return timed.predicted / timed.measured - 1


def draw(races: Sequence[Race], path: Path) -> None:
    """Milliseconds against the rate, model by model: measured as marks, predicted as lines."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    models = [model for model in MODELS if any(each.scenario[-1] == model for each in races)]
    figure = Figure(figsize=(3.2 * len(models) + 0.8, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        own = sorted((each for each in races if each.scenario[-1] == model),
                     key=lambda each: each.scenario[1])  # fmt: skip
        rates = [each.scenario[1] for each in own]
        for number, (name, mark) in enumerate(zip(PLANNERS, "osv^", strict=True)):
            timed = [each.of(name) for each in own]
            axes.plot(rates, [each.predicted for each in timed], color=f"C{number}", linewidth=1)
            axes.scatter(rates, [each.measured for each in timed], 26, f"C{number}", marker=mark,
                         alpha=0.8, label=name)  # fmt: skip
        axes.set(xscale="log", yscale="log", title=model, xlabel="link, Mbit/s")
        axes.set_xticks(rates, [str(rate) for rate in rates])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("ms (marks: measured, lines: predicted)")
    panels[0].legend(fontsize=8)
    figure.savefig(path)


def targets(races: Sequence[Race]) -> list[str]:
    """Lines of the table of what was to be reached."""
    errors = {each.scenario: abs(off(each.of("psomw"))) for each in races}
    furthest = max(errors, key=lambda scenario: errors[scenario])
    slowest = max(races, key=lambda each: each.share)
    return [
        target(f"time by `psomw`, predicted off measured, worst: {name_of(furthest)}",
               f"≤ {ERROR:.0%}", "", f"{errors[furthest]:.1%}", errors[furthest] <= ERROR),
        target(f"`psomw` against the best NFL, worst: {name_of(slowest.scenario)}",
               f"≤ +{SLOWER:.0%}", "", f"{slowest.share - 1:+.1%}", slowest.share - 1 <= SLOWER),
    ]  # fmt: skip


def against_each(races: Sequence[Race]) -> list[str]:
    """How many times as long as `psomw` each takes."""
    lines = ["| beside | median | mean | least | most |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in NFL:
        times = [each.ratio(name, "psomw") for each in races]
        parts = (statistics.median(times), statistics.fmean(times), min(times), max(times))
        lines.append(f"| `{name}` | " + " | ".join(f"{part:.2f}" for part in parts) + " |")
    return lines


def document(races: Sequence[Race], picture: str) -> str:
    errors = [abs(off(timed)) for each in races for timed in each.plans]
    lines = [
        "# Offloading in the lab",
        "",
        f"`python -m benchmarks.offload_lab` on {time.strftime('%Y-%m-%d')}: {machine()}; one "
        "thread a device.",
        "",
        METHOD,
        f"| what, in {len(races)} scenarios | must | strive for | found | met |",
        "| --- | ---: | ---: | ---: | --- |",
        *targets(races),
        "",
        f"Over all {len(errors)} plans predictions are off by {statistics.median(errors):.1%} in "
        f"the median, and by {max(errors):.1%} at most.",
        "",
        "How many times as long as `psomw` each takes:",
        "",
        *against_each(races),
        "",
        f"![Time of an inference against the rate of the link, by planner]({picture})",
        "",
        "## Every plan",
        "",
        "Cores: the server's, then the source's. `psomw` takes so much of the time by each; bold: "
        "by the best NFL.",
        "",
        "| cores | Mbit/s | model | planners | devices | stages | measured | predicted | off "
        "| `psomw` takes |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in races:
        for timed in each.plans:
            share = f"{each.ratio('psomw', timed.planners[0]):.3f}"
            share = f"**{share}**" if each.best_other in timed.planners else share
            lines.append(
                f"| {cells_of(each.scenario)} | {', '.join(timed.planners)} | {timed.devices} "
                f"| {timed.stages} | {timed.measured:.1f} ms | {timed.predicted:.1f} ms "
                f"| {off(timed):+.1%} | {share} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rate", action="append", type=int, choices=RATES, help="these rates")
    parser.add_argument("--model", action="append", choices=MODELS, help="these models")
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/offload-lab.md"))
    options = parser.parse_args()
    raw, picture = options.output.with_suffix(".json"), options.output.with_suffix(".png")
    found = kept(raw)
    options.output.parent.mkdir(parents=True, exist_ok=True)

    def measure(lab: LabCluster, scenario: Scenario) -> None:
        print(scenario[-1], flush=True)
        found[scenario] = race(lab, scenario)
        write_whole(raw, json.dumps([asdict(each) for each in found.values()], indent=1) + "\n")

    wanted = [
        scenario
        for scenario in SCENARIOS
        if scenario[1] in (options.rate or RATES)
        and scenario[2] in (options.model or MODELS)
        and (options.again or scenario not in found)
    ]
    each_in_its_lab(CLUSTERS, wanted, measure)
    races = [found[scenario] for scenario in SCENARIOS if scenario in found]
    if races:
        draw(races, picture)
        options.output.write_text(document(races, picture.name), encoding="utf-8")
        print("\n".join(targets(races)))


if __name__ == "__main__":
    main()

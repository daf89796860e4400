"""`auto` in the lab: real workers on emulated devices, against other planners and one device.

    python -m benchmarks.lab_plans [--against] [--speedup] [--only 4x0.25] [--rate 100] [--again]
                                   [-o docs/results/lab-plans.md]

Needs root, and a machine with nothing else to do. ``--against``: real times of what `auto` and
others plan; ``--speedup``: of what `auto` plans and of plain ONNX Runtime on one device; both
unless one is named. Raw figures go beside the page, as JSON, scenario by scenario; a later run
measures what is not there yet (``--again``: all of it), and writes the page of all there is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.lab_races import (
    ALWAYS,
    CLUSTERS,
    FIGURES,
    OTHERS,
    RATES,
    ROUNDS,
    SCENARIOS,
    SPEEDUPS,
    Gain,
    Race,
    Scenario,
    each_in_its_lab,
    gain,
    race,
    race_of,
)
from benchmarks.speed import machine
from swath.cluster.profile_file import write_whole
from swath.runtime.lab.cluster import LabCluster

FEWEST, SLOWER, SOONER = 12, 0.03, 0.10
"""Scenarios that there must be; by how much `auto` may be slower than the best other planner in
one of them; how much time it should save on average."""

MEASURE = {"against": race, "speedup": gain}

Found = dict[str, dict[Scenario, Any]]
"""By part and scenario: a `Race` or a `Gain`."""


def kept(path: Path) -> Found:
    """What was measured before."""
    raw = json.loads(path.read_text()) if path.exists() else {part: [] for part in SCENARIOS}
    races = [race_of(each) for each in raw["against"]]
    gains = [Gain(**{**each, "scenario": tuple(each["scenario"])}) for each in raw["speedup"]]
    return {
        "against": {each.scenario: each for each in races},
        "speedup": {each.scenario: each for each in gains},
    }


def save(found: Found, path: Path) -> None:
    raw = {part: [asdict(each) for each in known.values()] for part, known in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(raw, indent=1) + "\n")


def measure(found: Found, wanted: Sequence[tuple[str, Scenario]], raw: Path) -> None:
    """Scenarios of each part, lab by lab; each is kept once it is done."""

    def parts_of(lab: LabCluster, scenario: Scenario) -> None:
        for part, each in wanted:
            if each == scenario:
                print(f"{scenario[-1]}, {part}", flush=True)
                found[part][scenario] = MEASURE[part](lab, scenario)
                save(found, raw)

    each_in_its_lab(CLUSTERS, dict.fromkeys(scenario for _, scenario in wanted), parts_of)


def draw(races: Sequence[Race], path: Path) -> None:
    """Times by other planners, as a multiple of that by `auto`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.3 * len(races)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(1, color="0.5", linewidth=1)
    points: dict[str, list[tuple[float, int]]] = {kind: [] for kind in ("another", *ALWAYS)}
    for row, each in enumerate(races):
        for timed in each.plans[1:]:
            kind = next((name for name in ALWAYS if name in timed.planners), "another")
            points[kind].append((each.ratio(timed.planners[0], "auto"), row))
    for (kind, its), mark in zip(points.items(), "os^", strict=True):
        axes.scatter([x for x, _ in its], [y for _, y in its], 22, marker=mark, alpha=0.75,
                     label=kind)  # fmt: skip
    axes.set_yticks(range(len(races)), [name_of(each.scenario) for each in races], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("measured time by another planner, as a multiple of that by auto")
    axes.legend()
    figure.savefig(path)


METHOD = f"""\
Real workers on emulated devices: a network namespace each, links shaped by token buckets, CPU by
quota; 2 or 4 devices of 0.25 cores, 8 of 0.15, or 4 uneven ones, on a switch; the source is the
last and strongest. In every lab each quota and rate was seen to bite. A figure is the mean of
requests back to back over at least 1 s and 20 quota periods, after 0.6 s of requests that spend
what a quota lends. *Predicted* comes from the simulator, at the costs that the lab tells of itself.
The kernel here cannot delay packets, so latencies are the fabric's own. Weights are seeded.

**Against other planners.** Every registered planner is asked for a plan, at the same costs. The
plan of `auto`, the {OTHERS} of others that are predicted to be the best, and always those of
{" and ".join(f"`{name}`" for name in ALWAYS)} are measured; plans that devices carry out alike are
one. The host's speed drifts within minutes: plans are measured in turn, in {ROUNDS} rounds, every
second of them backwards. Times are medians of the figures; two planners are compared by the median,
over the rounds, of the quotients of their figures. The *best other* planner is the one beside which
`auto` does worst; it is picked after measuring, so the noise of several figures counts against
`auto`.

**Speed-up.** As `swath lab run --planner auto --repeat {FIGURES}`: figures of the split model, and
of plain ONNX Runtime with one thread inside the quota of one such device while the others idle, in
turn; the quotient of the medians. YOLOv2 at 608×608 is cut after its 16th layer (12 convolutions
and 4 pools), which is what DeepThings fuses. DeepThings itself, measured in a lab of such devices
at 1 Gbit/s, was 3.06 times as fast on 4 of them as on one, and 0.27 times as fast as ONNX Runtime
on one.
"""


def targets(found: Found) -> list[str]:
    """Lines of the table of what was to be reached."""
    races, gains = list(found["against"].values()), found["speedup"].values()
    lines = []
    if races:
        worst = max(races, key=lambda each: each.share)
        sooner = statistics.fmean(1 - each.share for each in races)
        slowest = max(races, key=lambda each: each.ratio(*ALWAYS))
        dpfp = slowest.ratio(*ALWAYS)
        lines += [
            target("labs × models in which planners are compared", f"≥ {FEWEST}", "",
                   f"{len(races)}", len(races) >= FEWEST),
            target(f"`auto` against the best other planner, worst: {name_of(worst.scenario)}",
                   f"≤ +{SLOWER:.0%}", "", f"{worst.share - 1:+.1%}", worst.share - 1 <= SLOWER),
            target("time that `auto` saves against the best other planner, on average", "",
                   f"≥ {SOONER:.0%}", f"{sooner:.1%}", sooner >= SOONER),
            target(f"time by `dpfp` over that by `modnn`, worst: {name_of(slowest.scenario)}",
                   "≤ 1", "", f"{dpfp:.2f}", dpfp <= 1),
        ]  # fmt: skip
    for each in gains:
        must, strive = SPEEDUPS[each.scenario]
        lines.append(target(f"speed-up by `auto`: {name_of(each.scenario)}", f"≥ {must}",
                            f"{strive}", f"{each.speedup:.2f}", each.speedup >= must))  # fmt: skip
    return lines


def target(what: str, must: str, strive: str, found: str, is_met: bool) -> str:
    """A line of such a table."""
    return f"| {what} | {must} | {strive} | {found} | {'yes' if is_met else '**no**'} |"


def name_of(scenario: Scenario) -> str:
    """For people."""
    cluster, rate, model = scenario
    return f"{model} on {cluster} at {rate} Mbit/s"


def document(found: Found, picture: str) -> str:
    races, gains = list(found["against"].values()), list(found["speedup"].values())
    lines = [
        "# Plans in the lab",
        "",
        f"`python -m benchmarks.lab_plans` on {time.strftime('%Y-%m-%d')}: {machine()}; one thread "
        "a device.",
        "",
        METHOD,
        "| what | must | strive for | found | met |",
        "| --- | ---: | ---: | ---: | --- |",
        *targets(found),
        *(_against_one_device(gains) if gains else ()),
        *(_against_planners(races, picture) if races else ()),
    ]
    return "\n".join(lines) + "\n"


def _against_one_device(gains: Sequence[Gain]) -> list[str]:
    return [
        "",
        "## `auto` and one device",
        "",
        "| cluster (cores) | Mbit/s | model | one device | `auto` | predicted | devices | stages "
        "| speed-up | outputs differ by |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {cells_of(each.scenario)} | {statistics.median(each.single):.1f} ms "
            f"| {statistics.median(each.split):.1f} ms | {each.predicted:.1f} ms | {each.devices} "
            f"| {each.stages} | {each.speedup:.2f} | {each.off:.1e} |"
            for each in gains
        ),
    ]


def _against_planners(races: Sequence[Race], picture: str) -> list[str]:
    lines = [
        "",
        "## `auto` and other planners",
        "",
        f"![Times by other planners, as multiples of that by auto]({picture})",
        "",
        "`auto` takes so much of the time by each; bold: by the best other planner.",
        "",
        "| cluster (cores) | Mbit/s | model | planners | devices | stages | measured | predicted "
        "| `auto` takes |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in races:
        for timed in each.plans:
            share = f"{each.ratio('auto', timed.planners[0]):.3f}"
            share = f"**{share}**" if each.best_other in timed.planners else share
            lines.append(
                f"| {cells_of(each.scenario)} | {', '.join(timed.planners)} | {timed.devices} "
                f"| {timed.stages} | {timed.measured:.1f} ms | {timed.predicted:.1f} ms | {share} |"
            )
    return lines


def cells_of(scenario: Scenario) -> str:
    """The first cells of a table's line."""
    return " | ".join(str(part) for part in scenario)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", action="store_true", help="compare planners")
    parser.add_argument("--speedup", action="store_true", help="compare with one device")
    parser.add_argument("--only", action="append", choices=CLUSTERS, help="these clusters")
    parser.add_argument("--rate", action="append", type=int, choices=RATES, help="these rates")
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/lab-plans.md"))
    options = parser.parse_args()
    raw, picture = options.output.with_suffix(".json"), options.output.with_suffix(".png")
    found = kept(raw)
    wanted = [
        (part, scenario)
        for part in [part for part in SCENARIOS if getattr(options, part)] or SCENARIOS
        for scenario in SCENARIOS[part]
        if scenario[0] in (options.only or CLUSTERS)
        and scenario[1] in (options.rate or RATES)
        and (options.again or scenario not in found[part])
    ]
    measure(found, wanted, raw)
    for part, scenarios in SCENARIOS.items():
        found[part] = {key: found[part][key] for key in scenarios if key in found[part]}
    if found["against"]:
        draw(list(found["against"].values()), picture)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(document(found, picture.name), encoding="utf-8")
    print("\n".join(targets(found)))


if __name__ == "__main__":
    main()

"""`psomw` against brute force, against what is not fused, and by the clock.

    python -m benchmarks.offloading [--only enumerated] [--jobs 2] [--again]
                                    [-o docs/results/offloading.md]

Instances are drawn and simulated: that may run beside other things, and goes on where it was
stopped. ``--only time`` measures planning and wants a machine with nothing else to do. Raw figures
go beside the page, as JSON; the page is written of all there is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import swath
from benchmarks.lab_plans import target
from benchmarks.offload_instances import (
    DEVICE_GFLOPS,
    DRAWN,
    ENUMERATED,
    FASTER,
    LARGE,
    LARGE_DRAWN,
    LARGE_MODELS,
    LARGE_PATHS,
    LARGE_SERVERS,
    LATENCY,
    LIMIT,
    MBIT,
    MODELS,
    NFL,
    PATHS,
    Found,
    Instance,
    instances,
    solved,
)
from benchmarks.speed import machine
from swath.cluster.profile_file import write_whole
from swath.cost import nominal_costs
from swath.planners import Problem, make_planner

TIME = "time"

ABOVE, PAPER_TIMES, BOUND = 0.0004, 12.75, 3.0
"""Share above brute force; the paper's ratio to its NFL; ratio to the best single cut with one
server."""

PLANNING, STRIVE = 2.0, 0.2
"""Seconds for VGG-16 and 8 paths."""

TIMED_RATES, REPEATS = (1.0, 5.0, 20.0, 50.0, 100.0, 200.0), 3
BANDS = (1, 5, 20, 60, 200)
"""Mbit/s between which ratios are looked at together."""

SAVE_EVERY = 10.0
"""Seconds."""

METHOD = f"""\
Nothing but planning time is measured: plans are simulated, on costs from `gflops` alone. A device
of {DEVICE_GFLOPS[0]:g} to {DEVICE_GFLOPS[1]:g} GFLOP/s holds the picture and wants the result; a
server is {FASTER[0]:g} to {FASTER[1]:g} times as fast; a link has {MBIT[0]:g} to {MBIT[1]:g} Mbit/s
up and down and {LATENCY * 1e3:g} ms; the logarithms of all three are drawn evenly, with seeds that
no test and no choice of a constant has seen. *Enumerated*: {", ".join(MODELS)} at the sizes of
their papers, {DRAWN} of each, one server, up to {PATHS} paths. `offload-brute-force` finds the best
of the space that `psomw` searches: any block, any number of paths up to the most, any cut of each,
any order, the rest on either side; what it cannot finish within {LIMIT:,} cuts and orders would be
left out and counted. How far `psomw` is above it is told by the rules that both search with; their
plans are simulated, too. *Large*: {", ".join(LARGE_MODELS)}, up to {LARGE_PATHS[0]} and up to
{LARGE_PATHS[1]} paths, {", ".join(map(str, LARGE_SERVERS))} servers with a link each,
{LARGE_DRAWN} of each of these.
"""

WHY = {
    "nfl-local": "all on the device takes as much longer as the server is faster, wherever the "
    f"link does not hold it back, and servers are {FASTER[0]:g} to {FASTER[1]:g} times as fast",
    "nfl-remote": "all on a server takes as much longer as sending the picture does, wherever that "
    "is what takes the time",
    "nfl-bestcut": "one cut uses one of device, link and server at a time, paths use all of them",
}


@dataclass(frozen=True)
class Timing:
    """``seconds`` of planning for VGG-16, each time with a graph that nobody has planned for.
    ``mbit``: of the link of each of its servers."""

    paths: int
    servers: int
    mbit: float
    seconds: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


TIMINGS = (
    *(Timing(8, 1, mbit) for mbit in TIMED_RATES),
    *(Timing(paths, servers, 50.0) for paths, servers in ((4, 1), (4, 3), (8, 3), (4, 11))),
)
"""What is timed, without seconds yet."""


def timed(case: Timing) -> Timing:
    """The case with its seconds."""
    speeds = tuple(10.0 + number for number in range(case.servers))
    instance = Instance(TIME, 0, "vgg16", case.paths, 2.0, speeds, (case.mbit,) * case.servers)
    seconds = []
    for _ in range(REPEATS):
        problem = Problem(swath.load("zoo:vgg16"), nominal_costs(instance.cluster))
        planner = make_planner("psomw", paths=case.paths)
        start = time.perf_counter()
        planner.plan(problem)
        seconds.append(time.perf_counter() - start)
    return Timing(case.paths, case.servers, case.mbit, tuple(seconds))


@dataclass(frozen=True)
class Kept:
    """All that was found."""

    found: dict[Instance, Found]
    timings: list[Timing]
    timed_on: str

    def save(self, path: Path) -> None:
        raw = {
            "timed_on": self.timed_on,
            "timings": [asdict(timing) for timing in self.timings],
            "found": [asdict(each) for each in self.found.values()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(raw, indent=1) + "\n")


def load_kept(path: Path) -> Kept:
    """What the file has; nothing where there is none, or of instances that are drawn no more."""
    if not path.exists():
        return Kept({}, [], "")
    raw = json.loads(path.read_text(encoding="utf-8"))
    timings = [Timing(**entry | {"seconds": tuple(entry["seconds"])}) for entry in raw["timings"]]
    found = {each.instance: each for each in map(_found_of, raw["found"])}
    drawn = [instance for instance in instances() if instance in found]
    return Kept({instance: found[instance] for instance in drawn}, timings, raw["timed_on"])


def _found_of(entry: dict[str, Any]) -> Found:
    own = entry["instance"]
    lists = {name: tuple(own[name]) for name in ("faster", "mbit")}
    return Found(**entry | {"instance": Instance(**own | lists)})


def solve_all(kinds: Collection[str], kept: Kept, path: Path, jobs: int, again: bool) -> None:
    """Solve what is not there yet, ``jobs`` at a time; what is done is kept, whatever ends it."""
    import joblib

    todo = [
        instance
        for instance in instances()
        if instance.kind in kinds and (again or instance not in kept.found)
    ]
    saved = time.monotonic()
    try:
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
            for done, each in enumerate(run(map(joblib.delayed(solved), todo)), 1):
                kept.found[each.instance] = each
                told = "" if each.above is None else f", {each.above:.3%} above brute force"
                print(f"{done} of {len(todo)}: {_name(each.instance)}{told}", flush=True)
                if time.monotonic() - saved > SAVE_EVERY:
                    kept.save(path)
                    saved = time.monotonic()
    finally:
        kept.save(path)


def _name(instance: Instance) -> str:
    servers = ", ".join(
        f"{faster:.1f}× at {mbit:.1f} Mbit/s"
        for faster, mbit in zip(instance.faster, instance.mbit, strict=True)
    )
    return f"{instance.model}, {instance.paths} paths, {instance.gflops:.1f} GFLOP/s, {servers}"


def against_brute_force(found: Sequence[Found]) -> list[str]:
    """A line for each model, and for all."""
    lines = [
        "| model | instances | beyond the limit | mean above | worst | not the best "
        "| simulated: mean above |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model in (*MODELS, "all"):
        own = [each for each in found if model in (each.instance.model, "all")]
        above = [each.above for each in own if each.above is not None]
        if above:
            simulated = [
                1 / each.times("offload-brute-force") - 1 for each in own if each.above is not None
            ]
            missed = sum(each > 1e-6 for each in above)
            lines.append(
                f"| {model} | {len(above)} | {len(own) - len(above)} "
                f"| {statistics.fmean(above):.4%} | {max(above):.3%} "
                f"| {missed} | {statistics.fmean(simulated):+.4%} |"
            )
    return lines


def ratios(found: Sequence[Found]) -> list[str]:
    """How many times as long as `psomw`'s plans those of others take."""
    sets = {"enumerated": [each for each in found if each.instance.kind == ENUMERATED]}
    for servers in LARGE_SERVERS:
        label = f"large, {servers} server" + ("s" if servers > 1 else "")
        sets[label] = [
            each for each in found
            if each.instance.kind == LARGE and len(each.instance.faster) == servers
        ]  # fmt: skip
    sets["all"] = list(found)
    lines = [
        "| instances | | "
        + " | ".join(f"over `{name}`: mean | median | most" for name in NFL)
        + " |",
        "| --- | ---: |" + " ---: |" * 3 * len(NFL),
    ]
    for label, own in sets.items():
        if own:
            cells = []
            for name in NFL:
                times = [each.times(name) for each in own]
                cells += [f"**{statistics.fmean(times):.2f}**", f"{statistics.median(times):.2f}",
                          f"{max(times):.2f}"]  # fmt: skip
            lines.append(f"| {label} | {len(own)} | " + " | ".join(cells) + " |")
    return lines


def by_rate(found: Sequence[Found]) -> list[str]:
    """Mean ratios with one server, by bands of the uplink."""
    lines = ["| Mbit/s, one server | instances | " + " | ".join(f"over `{n}`" for n in NFL) + " |",
             "| --- | ---: |" + " ---: |" * len(NFL)]  # fmt: skip
    for low, high in itertools.pairwise(BANDS):
        own = [
            each for each in found
            if len(each.instance.mbit) == 1 and low <= each.instance.mbit[0] < high
        ]  # fmt: skip
        if own:
            means = (statistics.fmean(each.times(name) for each in own) for name in NFL)
            cells = " | ".join(f"{mean:.2f}" for mean in means)
            lines.append(f"| {low} to {high} | {len(own)} | {cells} |")
    return lines


def nearest_nfl(found: Sequence[Found]) -> str:
    """Which NFL comes nearest to the paper's ratio, and why."""
    means = {name: statistics.fmean(each.times(name) for each in found) for name in NFL}
    nearest = min(NFL, key=lambda name: abs(math.log(means[name] / PAPER_TIMES)))
    return (
        f"The paper's mean over its NFL is {PAPER_TIMES}×. Nearest to it comes `{nearest}` "
        f"({means[nearest]:.2f}×): {WHY[nearest]}. It cannot be against the best single cut: with "
        f"one server no way of paths is more than {BOUND:g} times as fast, for the busiest of "
        "device, link and server has a third of all the work at least, and paths do not do less "
        f"work than the best single cut does (with S servers, each with its link, 1+2S times)."
    )


def targets(kept: Kept) -> list[str]:
    """Lines of the table of what was to be reached."""
    lines = []
    above = [each.above for each in kept.found.values() if each.above is not None]
    if above:
        mean = statistics.fmean(above)
        lines.append(
            target(f"`psomw` above `offload-brute-force`, mean of {len(above)} instances (≥ 200)",
                   f"≤ {ABOVE:.2%}", "0 %", f"{mean:.4%} (worst {max(above):.2%})",
                   mean <= ABOVE and len(above) >= 200)
        )  # fmt: skip
    single = [each.times("nfl-bestcut") for each in kept.found.values()
              if len(each.instance.faster) == 1]  # fmt: skip
    if single:
        lines.append(
            target(f"`nfl-bestcut` over `psomw`, one server, most of {len(single)}", f"≤ {BOUND:g}",
                   "", f"{max(single):.2f}", max(single) <= BOUND)
        )  # fmt: skip
    planning = [each.median for each in kept.timings if (each.paths, each.servers) == (8, 1)]
    if planning:
        lines.append(
            target("planning VGG-16 with 8 paths, slowest of "
                   f"{len(planning)} rates", f"≤ {PLANNING:g} s", f"{STRIVE:g} s",
                   f"{max(planning):.2f} s", max(planning) <= PLANNING)
        )  # fmt: skip
    return lines


def document(kept: Kept, picture: str) -> str:
    found = list(kept.found.values())
    lines = [
        "# Offloading",
        "",
        f"`python -m benchmarks.offloading` on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        METHOD,
        "| what | must | strive for | found | met |",
        "| --- | ---: | ---: | ---: | --- |",
        *targets(kept),
    ]
    if found:
        lines += [
            "", "## Against brute force", "",
            *against_brute_force([each for each in found if each.instance.kind == ENUMERATED]),
            "", "## Against what is not fused", "", nearest_nfl(found), "",
            f"![How many times as long each NFL takes, against the uplink]({picture})", "",
            "How many times as long as `psomw`'s plan each NFL's takes, simulated:", "",
            *ratios(found), "", *by_rate(found),
        ]  # fmt: skip
    if kept.timings:
        lines += [
            "", "## Planning time", "",
            f"Wall seconds of planning VGG-16, median of {REPEATS}, the graph loaded anew each "
            f"time, which is not counted; a device of 2 GFLOP/s, servers that differ. Measured on "
            f"{kept.timed_on}.", "",
            "| paths at most | servers | Mbit/s | median | each |",
            "| ---: | ---: | ---: | ---: | --- |",
            *(
                f"| {each.paths} | {each.servers} | {each.mbit:g} | {each.median:.2f} s "
                f"| {', '.join(f'{seconds:.2f}' for seconds in each.seconds)} |"
                for each in kept.timings
            ),
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def draw(found: Sequence[Found], path: Path) -> None:
    """How many times as long as `psomw` each NFL takes, against the fastest uplink."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(NFL), sharey=True)
    for axes, name in zip(panels, NFL, strict=True):
        for kind, colour in ((ENUMERATED, "#0072B2"), (LARGE, "#E69F00")):
            own = [each for each in found if each.instance.kind == kind]
            axes.scatter([max(each.instance.mbit) for each in own],
                         [each.times(name) for each in own], s=9, color=colour, alpha=0.6,
                         linewidth=0, label=kind)  # fmt: skip
        axes.axhline(
            PAPER_TIMES, color="0.3", linestyle="--", linewidth=1, label="the paper's mean"
        )
        if name == "nfl-bestcut":
            axes.axhline(BOUND, color="#D55E00", linestyle=":", linewidth=1.2,
                         label="bound with one server")  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="fastest uplink, Mbit/s")
        axes.set_title(name, loc="left", fontsize=9)
        axes.grid(color="0.92")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("times as long as psomw")
    panels[-1].legend(fontsize=7.5, loc="upper right")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=(ENUMERATED, LARGE, TIME),
                        help="this part; may be given again")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=-1, metavar="N",
                        help="instances at a time; default: one for each core")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/offloading.md"))
    options = parser.parse_args()
    parts = options.only or (ENUMERATED, LARGE, TIME)
    raw, picture = options.output.with_suffix(".json"), options.output.with_suffix(".png")
    kept = load_kept(raw)
    if TIME in parts and (options.again or not kept.timings):
        timed(TIMINGS[0])  # What is imported when it is first needed is there then.
        timings = []
        for case in TIMINGS:
            timings.append(timed(case))
            print(json.dumps(asdict(timings[-1])), flush=True)
        kept = Kept(kept.found, timings, f"{time.strftime('%Y-%m-%d')}: {machine()}")
        kept.save(raw)
    solve_all(parts, kept, raw, options.jobs, options.again)
    kept = load_kept(raw)
    if kept.found:
        draw(list(kept.found.values()), picture)
    options.output.write_text(document(kept, picture.name), encoding="utf-8")
    print("\n".join(targets(kept)))


if __name__ == "__main__":
    main()

"""How fast the simulator is on this machine, written to docs/results with a plot.

    python -m benchmarks.simulation [--rounds 50] [-o docs/results/simulation.md]

One request: plan, programs and script are ready; what is timed is `simulate` alone, from building
its world to the answer. Many requests: a process of its own for each point, which reads the plan
from a file (without weights, so that its peak memory is what simulating takes), places each request
on four random devices, and is timed from the list of requests to the answer.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import swath
from benchmarks.speed import Row, machine, table
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.plan.codec import load_plan, save_plan
from swath.plan.compile import compile_plan
from swath.simulate import Request, make_script, simulate

MODEL = "zoo:vgg16"
GFLOPS = 5.0
LATENCY = 1e-3
RATES = (20, 100, 1000)
"""Mbit/s."""

EACH_ON = 4
LOAD = 0.5
"""Of the devices' time that the requests' computing takes, about."""

DEVICES = (10, 30, 100, 300, 1000)
REQUESTS = (100, 300, 1000, 3000, 10_000)
MOST_DEVICES = DEVICES[-1]


def make_cluster(count: int, mbit: float) -> Cluster:
    """Equal devices on a switch."""
    return Cluster(
        tuple(Device(f"d{number}", gflops=GFLOPS) for number in range(count)),
        source="d0",
        default_link=Link(mbit * 125e3, LATENCY),
    )


def one_request(rounds: int) -> list[Row]:
    """One request of a model on eight devices, its script ready."""
    graph = swath.load(MODEL)
    rows = []
    for mbit in RATES:
        cluster = make_cluster(8, mbit)
        costs = nominal_costs(cluster)
        plan = swath.plan(graph, cluster, planner="even")
        script = make_script(plan, compile_plan(plan), costs)
        times = []
        for number in range(rounds + 3):
            start = time.perf_counter()
            simulate([Request(script)], costs)
            if number >= 3:
                times.append((time.perf_counter() - start) * 1e3)
        detail = f"{len(script.nbytes)} messages; fastest of {rounds}: {min(times):.2f} ms"
        what = f"one request, 8 devices, {mbit} Mbit/s"
        rows.append(Row(what, statistics.median(times), "ms", 5.0, 2.0, True, detail))
    return rows


@dataclass(frozen=True)
class Point:
    """``seconds`` to simulate, ``peak`` bytes of memory of the whole process; ``before``: that
    much of it before simulating."""

    devices: int
    requests: int
    seconds: float
    before: int
    peak: int
    messages: int
    utilisation: float


def many_requests(plan_file: Path, devices: int, requests: int) -> Point:
    """Requests that come at random (Poisson) to a cluster of equal devices, each on four of them;
    their rate keeps the devices busy by `LOAD`."""
    plan = load_plan(plan_file)
    costs = nominal_costs(make_cluster(devices, 100))
    script = make_script(plan, compile_plan(plan), costs)
    work = sum(sum(part.seconds) for part in script.parts)
    names = [device.name for device in costs.cluster.devices]
    generator = random.Random(0)
    asked, now = [], 0.0
    for _ in range(requests):
        now += generator.expovariate(LOAD * devices / work)
        placement = dict(zip(script.devices, generator.sample(names, EACH_ON), strict=True))
        asked.append(Request(script, now, placement))
    before = peak_memory()
    start = time.perf_counter()
    result = simulate(asked, costs)
    seconds = time.perf_counter() - start
    return Point(
        devices,
        requests,
        seconds,
        before,
        peak_memory(),
        requests * len(script.nbytes),
        statistics.fmean(result.utilisation.values()),
    )


def peak_memory() -> int:
    """Of this process so far, in bytes. (What getrusage says counts the parent's as well, from
    before the process became another program.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status does not say VmHWM")


def measure_apart(plan_file: Path, devices: int, requests: int) -> Point:
    """`many_requests` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.simulation", "--point", str(plan_file)]
    command += [str(devices), str(requests)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Point(**json.loads(done.stdout))


def measure_points() -> list[Point]:
    """Along the devices and along the requests; the last is the largest of both."""
    with tempfile.TemporaryDirectory() as folder:
        plan_file = Path(folder) / "plan.json"
        plan = swath.plan(swath.load(MODEL), make_cluster(EACH_ON, 100), planner="even")
        save_plan(plan, plan_file)
        sizes = [(devices, 1000) for devices in DEVICES]
        sizes += [(MOST_DEVICES, count) for count in REQUESTS if count != 1000]
        points = []
        for size in sizes:
            points.append(measure_apart(plan_file, *size))
            print(json.dumps(asdict(points[-1])), flush=True)
        return points


def rows_of(largest: Point) -> list[Row]:
    what = f"{largest.devices} devices, {largest.requests} requests, each on {EACH_ON}"
    detail = (
        f"{largest.messages} messages, {largest.messages / largest.seconds:.0f} a second; devices "
        f"busy {largest.utilisation:.0%} of the time"
    )
    memory = f"of the process; {largest.before / 1e6:.0f} MB before simulating"
    return [
        Row(f"{what}: time", largest.seconds, "s", 300.0, 60.0, True, detail),
        Row(f"{what}: peak memory", largest.peak / 1e6, "MB", 1000.0, None, True, memory),
    ]


def draw(points: Sequence[Point], path: Path) -> None:
    """Time against devices and against requests."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    by_devices = sorted((p.devices, p.seconds) for p in points if p.requests == 1000)
    by_requests = sorted((p.requests, p.seconds) for p in points if p.devices == MOST_DEVICES)
    for axes, line, name, fixed in (
        (left, by_devices, "devices", "1,000 requests"),
        (right, by_requests, "requests", f"{MOST_DEVICES:,} devices"),
    ):
        axes.loglog(*zip(*line, strict=True), "o-", color="#0072B2", markersize=4)
        axes.set_title(f"{fixed}, each on {EACH_ON} devices", fontsize=9)
        axes.set_xlabel(name)
        axes.grid(True, which="both", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
    left.set_ylabel("seconds to simulate")
    figure.savefig(path, dpi=150)


def markdown(rows: Sequence[Row], points: Sequence[Point], rounds: int, picture: str) -> str:
    lines = [
        "# Speed of the simulator",
        "",
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        f"Made by `python -m benchmarks.simulation --rounds {rounds}`. VGG-16 at batch 1, by"
        f" planner `even`; equal devices of {GFLOPS:g} GFLOP/s (nominal costs, no CPU quotas) on a"
        f" switch, {LATENCY * 1e3:g} ms of latency.",
        "",
        f"One request: plan, programs and script are ready; the median over {rounds} calls of"
        " `simulate` after three to warm up, each of which builds its world anew; nothing is kept"
        " from one call to the next.",
        "",
        "Many requests: at 100 Mbit/s, each on four devices that are drawn at random, at random"
        f" times (Poisson) whose rate keeps the devices busy about {LOAD:.0%} of the time. A"
        " process of its own for each point, which reads the plan from a file without weights; once"
        " each. Seeds are fixed.",
        "",
        *table(rows),
        "",
        f"![Seconds to simulate against devices and requests]({picture})",
        "",
        "| devices | requests | seconds | peak memory, MB | devices busy |",
        "|---|---|---|---|---|",
        *(
            f"| {p.devices} | {p.requests} | {p.seconds:.3g} | {p.peak / 1e6:.0f}"
            f" | {p.utilisation:.0%} |"
            for p in points
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--point", nargs=3, metavar=("PLAN", "DEVICES", "REQUESTS"))
    options = parser.parse_args()
    if options.point:
        plan_file, devices, requests = options.point
        print(json.dumps(asdict(many_requests(Path(plan_file), int(devices), int(requests)))))
        return
    rows = one_request(options.rounds)
    points = measure_points()
    rows += rows_of(points[-1])
    for row in rows:
        print(json.dumps({**row.__dict__, "met": row.is_met}), flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        picture = options.output.with_suffix(".png")
        draw(points, picture)
        text = markdown(rows, points, options.rounds, picture.name)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

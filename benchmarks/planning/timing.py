"""How long `auto` takes to plan, and how that grows with devices and with layers."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

import swath
import swath.api
from benchmarks.speed import machine
from swath.planners import Problem, make_planner
from swath.planners.sweep.sweeping import UNEVEN_GFLOPS, uniform_clusters
from swath.zoo.builder import Network

SPEEDS = {"equal": (5.0,), "uneven": UNEVEN_GFLOPS}
"""GFLOP/s of the devices, by turns."""

BANDWIDTH = 1e9 / 8
"""Bytes per second, of every link."""

TARGETS = (("vgg16", 8, 1.0, 0.1), ("resnet34", 8, 1.0, 0.1), ("resnet152", 32, 15.0, 2.0))
"""Model, devices, seconds that it may take, seconds to strive for."""

GROWTH_MODEL, GROWTH_DEVICES = "vgg16", (2, 4, 8, 16, 32, 64, 128, 256)
CHAIN_DEVICES, CHAIN_LAYERS = 8, (10, 30, 100, 300, 1000)
CHAIN_CHANNELS, CHAIN_SIDE = 16, 64

QUADRATIC = 2.0
"""The exponent that growth may have."""

REPEATS, LONG = 3, 5.0
"""Plans of which the median counts; seconds from which on one is enough."""


@dataclass(frozen=True, slots=True)
class Timing:
    """``seconds`` of planning, each time with a graph that nobody has planned for before.
    ``layers``: of a chain, else 0."""

    series: str
    model: str
    speeds: str
    devices: int
    layers: int = 0
    seconds: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


SERIES = {
    "targets": [
        Timing("targets", model, speeds, devices)
        for model, devices, _, _ in TARGETS
        for speeds in SPEEDS
    ],
    "devices": [Timing("devices", GROWTH_MODEL, "uneven", devices) for devices in GROWTH_DEVICES],
    "layers": [
        Timing("layers", "chain", "uneven", CHAIN_DEVICES, layers) for layers in CHAIN_LAYERS
    ],
}
"""What is to be timed, without seconds yet."""


def chain(layers: int) -> onnx.ModelProto:
    """Convolutions, each with its ReLU, one after the other."""
    network = Network(f"chain-{layers}", seed=0)
    value = network.input((1, CHAIN_CHANNELS, CHAIN_SIDE, CHAIN_SIDE))
    for layer in range(layers):
        value = network.conv(value, f"conv{layer}", CHAIN_CHANNELS, 3, padding=1)
        value = network.relu(value)
    return network.finish(value)


def timed(case: Timing) -> Timing:
    """The case with its seconds."""
    ((_, cluster),) = uniform_clusters([case.devices], [BANDWIDTH], ["switch"], SPEEDS[case.speeds])
    seconds: list[float] = []
    while not seconds or (len(seconds) < REPEATS and seconds[0] < LONG):
        graph = swath.load(chain(case.layers) if case.layers else f"zoo:{case.model}")
        problem = Problem(graph, swath.api.costs(cluster))
        planner = make_planner("auto")
        start = time.perf_counter()
        planner.plan(problem)
        seconds.append(time.perf_counter() - start)
    return Timing(case.series, case.model, case.speeds, case.devices, case.layers, tuple(seconds))


def measure(names: Collection[str], path: Path) -> None:
    """Time these series, which take the place of what the file has of them; it is written after
    each timing."""
    found = [timing for timing in load_timings(path) if timing.series not in names]
    timed(SERIES["layers"][0])  # What is imported when it is first needed is there then.
    for case in (case for name in names for case in SERIES[name]):
        found.append(timed(case))
        print(json.dumps(asdict(found[-1])), flush=True)
        on = {"machine": machine(), "date": time.strftime("%Y-%m-%d")}
        text = json.dumps(on | {"timings": [asdict(timing) for timing in found]}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def load_timings(path: Path) -> list[Timing]:
    """None where there is no file."""
    if not path.exists():
        return []
    entries = json.loads(path.read_text(encoding="utf-8"))["timings"]
    return [Timing(**entry | {"seconds": tuple(entry["seconds"])}) for entry in entries]


def exponent(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """``(power, factor)`` such that ``factor * x ** power`` is nearest to the points, by least
    squares of the logarithms."""
    xs, ys = np.log(np.array(points)).T
    power, intercept = np.polyfit(xs, ys, 1)
    return float(power), math.exp(intercept)


def growth(timings: Sequence[Timing], series: str) -> list[tuple[float, float]]:
    """Points (devices or layers, seconds)."""
    return sorted(
        (timing.devices if series == "devices" else timing.layers, timing.median)
        for timing in timings
        if timing.series == series
    )


def draw(timings: Sequence[Timing], path: Path) -> None:
    """Seconds against devices and against layers, the fitted power, and a quadratic one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    titles = {
        "devices": f"{GROWTH_MODEL}, devices",
        "layers": f"chains on {CHAIN_DEVICES} devices, layers",
    }
    for axes, (series, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        points = growth(timings, series)
        if len(points) > 1:
            x, y = np.array(points).T
            power, factor = exponent(points)
            axes.loglog(x, y, "o", color="#0072B2", markersize=4, label="planning")
            axes.loglog(x, factor * x**power, color="#0072B2", linewidth=1,
                        label=f"fitted: power {power:.2f}")  # fmt: skip
            axes.loglog(x, y[-1] * (x / x[-1]) ** QUADRATIC, ":", color="0.5", linewidth=1,
                        label="quadratic")  # fmt: skip
            axes.legend(fontsize=7.5, frameon=False)
        axes.set(xlabel=series, ylabel="seconds")
        axes.set_title(title, loc="left", fontsize=9)
    figure.savefig(path)


def target_lines(timings: Sequence[Timing]) -> Iterator[str]:
    """What must be, in the table at the head of the page."""
    for model, devices, must, strive in TARGETS:
        medians = {
            timing.speeds: timing.median
            for timing in timings
            if (timing.series, timing.model, timing.devices) == ("targets", model, devices)
        }
        if medians:
            each = ", ".join(f"{speeds} {median:.3g} s" for speeds, median in medians.items())
            yield (
                f"| planning {model}, {devices} devices | ≤ {must:g} s | {strive:g} s "
                f"| **{max(medians.values()):.3g} s** ({each}) |"
            )
    for series in ("devices", "layers"):
        points = growth(timings, series)
        if len(points) > 3:
            upper = points[len(points) // 2 :]
            whole, end = exponent(points)[0], exponent(upper)[0]
            yield (
                f"| planning grows with {series} to {points[-1][0]:,} | no worse than quadratic | "
                f"| **power {max(whole, end):.2f}** (all points {whole:.2f}, the upper "
                f"{len(upper)} {end:.2f}) |"
            )


def section(path: Path, picture: str) -> Iterator[str]:
    """Of the page: how it was measured, and every timing."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    yield "## Planning time"
    yield ""
    yield (
        f"Measured on {stored['date']}: {stored['machine']}. Wall seconds of "
        '`make_planner("auto").plan(problem)`, one process, nothing else running: the median of '
        f"{REPEATS}, or a single one where it took {LONG:g} s or more. The graph is loaded anew "
        "each time, so nothing that was worked out before helps; loading is not counted. Devices "
        f"of {SPEEDS['equal'][0]:g} GFLOP/s (equal) or "
        f"{', '.join(f'{speed:g}' for speed in SPEEDS['uneven'])} by turns (uneven), on a switch, "
        f"1 Gbit/s, 1 ms. A chain's layer is a 3×3 convolution of {CHAIN_CHANNELS} channels on "
        f"{CHAIN_SIDE}×{CHAIN_SIDE} with its ReLU. The power is fitted to the logarithms by least "
        "squares; the larger of that of all points and that of the upper half counts."
    )
    yield ""
    yield f"![Planning time against devices and layers]({picture})"
    yield ""
    yield "| model | devices | median | each |"
    yield "| --- | --- | ---: | --- |"
    for timing in load_timings(path):
        model = f"chain of {timing.layers:,} layers" if timing.layers else timing.model
        each = ", ".join(f"{seconds:.3g}" for seconds in timing.seconds)
        yield f"| {model} | {timing.devices} {timing.speeds} | {timing.median:.3g} s | {each} |"

"""How often plans meet a deadline over links that vary, written to docs/results with a plot.

    python -m benchmarks.reliability [--trials 2000] [-o docs/results/reliability.md]

A camera offloads pictures by radio to the first of some edge servers, which are wired to it: a
star. Figures are simulated, seeds are fixed. Beside the page stand the raw figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import swath
from benchmarks.speed import machine
from swath.cluster import Cluster, Device, Link
from swath.cluster.channel import parse_channel
from swath.cluster.varying import with_channels
from swath.cost import Costs, nominal_costs
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.simulate import Request, make_script, simulate
from swath.simulate.reliability import (
    Reliability,
    reliability_curve,
    reliability_of,
    transfer_reliability,
)
from swath.simulate.trials import run_trials

CAMERA_GFLOPS, SERVER_GFLOPS = 20.0, 500.0
UPLINK, UPLINK_LATENCY = 100.0, 1e-3
WIRED, WIRED_LATENCY = 10_000.0, 0.1e-3
"""Mbit/s and seconds."""

CHANNELS = {
    "truncated Gaussian": "gaussian(std=40Mbps, min=5Mbps, block=100ms)",
    "Rayleigh": "rayleigh(snr=10dB, block=20ms)",
    "Gilbert-Elliott": "gilbert(bad=20Mbps, good_time=1s, bad_time=200ms)",
}
MODELS = ("vgg16", "resnet50")
SERVERS = (1, 2, 4, 7)
SIZES = (192, 224, 256)

ONE, DPFP, SOONEST, SUREST = "one server", "dpfp", "auto, latency", "auto, reliability"

CLOSED_TRIALS = 40_000
STEADY = "1000s"
"""For which a rate holds where the closed form is asked: far longer than an inference."""


def cluster_of(servers: int, channel: str | None = None, where: str = "") -> Cluster:
    """Camera, radio, servers; ``channel`` of the radio, both ways or only ``where`` it says."""
    names = [f"server-{number}" for number in range(servers)]
    devices = (
        Device("camera", CAMERA_GFLOPS, compute=False),
        *(Device(name, SERVER_GFLOPS) for name in names),
    )
    radio, wire = (
        Link(mbit * 125e3, latency)
        for mbit, latency in ((UPLINK, UPLINK_LATENCY), (WIRED, WIRED_LATENCY))
    )
    links = {("camera", names[0]): radio, (names[0], "camera"): radio}
    made = Cluster(devices, "camera", "star", wire, links, names[0])
    if channel is None:
        return made
    return with_channels(made, [f"{where or f'camera {names[0]}'}: {channel}"])


def trials_of(plans: Sequence[Plan], costs: Costs, count: int) -> list[float]:
    """Latencies, in seconds."""
    scripts = [make_script(plan, compile_plan(plan), costs) for plan in plans]
    return [found.latencies[0] for found in run_trials(scripts, costs, count)]


@dataclass(frozen=True)
class Setting:
    """What came of the plans on some servers over a channel. ``deadline``: seconds; ``latencies``:
    of every trial, by planner."""

    model: str
    servers: int
    channel: str
    deadline: float
    latencies: Mapping[str, Sequence[float]]

    def of(self, planner: str) -> Reliability:
        return reliability_of(self.latencies[planner], self.deadline)


def measure(model: str, servers: int, channel: str, count: int) -> Setting:
    """The deadline is the one that the plan of dpfp meets every other time."""
    graph = swath.load(f"zoo:{model}")
    costs = nominal_costs(cluster_of(servers, CHANNELS[channel]))
    asked = Problem(graph, costs)
    alone = Problem(graph, nominal_costs(cluster_of(1, CHANNELS[channel])))
    plans = {
        ONE: make_planner("whole").plan(alone),
        DPFP: make_planner("dpfp", subset=True).plan(asked),
        SOONEST: make_planner("auto").plan(asked),
    }
    latencies = {name: trials_of([plan], costs, count) for name, plan in plans.items()}
    deadline = sorted(latencies[DPFP])[count // 2]
    surest = replace(asked, objective="reliability", deadline=deadline)
    latencies[SUREST] = trials_of([make_planner("auto").plan(surest)], costs, count)
    return Setting(model, servers, channel, deadline, latencies)


@dataclass(frozen=True)
class Check:
    """Trials beside the closed form, for one deadline."""

    channel: str
    expected: float
    found: Reliability

    @property
    def agrees(self) -> bool:
        return self.found.low <= self.expected <= self.found.high


def check(channel: str) -> list[Check]:
    """One server, a radio that varies upwards alone and so slowly that a rate outlasts an
    inference: the picture's transfer is all that varies."""
    graph = swath.load(f"zoo:{MODELS[0]}")
    slowly = CHANNELS[channel].replace("block=100ms", f"block={STEADY}")
    slowly = slowly.replace("block=20ms", f"block={STEADY}")
    slowly = slowly.replace("_time=1s", "_time=5000s").replace("_time=200ms", f"_time={STEADY}")
    costs = nominal_costs(cluster_of(1, slowly, "up"))
    plan = make_planner("whole").plan(Problem(graph, costs))
    nbytes = sum(graph.tensors[name].nbytes for name in graph.inputs)
    steady = nominal_costs(cluster_of(1))
    (whole,) = simulate([Request(make_script(plan, compile_plan(plan), steady))], steady).latencies
    rate = UPLINK * 125e3
    rest = whole - nbytes / rate
    found = trials_of([plan], costs, CLOSED_TRIALS)
    model = parse_channel(slowly)
    assert model is not None
    return [
        Check(
            channel,
            transfer_reliability(model, rate, nbytes, rest, deadline),
            reliability_of(found, deadline),
        )
        for deadline in (rest + share * nbytes / rate for share in (0.8, 1.1, 2.0, 6.0))
    ]


@dataclass(frozen=True)
class Mixed:
    """Pictures of one size beside pictures of several, under one deadline."""

    deadline: float
    one: Reliability
    several: Reliability


def mix(count: int) -> Mixed:
    """Plans of dpfp on four servers, one for each size."""
    costs = nominal_costs(cluster_of(4, CHANNELS["truncated Gaussian"]))
    plans = {
        size: make_planner("dpfp", subset=True).plan(
            Problem(swath.load(f"zoo:{MODELS[0]}@{size}x{size}"), costs)
        )
        for size in SIZES
    }
    one = trials_of([plans[224]], costs, count)
    several = trials_of(list(plans.values()), costs, count)
    deadline = sorted(one)[round(0.9 * count)]
    return Mixed(deadline, reliability_of(one, deadline), reliability_of(several, deadline))


def told(found: Reliability) -> str:
    return f"{found.probability:.1%} ({found.low:.1%}–{found.high:.1%})"


def document(
    settings: Sequence[Setting], checks: Sequence[Check], mixed: Mixed, trials: int, picture: str
) -> str:
    planners = list(settings[0].latencies)
    most = max(
        (found.high - found.low) / 2 for each in settings for found in map(each.of, planners)
    )
    agreeing = sum(each.agrees for each in checks)
    below = [
        each for each in settings
        if any(each.of(SUREST).high < each.of(other).low for other in planners)
    ]  # fmt: skip
    ahead, better = (
        sum(each.of(SUREST).low > each.of(other).high for each in settings)
        for other in (DPFP, SOONEST)
    )
    lines = [
        "# Reliability: how often plans meet a deadline",
        "",
        f"Made on {time.strftime('%Y-%m-%d')} by `python -m benchmarks.reliability --trials"
        f" {trials}`: {machine()}. All figures are simulated, on costs from `gflops` alone; seeds"
        " are fixed, so they do not depend on the machine.",
        "",
        f"A camera that computes nothing offloads its picture by radio ({UPLINK:g} Mbit/s on"
        f" average, {UPLINK_LATENCY * 1e3:g} ms) to the first of some servers of"
        f" {SERVER_GFLOPS:g} GFLOP/s, the others are wired to that one ({WIRED / 1e3:g} Gbit/s,"
        f" {WIRED_LATENCY * 1e3:g} ms): the setting of Li, Iosifidis and Zhang (ICC 2022; Computer"
        " Networks 2022), as far as their abstracts tell it. The radio varies, up and down for"
        " itself:",
        "",
        *(f"- {name}: `{text}`" for name, text in CHANNELS.items()),
        "",
        f"Each of {trials} trials is an inference by itself, at a moment of its own; all plans meet"
        " the same rates at the same moments. `dpfp` searches its best subset of the servers. The"
        " deadline is the time within which `dpfp`'s plan is over in half of the trials (in more,"
        " where many take the same time: a channel of two states). `auto, latency` is the plan for"
        " the least latency, `auto, reliability` that for this deadline"
        " (chosen by other trials than those that judge it here). In brackets: Wilson's interval at"
        f" 95 %; no figure is further than {most:.1%} from either bound.",
        "",
        f"**Found.** `auto`'s plan for reliability meets the deadline more often than `dpfp`'s in"
        f" {ahead} of {len(settings)} settings, and more often than the one for latency in"
        f" {better}, by more than both intervals; it is less"
        f" reliable than any of the others by more than both in {len(below)}.",
        "",
        f"![Reliability against deadline]({picture})",
        "",
        f"| model | servers | channel | deadline, ms | {' | '.join(planners)} |",
        f"|---|---|---|---|{'---|' * len(planners)}",
        *(
            f"| {each.model} | {each.servers} | {each.channel} | {each.deadline * 1e3:.1f} | "
            f"{' | '.join(told(each.of(planner)) for planner in planners)} |"
            for each in settings
        ),
        "",
        "## Against the closed form",
        "",
        f"{MODELS[0]} on one server, the radio varying upwards alone, and so slowly that a rate"
        " outlasts an inference. Then P(T ≤ D) = P(rate ≥ bytes / (D − rest)), the distribution"
        f" function of the channel's rate. {CLOSED_TRIALS} trials; of such intervals one in twenty"
        f" misses the truth by chance. {agreeing} of {len(checks)} hold it.",
        "",
        "| channel | deadline, ms | closed form | trials | within |",
        "|---|---|---|---|---|",
        *(
            f"| {each.channel} | {each.found.deadline * 1e3:.1f} | {each.expected:.2%} | "
            f"{each.found.probability:.2%} ({each.found.low:.2%}–{each.found.high:.2%}) | "
            f"{'yes' if each.agrees else '**no**'} |"
            for each in checks
        ),
        "",
        "## Pictures of several sizes",
        "",
        f"{MODELS[0]} on four servers, truncated Gaussian, plans of `dpfp`: where all pictures are"
        f" 224 × 224, {mixed.deadline * 1e3:.1f} ms are met by {told(mixed.one)}; where they are"
        f" {', '.join(map(str, SIZES))} pixels wide and high by turns of chance, with a plan for"
        f" each size, by {told(mixed.several)}.",
    ]
    return "\n".join(lines) + "\n"


def draw(settings: Sequence[Setting], path: Path) -> None:
    """A panel for each model and channel, on four servers."""
    from matplotlib.figure import Figure

    colours = ("#999999", "#E69F00", "#56B4E9", "#0072B2")
    figure = Figure(figsize=(9.6, 4.8), facecolor="white", layout="constrained")
    grid = figure.subplots(len(MODELS), len(CHANNELS), sharey=True, sharex="row")
    for row, model in zip(grid, MODELS, strict=True):
        for axes, channel in zip(row, CHANNELS, strict=True):
            (each,) = (
                s for s in settings if (s.model, s.servers, s.channel) == (model, 4, channel)
            )
            right = max(4 * each.deadline, *map(max, each.latencies.values())) * 1e3
            for (name, latencies), colour in zip(each.latencies.items(), colours, strict=True):
                curve = reliability_curve(latencies)
                x = np.concatenate(([0.0], curve.deadlines * 1e3, [right]))
                share, low, high = (
                    np.concatenate(([0.0], values, values[-1:]))
                    for values in (curve.probabilities, curve.lows, curve.highs)
                )
                axes.step(x, share, where="post", label=name, color=colour, linewidth=1.1)
                axes.fill_between(x, low, high, step="post", color=colour, alpha=0.2, linewidth=0)
            axes.axvline(each.deadline * 1e3, color="#777777", linestyle="--", linewidth=0.8)
            axes.set_title(f"{model}, 4 servers, {channel}", loc="left", fontsize=8)
            axes.set_xlim(0, 4 * each.deadline * 1e3)
            axes.set_ylim(0, 1.02)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("inferences in time")
    for axes in grid[-1]:
        axes.set_xlabel("deadline, ms")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/reliability.md"))
    options = parser.parse_args()
    settings = []
    for model in MODELS:
        for servers in SERVERS:
            for channel in CHANNELS:
                each = measure(model, servers, channel, options.trials)
                settings.append(each)
                shares = {name: each.of(name).probability for name in each.latencies}
                print(model, servers, channel, f"{each.deadline * 1e3:.1f} ms", shares, flush=True)
    checks = [each for channel in CHANNELS for each in check(channel)]
    mixed = mix(options.trials)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture = options.output.with_suffix(".png")
    draw(settings, picture)
    text = document(settings, checks, mixed, options.trials, picture.name)
    options.output.write_text(text, encoding="utf-8")
    raw = {
        "settings": [
            {
                "model": each.model,
                "servers": each.servers,
                "channel": each.channel,
                "planners": {name: asdict(each.of(name)) for name in each.latencies},
            }
            for each in settings
        ],
        "checks": [asdict(each) for each in checks],
        "sizes": asdict(mixed),
    }
    options.output.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()

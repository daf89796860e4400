"""What the grid shows: the lines of the page, and its picture."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.planning.results import TIE, Result, present
from benchmarks.planning.scenarios import BUDGET, planners, settings

SLOWER, SAVED, SAVED_STRIVE = 0.005, 0.03, 0.15
GAP, GAP_STRIVE, COMPUTING = 0.25, 0.10, 0.70
"""What must be reached and what is striven for; the last: from which share of computing on the gap
counts."""

WORST = 12
BANDS = (0.0, 0.3, 0.5, COMPUTING, 0.9)
"""Of the share of computing, from where on."""


def lost(found: Iterable[Result]) -> list[Result]:
    """Scenarios in which others have a plan and auto has none."""
    return [result for result in found if result.auto is None and result.plans]


def slower(found: Iterable[Result]) -> list[Result]:
    """Those in which auto's plan takes longer than may be."""
    return [r for r in found if r.saving is not None and r.saving < -SLOWER]


def below_bound(found: Iterable[Result]) -> list[tuple[Result, str]]:
    """Plans that are faster than the bound says that any can be."""
    return [
        (result, planner)
        for result in found
        for planner, time in result.plans.items()
        if result.bound is not None and time < result.bound * (1 - TIE)
    ]


def both_planned(found: Iterable[Result]) -> list[Result]:
    """Where dpfp and modnn have plans."""
    return [result for result in found if {"dpfp", "modnn"} <= set(result.plans)]


def dpfp_slower(found: Iterable[Result]) -> list[Result]:
    """Where dpfp is slower than modnn."""
    return [
        result
        for result in both_planned(found)
        if result.plans["dpfp"] > result.plans["modnn"] * (1 + TIE)
    ]


def target_lines(found: Sequence[Result]) -> Iterator[str]:
    """What must be, in the table at the head of the page."""
    savings = present(result.saving for result in found)
    gaps = present(r.gap for r in found if (r.computing or 0.0) >= COMPUTING)
    plans = sum(len(result.plans) for result in found)
    yield (
        f"| `auto` slower than the best other by more than {SLOWER:.1%}, or the one without a plan "
        f"| never | | **{len(slower(found))}** and **{len(lost(found))}** of {len(found)} "
        f"scenarios; at worst {max(0.0, -min(savings)):.2%} slower |"
    )
    yield (
        f"| time saved against the best other, mean of {len(savings)} scenarios | ≥ {SAVED:.0%} "
        f"| {SAVED_STRIVE:.0%} | **{statistics.fmean(savings):.1%}** "
        f"(median {statistics.median(savings):.1%}) |"
    )
    yield f"| plans below the lower bound | none | | **{len(below_bound(found))}** of {plans} |"
    if gaps:
        yield (
            f"| gap of `auto`'s plan to the bound, median of the {len(gaps)} scenarios that "
            f"compute for ≥ {COMPUTING:.0%} of the time | ≤ {GAP:.0%} | {GAP_STRIVE:.0%} "
            f"| **{statistics.median(gaps):.1%}** |"
        )
    yield (
        f"| `dpfp` slower than `modnn` | never | | **{len(dpfp_slower(found))}** of "
        f"{len(both_planned(found))} scenarios in which both have a plan |"
    )


METHOD = """\
Every scenario is a model of the zoo on a cluster: 1 to 16 computing devices, equal (2 to 12
GFLOP/s, drawn), uneven (each drawn from 1.5 to 15) or mixed (2.5 and 10); a switch, a shared medium
or a star; links of 10 Mbit/s to 10 Gbit/s with 2 to 0.1 ms of latency; in one of six the source is
a camera, which computes nothing; in one of five memory is *tight*: every device has 65 to 95 % of
what the model takes on one. Every level comes as often as planned and meets the others at random,
always the same way. The first device is the source, and the first that computes the hub of a star.
Costs are nominal (the devices' GFLOP/s), times are those of the simulator. So nothing here depends
on the machine, but that a planner has {budget:g} s for a plan ({late} of {asked} were not done).

All planners that plan for latency took part, without options: {planners}. (`pico` plans for
throughput only.) *Time saved* is 1 − auto's time ÷ that of the best other plan. *Gap* is auto's
time ÷ the [lower bound](../lower-bound.md) − 1. *Computing* is the time that the busiest device of
auto's plan spends on its tiles, and on putting their inputs together, ÷ the plan's latency;
messages are not counted.
"""


def section(found: Sequence[Result], picture: str) -> Iterator[str]:
    """Of the page: how the grid was made, and what is to be seen in it."""
    yield "## The grid"
    yield ""
    yield METHOD.format(
        budget=BUDGET,
        late=sum("not done within" in why for r in found for why in r.refusals.values()),
        asked=sum(len(result.plans) + len(result.refusals) for result in found),
        planners=", ".join(f"`{name}`" for name in planners()),
    )
    only = sum(result.auto is not None and not result.others for result in found)
    nobody = sum(not result.plans for result in found)
    yield (
        f"{len(found)} of {len(settings())} scenarios are done. In {only} of them only `auto` has a"
        f" plan, in {nobody} nobody has one; no time is saved or lost there."
    )
    yield ""
    yield f"![Time saved in every scenario, and gaps against computing]({picture})"
    yield ""
    yield from _worst_lines(found)
    yield from _broken_lines(found)
    yield from _planner_lines(found)
    yield from _level_lines(found)
    yield from _gap_lines(found)


def _worst_lines(found: Sequence[Result]) -> Iterator[str]:
    yield f"### The {WORST} scenarios with several devices in which `auto` saves least"
    yield ""
    yield "| scenario | best other | its plan | `auto` | saved |"
    yield "| --- | --- | ---: | ---: | ---: |"
    several = [r for r in found if r.saving is not None and r.devices > 1]
    for result in sorted(several, key=lambda result: result.saving or 0.0)[:WORST]:
        best = min(result.others, key=lambda planner: result.others[planner])
        yield (
            f"| {result.name} | `{best}` | {result.others[best]:.2f} ms | {result.auto:.2f} ms "
            f"| {result.saving:.2%} |"
        )
    yield ""


def _broken_lines(found: Sequence[Result]) -> Iterator[str]:
    """Everything that must not be, by name."""
    lines = [f"- {r.name}: `auto` is slower by {-(r.saving or 0.0):.2%}" for r in slower(found)]
    lines += [f"- {r.name}: `auto` has no plan: {r.refusals['auto']}" for r in lost(found)]
    lines += [
        f"- {result.name}: `{planner}` takes {result.plans[planner]:.3f} ms, less than the bound "
        f"of {result.bound:.3f} ms"
        for result, planner in below_bound(found)
    ]
    lines += [
        f"- {r.name}: `dpfp` takes {r.plans['dpfp']:.2f} ms, `modnn` {r.plans['modnn']:.2f} ms"
        for r in dpfp_slower(found)
    ]
    if lines:
        yield "### What must not be"
        yield ""
        yield from lines
        yield ""


def _planner_lines(found: Sequence[Result]) -> Iterator[str]:
    yield "### The others"
    yield ""
    yield (
        "*Best*: in how many scenarios with several devices no planner but `auto` is faster; where "
        "plans are equally fast each of them counts."
    )
    yield ""
    yield "| planner | plans | best | time ÷ `auto`'s, median | refusals | why, most often |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    others = [planner for planner in planners() if planner != "auto"]
    best = {planner: _times_best(found, planner) for planner in others}
    for planner in sorted(others, key=lambda planner: -best[planner]):
        ratios = [r.plans[planner] / r.auto for r in found if r.auto and planner in r.plans]
        reasons = Counter(_gist(r.refusals[planner]) for r in found if planner in r.refusals)
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(2))
        plans = sum(planner in result.plans for result in found)
        yield f"| `{planner}` | {plans} | {best[planner]} | {ratio} | {reasons.total()} | {why} |"
    yield ""


def _times_best(found: Iterable[Result], planner: str) -> int:
    return sum(
        result.others[planner] <= min(result.others.values()) * (1 + TIE)
        for result in found
        if result.devices > 1 and planner in result.others
    )


def _gist(reason: str) -> str:
    """A refusal without names and numbers."""
    first = re.sub(r"'[^']*'", "…", reason.split(";")[0])
    return re.sub(r"\d[\d.,^]*", "N", first).replace("|", "/")


def _level_lines(found: Sequence[Result]) -> Iterator[str]:
    yield "### By what the scenarios are made of"
    yield ""
    yield "| | scenarios | time saved, mean | least | gap, median |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    factors: tuple[Callable[[Result], list[str]], ...] = (
        lambda result: [f"{result.devices} devices"],
        lambda result: result.kinds,
        lambda result: [result.network],
        lambda result: [f"{result.rate:g} Mbit/s"],
        lambda result: [result.model],
    )
    for levels in factors:
        groups = defaultdict(list)
        for result in found:
            if result.saving is not None:
                for level in levels(result):
                    groups[level].append(result)
        for level in sorted(groups, key=_in_order):
            savings = present(result.saving for result in groups[level])
            gaps = present(result.gap for result in groups[level])
            yield (
                f"| {level} | {len(savings)} | {statistics.fmean(savings):.1%} "
                f"| {min(savings):.1%} | {statistics.median(gaps):.0%} |"
            )
    yield ""


def _in_order(level: str) -> tuple[float, str]:
    """Numbers by size, the rest by name."""
    number = re.match(r"\d+", level)
    return (float(number[0]) if number else 0.0), level


def _gap_lines(found: Sequence[Result]) -> Iterator[str]:
    yield "### Above the lower bound, by how much of the time the busiest device computes"
    yield ""
    yield "| computing | scenarios | gap, median | least | most |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for low, high in zip(BANDS, (*BANDS[1:], float("inf")), strict=True):
        inside = (r.gap for r in found if r.computing is not None and low <= r.computing < high)
        gaps = present(inside)
        if gaps:
            band = f"{low:.0%} to {high:.0%}" if high < 1 else f"{low:.0%} and more"
            yield (
                f"| {band} | {len(gaps)} | {statistics.median(gaps):.1%} | {min(gaps):.1%} "
                f"| {max(gaps):.1%} |"
            )
    yield ""


def draw(found: Sequence[Result], path: Path) -> None:
    """Time saved by scenario, in order; gaps against the share of computing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    savings = sorted(present(result.saving for result in found))
    left.fill_between(range(len(savings)), [100 * saving for saving in savings],
                      step="mid", color="#0072B2", linewidth=0)  # fmt: skip
    left.axhline(0, color="0.3", linewidth=0.8)
    left.axhline(100 * statistics.fmean(savings), color="#D55E00", linewidth=1, linestyle="--",
                 label=f"mean {statistics.fmean(savings):.1%}")  # fmt: skip
    left.set(xlabel="scenarios, in order", ylabel="time saved, %")
    left.set_title("auto against the best other plan", loc="left", fontsize=9)
    for network, colour in (("switch", "#0072B2"), ("shared", "#E69F00"), ("star", "#009E73")):
        own = [
            (100 * result.computing, 1 + result.gap)
            for result in found
            if result.network == network and result.computing is not None and result.gap is not None
        ]
        if own:
            right.scatter(*zip(*own, strict=True), s=12, color=colour, alpha=0.75, label=network)
    right.hlines(1 + GAP, 100 * COMPUTING, 100, color="0.3", linewidth=1, linestyle="--",
                 label=f"{GAP:.0%} above")  # fmt: skip
    right.set(xlabel="computing, % of the time", ylabel="auto ÷ lower bound", yscale="log")
    right.set_title("how near to the bound", loc="left", fontsize=9)
    for axes in (left, right):
        axes.legend(fontsize=7.5, frameon=False)
    figure.savefig(path)

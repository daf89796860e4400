"""The headlines of published methods: their settings, and what is made of the figures.

Used by `benchmarks.published`. What the papers say of their settings is in each section's text.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter

from benchmarks.claims import (
    COUNTINGS,
    Cell,
    Claim,
    Figures,
    Job,
    Setting,
    Style,
    Verdict,
    as_saved,
    as_times,
    claim,
    grid,
    no_slower,
    of_saved,
    present,
    solved,
    table,
    verdict,
)

WIDE, LAN, FAST = 1e-3, 1e-4, 1e-5
"""Seconds of latency of every link."""

DPFP_SAVED = 0.73
SERVERS = tuple(range(2, 8))
SERVER_KINDS = (
    (5000.0, FAST, (1e3, 1e4, 4e4, 1e5)),
    (50.0, LAN, (1e2, 1e3, 1e4)),
    (5.0, WIDE, (50.0, 1e3)),
)
"""(GFLOP/s of each server, latency, Mbit/s): GPUs, edge servers, small computers."""

EDGECI_SAVED = (0.3472, 0.4352)
EDGECI_PARTS = ("awas", "awas-greedy", "dpfl")
EDGECI_BASELINES = ("modnn", "deepthings", "aofl")
OFPM_TIMES = (1.0, 2.54)
OFPM_BASELINES = ("neurosurgeon", "modnn", "coedge", "deepthings")
BEST = "the best of them"

SMALL_CLUSTERS = ((5.0,) * 4, (7.5, 7.5, 5.0, 5.0), (10.0, 5.0, 5.0, 2.0))
"""GFLOP/s: equal; as Raspberry Pi 4B to 3B+ (1.5 : 1, as EdgeDI has it); one idle, one busy."""

SMALL_MODELS, SMALL_RATES = ("vgg16", "resnet34"), (50.0, 100.0, 1e3)
SMALL_PLANNERS = ("edgeci", "ofpm", "dpfp", *EDGECI_PARTS, *EDGECI_BASELINES, *OFPM_BASELINES)

MODNN_PAPER = {2: 2.17, 4: 4.28}
MODNN_QUOTED = {2: 1.53, 3: 1.67, 4: 2.03}
"""Speed-up by number of workers; the latter as EdgeLD quotes it for VGG-16."""

WORKERS = (2, 3, 4)
MODNN_RATES = (50.0, 1e2, 1e3, 1e4, 1e5)
MODNN_READINGS = {"the owner is one of the workers": 0, "the owner computes beside them": 1}
MODNN_GFLOPS = 5.0

EDGELD_SECONDS = {
    ("vgg13", 100.0): ((22.29, 12.84, 8.07, 7.64), (20.72, 12.04, 7.34, 6.84)),
    ("vgg13", 1e3): ((21.28, 12.80, 8.28, 7.30), (20.71, 11.25, 6.97, 6.26)),
    ("vgg16", 100.0): ((24.57, 14.07, 9.50, 8.78), (24.02, 13.71, 9.32, 7.52)),
    ("vgg16", 1e3): ((23.69, 13.50, 9.22, 7.58), (23.36, 13.23, 8.37, 6.53)),
}
"""Its Table I, by model and Mbit/s: seconds with 1 to 4 followers by BODP, and by OCBP."""

EDGELD_TIMES = {2: 1.77, 3: 2.79, 4: 3.57}
EDGELD_SAVED = 0.1582
FOLLOWERS = (1, 2, 3, 4)


def paced(counting: str) -> float:
    """GFLOP/s with which one follower takes as long as in EdgeLD's Table I (VGG-16, 1 Gbit/s)."""
    found = []
    for gflops in (1.0, 2.0):
        cell = solved(Setting("vgg16", (gflops,) * 2, 1e3, WIDE, counting), "edgeld")
        assert isinstance(cell, Cell)
        found.append(cell.seconds)
    # Some of the time is as the inverse of the speed, the rest does not change.
    inverse = 2 * (found[0] - found[1])
    wanted = EDGELD_SECONDS["vgg16", 1e3][1][0]
    return round(inverse / (wanted - (found[0] - inverse)), 3)


def dpfp_rows() -> Iterator[list[Setting]]:
    """For each counting, kind of server and rate: the settings by number of servers."""
    for counting, (gflops, latency, rates) in product(COUNTINGS, SERVER_KINDS):
        for mbit in rates:
            yield [Setting("vgg16", (gflops,) * n, mbit, latency, counting) for n in SERVERS]


def modnn_setting(counting: str, mbit: float, devices: int) -> Setting:
    return Setting("vgg16", (MODNN_GFLOPS,) * devices, mbit, WIDE, counting)


def small_settings() -> list[Setting]:
    every = product(SMALL_MODELS, SMALL_CLUSTERS, SMALL_RATES)
    return [Setting(model, speeds, mbit, WIDE) for model, speeds, mbit in every]


def jobs(paces: Mapping[str, float]) -> list[Job]:
    """Everything to simulate, each once. ``paces``: GFLOP/s of EdgeLD's devices, by counting."""
    asked: list[Job] = []
    for row in dpfp_rows():
        asked += product(row, ("dpfp", "modnn", "whole"))
    for counting, mbit, devices in product(COUNTINGS, MODNN_RATES, range(2, 6)):
        asked += product([modnn_setting(counting, mbit, devices)], ("modnn", "dpfp", "whole"))
    for (counting, pace), (model, mbit), n in product(paces.items(), EDGELD_SECONDS, FOLLOWERS):
        followers = Setting(model, (pace,) * n, mbit, WIDE, counting)
        asked += product([followers], ("modnn", "dpfp") if n > 1 else ("modnn",))
        asked.append((Setting(model, (pace,) * (n + 1), mbit, WIDE, counting), "edgeld"))
    asked += product(small_settings(), SMALL_PLANNERS)
    return list(dict.fromkeys(asked))


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    text: str
    table: Sequence[str]
    verdicts: Sequence[Verdict]
    remarks: Sequence[str] = ()


def dpfp_section(figures: Figures) -> Section:
    rows = []
    for settings in dpfp_rows():
        labels = (settings[0].counting, settings[0].devices, settings[0].rate)
        rows.append((labels, [claim(figures, (s, "dpfp"), (s, "whole")) for s in settings]))
    every = present(each for _, found in rows for each in found)
    return Section(
        "`dpfp`: latency saved against one server",
        "Published: up to 73 % on VGG-16. The link rates and devices of that figure are not known, "
        "so servers of the class of a GPU, a processor and a small computer stand here, 2 to 7 of "
        "them; links have 0.01, 0.1 and 1 ms of latency. All servers take part (the journal's "
        "subset takes the best of a row up to its column); the image is on the primary one.",
        grid(("counted", "each server", "links", *map(str, SERVERS)), rows, as_saved),
        [verdict("`dpfp`, VGG-16, saved", of_saved(DPFP_SAVED), every, as_saved)],
    )


def modnn_section(figures: Figures) -> Section:
    by_workers: dict[int, list[Claim | None]] = defaultdict(list)
    rows = []
    for counting, mbit, (reading, more) in product(COUNTINGS, MODNN_RATES, MODNN_READINGS.items()):
        settings = [modnn_setting(counting, mbit, n + more) for n in WORKERS]
        found = [claim(figures, (s, "modnn"), (s, "whole")) for s in settings]
        for n, each in zip(WORKERS, found, strict=True):
            by_workers[n].append(each)
        rows.append(((counting, settings[0].rate, reading), found))
    published = (("its paper", MODNN_PAPER), ("as EdgeLD quotes", MODNN_QUOTED))
    return Section(
        "`modnn`: speed-up with 2 to 4 workers",
        "Published: 2.17 to 4.28× with 2 to 4 workers, more than one for each worker; EdgeLD "
        "quotes 1.53, 1.67 and 2.03× with 2, 3 and 4 for VGG-16. Whether the group's owner is one "
        "of the workers is not told, so both readings stand here; neither are rates and devices. "
        f"VGG-16, devices of {MODNN_GFLOPS:g} GFLOP/s, 1 ms, over one such device.",
        grid(("counted", "links", "reading", *(f"{n} workers" for n in WORKERS)), rows, as_times),
        [
            verdict(f"`modnn`, {n} workers, {who}", times, present(by_workers[n]), as_times)
            for who, by_number in published
            for n, times in by_number.items()
        ],
    )


def edgeld_section(figures: Figures, paces: Mapping[str, float]) -> Section:
    over_one: dict[int, list[Claim]] = defaultdict(list)
    over_bodp: list[Claim] = []
    rows = []
    for (counting, pace), (model, mbit), n in product(paces.items(), EDGELD_SECONDS, FOLLOWERS):
        alone, own, strips = (
            Setting(model, (pace,) * devices, mbit, WIDE, counting) for devices in (2, n + 1, n)
        )
        faster = claim(figures, (own, "edgeld"), (alone, "edgeld"))
        sooner = claim(figures, (own, "edgeld"), (strips, "modnn"))
        if faster is None or sooner is None:
            continue
        if model == "vgg16":
            over_one[n].append(faster)
        over_bodp.append(sooner)
        bodp, ocbp = EDGELD_SECONDS[model, mbit]
        its, its_bodp = ocbp[n - 1], bodp[n - 1]
        labels = (counting, model, own.rate, str(n))
        seconds = (its_bodp, sooner.over.seconds, its, sooner.own.seconds)
        times = (as_times(ocbp[0] / its), as_times(faster.times))
        saved = (as_saved(its_bodp / its), as_saved(sooner.times))
        rows.append((*labels, *(f"{each:.2f}" for each in seconds), *times, *saved))
    heads = ("counted", "model", "links", "followers", "its BODP, s", "`modnn`, s", "its OCBP, s",
             "`edgeld`, s", "its speed-up", "`edgeld`'s", "it saves", "`edgeld` saves")  # fmt: skip
    speeds = ", ".join(f"{pace:g} GFLOP/s ({counting})" for counting, pace in paces.items())
    saving = verdict("`edgeld` over BODP, saved", of_saved(EDGELD_SAVED), over_bodp, as_saved)
    return Section(
        "`edgeld`: its Table I",
        "Published: seconds on virtual machines with one core of 800 MHz, by BODP (MoDNN's strips "
        "in proportion to speed) and by its own OCBP; 1.77, 2.79 and 3.57× with 2, 3 and 4 "
        "followers (VGG-16), up to 15.82 % less than BODP. Devices here are as fast as makes one "
        f"follower take its 23.36 s (VGG-16, 1 Gbit/s): {speeds}; nothing else is fitted. BODP is "
        "reconstructed as `modnn` on as many devices as there are followers. Latency: 1 ms.",
        table(heads, rows),
        [
            *(
                verdict(f"`edgeld`, {n} followers, VGG-16", times, over_one[n], as_times)
                for n, times in EDGELD_TIMES.items()
            ),
            saving,
        ],
    )


def edgeci_section(figures: Figures) -> Section:
    lines, found = against(figures, "edgeci", EDGECI_PARTS, EDGECI_BASELINES, as_saved)
    names = (*EDGECI_BASELINES, BEST)
    return Section(
        "`edgeci`: latency saved against its baselines, and against its parts alone",
        "Published: 34.72 to 43.52 % on VGG-16 and ResNet-34 (read as latency saved, the stricter "
        "of two readings); devices are Raspberry Pi, it seems, how many and their links are not "
        "known. Its related work names MoDNN, DeepThings, layer-wise and fused-layer methods: here "
        "`modnn` (layer-wise), `deepthings` and `aofl` (fused layers) are the baselines. `awas` "
        "and `dpfl` are its two halves alone, `awas-greedy` is the other reading of its auction. "
        "Four devices, the first one the master; links have 1 ms of latency.",
        lines,
        [
            verdict(f"`edgeci` over {name}, saved", of_saved(share), found[name], as_saved)
            for share, name in product(EDGECI_SAVED, names)
        ],
        [*ranges(found, as_saved), *(no_slower(found[part]) for part in EDGECI_PARTS)],
    )


def ofpm_section(figures: Figures) -> Section:
    lines, found = against(figures, "ofpm", (), OFPM_BASELINES, as_times)
    names = (*OFPM_BASELINES, BEST)
    return Section(
        "`ofpm`: speed-up over advanced partitioning methods",
        "Published: 1 to 2.54× in simulated equal and uneven environments; models, rates and the "
        "names of the baselines are not known. Here stand the natural ones: `neurosurgeon` "
        "(vertical), `modnn`, `coedge` and `deepthings` (horizontal). Four devices, the first one "
        "the source; links have 1 ms of latency.",
        lines,
        [
            verdict(f"`ofpm` over {name}", times, found[name], as_times)
            for times, name in product(OFPM_TIMES, names)
        ],
        ranges(found, as_times),
    )


def against(
    figures: Figures, planner: str, parts: Sequence[str], baselines: Sequence[str], style: Style
) -> tuple[list[str], dict[str, list[Claim]]]:
    """A planner on small clusters: the table, and claims by what it is held against, the best
    baseline of each setting included."""
    rows = []
    found: dict[str, list[Claim]] = defaultdict(list)
    for setting in small_settings():
        own = (setting, planner)
        if own not in figures:
            continue
        claims = {name: claim(figures, own, (setting, name)) for name in (*parts, *baselines)}
        rivals = present(claims[name] for name in baselines)
        claims[BEST] = min(rivals, key=attrgetter("times"))
        for name, each in claims.items():
            found[name] += present([each])
        milliseconds = f"{figures[own].seconds * 1e3:.0f} ms"
        labels = (setting.model, setting.devices, setting.rate, milliseconds)
        rows.append((labels, list(claims.values())))
    heads = ("model", "devices", "links", f"`{planner}`", *(f"over {name}" for name in found))
    return grid(heads, rows, style), found


def ranges(found: Mapping[str, Sequence[Claim]], style: Style) -> list[str]:
    """A line on each planner that is compared with."""
    lines = []
    for name, claims in found.items():
        times = sorted(each.times for each in claims)
        middle = style(statistics.median(times))
        lines.append(f"Over {name}: {style(times[0])} to {style(times[-1])}, median {middle}.")
    return lines


def dpfp_modnn_section(figures: Figures) -> Section:
    groups: dict[tuple[str, ...], list[Claim]] = defaultdict(list)
    for setting, planner in figures:
        found = claim(figures, (setting, "dpfp"), (setting, "modnn"))
        if planner == "dpfp" and found is not None:
            label = (setting.counting, setting.model, setting.devices, setting.rate)
            groups[label].append(found)
    rows = []
    for labels, claims in groups.items():
        times = [each.times for each in claims]
        counts = sorted({len(each.own.setting.speeds) for each in claims})
        devices = ", ".join(map(str, counts))
        share = f"{sum(each >= 1 for each in times)} of {len(times)}"
        rows.append((*labels, devices, share, as_times(min(times)), as_times(max(times))))
    every = [each for claims in groups.values() for each in claims]
    heads = ("counted", "model", "speeds", "links", "devices", "no slower", "least", "most")
    return Section(
        "`dpfp` against `modnn`",
        "Published: sooner in every tested scenario. Here: all settings of this page with two "
        "devices or more; how many times as fast.",
        table(heads, rows),
        [verdict("`dpfp` over `modnn`", 1.0, every, as_times)],
        [no_slower(every)],
    )

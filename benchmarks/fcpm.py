"""How well the times of single operators and of whole models are foretold by FCPM.

    python -m benchmarks.fcpm [--profile FILE] [--tiles 300] [--chains 30] [--passes 5]
                              [-o docs/results/fcpm.md]

One worker on this machine: a full profile (or the one of ``--profile``), then shapes that the
profile has not seen, and CPU loads at which it has measured nothing. Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import swath
from benchmarks.speed import machine
from swath.cluster import local_cluster
from swath.cluster.profile import DeviceProfile, Sample
from swath.cluster.profile_file import load_profile
from swath.cost import Costs, costs_for
from swath.cost.fcpm import FCPM, features_of
from swath.cost.features import NEAR
from swath.graph.geometry import tile_geometry
from swath.runtime.local import LocalWorkers
from swath.runtime.plain import PlainRuntime
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.effort import FULL
from swath.runtime.profiling.measure import profile_device
from swath.runtime.profiling.pace import Pace
from swath.runtime.profiling.tiles import draw_tile, sweeps

DEVICE = "worker-0"
FIRST_TILE, FIRST_CHAIN = 100_000, 200_000
"""Numbers of the tiles that are drawn for the test; a profile's begin at 0."""

LOADS = (0.3, 0.5, 0.7)
FLOOR = 10e-6
"""Seconds: kernels that take less are not counted, the clock counts whole microseconds."""

MUST, STRIVE = 0.88, 0.95
MODELS = (
    "alexnet", "vgg11", "vgg16", "resnet18", "resnet34", "resnet50", "mobilenet_v1", "mobilenet_v2",
    "mobilenet_v3_large", "mobilenet_v3_small", "googlenet", "squeezenet", "densenet121",
    "efficientnet_b0", "yolov2", "tiny_yolov2", "unet", "dncnn",
)  # fmt: skip
MODEL_SECONDS = 2.0


@dataclass(frozen=True)
class Family:
    """Relative errors on held-out kernels of one family; ``repeated``: of one measurement against
    the median of all."""

    name: str
    chosen: str
    idle: Sequence[float]
    loaded: Sequence[float]
    repeated: Sequence[float]

    @property
    def accuracy(self) -> float:
        return 1 - statistics.fmean([*self.idle, *self.loaded])


@dataclass(frozen=True)
class Model:
    """A whole model; milliseconds."""

    name: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


Key = tuple[int, str, str]
"""The number of a tile, a family, a shape."""


def timed(
    asker: Asker, pace: float, tiles: int, passes: int
) -> tuple[dict[Key, list[float]], dict[Key, Sample]]:
    """Every tile so many times, with all others in between; (seconds, one of the samples) by
    kernel, at the profile's ``pace``."""
    seconds: dict[Key, list[float]] = defaultdict(list)
    samples: dict[Key, Sample] = {}
    for _ in range(passes):
        for number in range(FIRST_TILE, FIRST_TILE + tiles):
            tile = draw_tile(number, FULL.most_flops)
            for swept in sweeps(number, tile):
                found, present = asker.kernels(DEVICE, tile, FULL.tile_seconds, swept)
                for timing in found:
                    sample = timing.sample(away=tile.away(swept))
                    key = (number, sample.family, f"{sample.shape} {swept}")
                    seconds[key].append(sample.seconds * pace / present)
                    samples[key] = sample
    return seconds, samples


def loaded(asker: Asker, pace: float, chains: int, passes: int) -> Iterator[Sample]:
    """Tiles under loads: what their kernels take without, times the slowdown of the whole; as often
    as for `timed`, and the median of all, at the profile's ``pace``."""
    seconds: dict[tuple[int, float, str, str], list[float]] = defaultdict(list)
    samples: dict[tuple[int, float, str, str], Sample] = {}
    for _ in range(passes):
        for number in range(FIRST_CHAIN, FIRST_CHAIN + chains):
            tile = draw_tile(number, FULL.most_flops)
            found, present, slowdowns = asker.chain(DEVICE, tile, FULL.chain_seconds / 2, LOADS)
            for wanted, (load, slowdown) in zip(LOADS, slowdowns, strict=True):
                for timing in found:
                    key = (number, wanted, timing.family, timing.shape)
                    samples[key] = timing.sample(load, slowdown, tile.away(NEAR))
                    seconds[key].append(samples[key].seconds * pace / present)
    for key, sample in samples.items():
        yield replace(sample, seconds=statistics.median(seconds[key]))


def predicted(model: FCPM, sample: Sample) -> float:
    return float(model.predict(sample.family, [features_of(sample)], sample.load)[0])


def families(
    model: FCPM, profile: DeviceProfile, asker: Asker, tiles: int, chains: int, passes: int
) -> list[Family]:
    """Of each family, how far off the model is."""
    known = {(sample.family, sample.shape) for sample in profile.samples}
    idle: dict[str, list[float]] = defaultdict(list)
    busy: dict[str, list[float]] = defaultdict(list)
    repeated: dict[str, list[float]] = defaultdict(list)
    assert profile.pace is not None
    seconds, samples = timed(asker, profile.pace, tiles, passes)
    for key, sample in samples.items():
        usual = statistics.median(seconds[key])
        if usual >= FLOOR and (sample.family, sample.shape) not in known:
            idle[sample.family].append(abs(predicted(model, sample) / usual - 1))
            repeated[sample.family].extend(abs(one / usual - 1) for one in seconds[key])
    for sample in loaded(asker, profile.pace, chains, passes):
        if sample.seconds >= FLOOR and (sample.family, sample.shape) not in known:
            busy[sample.family].append(abs(predicted(model, sample) / sample.seconds - 1))
    return [
        Family(name, model.chosen_[name], idle[name], busy[name], repeated[name])
        for name in sorted({*idle, *busy})
        if name in model.chosen_
    ]


def foretold_whole(costs: Costs, device: str, graph: swath.Graph) -> float:
    """Seconds of a whole model as one tile."""
    outputs = {output: graph.tensors[output].whole for output in graph.outputs}
    return costs.tile(device, graph, tile_geometry(graph, range(len(graph.nodes)), outputs))


def models(profile: DeviceProfile, names: Iterable[str]) -> Iterator[Model]:
    """Plain ONNX Runtime, one thread, at the profile's pace, against the cost of the whole model as
    one tile."""
    assert profile.pace is not None
    pace = Pace()
    costs = costs_for(local_cluster([DEVICE]), {DEVICE: profile})
    for name in names:
        graph = swath.load(f"zoo:{name}")
        inputs = swath.random_inputs(graph)
        plain = PlainRuntime(graph)
        plain.run(inputs)
        times: list[float] = []
        paces = [pace.seconds()]
        while sum(times) < MODEL_SECONDS or len(times) < 5:
            times.append(plain.timed(inputs)[1])
        paces.append(pace.seconds())
        faster = profile.pace / statistics.fmean(paces)
        foretold = foretold_whole(costs, DEVICE, graph)
        yield Model(name, statistics.median(times) * faster * 1e3, foretold * 1e3)


def markdown(
    profile: DeviceProfile, found: Sequence[Family], whole: Sequence[Model], passes: int
) -> str:
    worst = min(found, key=lambda family: family.accuracy)
    lines = [
        "# Predicted times of operators",
        "",
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        f"Made by `python -m benchmarks.fcpm` from a {profile.kind} profile of"
        f" {len(profile.samples)} samples. Accuracy is 1 - mean absolute percentage error. Held-out"
        " kernels are of networks drawn from other seeds, in shapes that the profile has not; each"
        f" was timed {passes} times, minutes apart, and the median counts. What is measured is"
        " brought to the profile's pace, as samples are: beside each a fixed convolution is timed."
        " Kernels"
        f" under {FLOOR * 1e6:.0f} µs do not count. Under load (competing processes on every CPU,"
        f" busy for {', '.join(f'{load:.0%}' for load in LOADS)} of the time; the profile has"
        f" {', '.join(f'{load:.0%}' for load in FULL.loads)}) a whole network was timed by the"
        " clock, and its kernels count as what they take without load times the slowdown of the"
        " whole. *Again*: how well one measurement of a kernel foretells the median of all; where"
        " it is low, the machine itself is not steady, and this is [what that"
        " does](fcpm-shared-cores.md).",
        "",
        f"Worst family: **{worst.name}, {worst.accuracy:.1%}** (must {MUST:.0%}, strive for"
        f" {STRIVE:.0%}).",
        "",
        "| family | regressor | idle | kernels | under load | kernels | both | met | again |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for family in sorted(found, key=lambda family: family.accuracy):
        met = "yes" if family.accuracy >= MUST else "**no**"
        lines.append(
            f"| {family.name} | {family.chosen.replace('_', ' ')} | {_share(family.idle)} |"
            f" {len(family.idle)} | {_share(family.loaded)} | {len(family.loaded)} |"
            f" {family.accuracy:.1%} | {met} | {_share(family.repeated)} |"
        )
    errors = [abs(model.error) for model in whole]
    lines += [
        "",
        "## Whole models",
        "",
        "Plain ONNX Runtime on the unsplit model, one thread, median, against the predicted time of"
        " the whole model as one tile. Nothing of these models went into the profile. Mean"
        f" absolute error {np.mean(errors):.1%}, largest {max(errors):.1%}.",
        "",
        "| model | measured ms | predicted ms | error |",
        "|---|---|---|---|",
        *(
            f"| {model.name} | {model.measured:.2f} | {model.predicted:.2f} | {model.error:+.1%} |"
            for model in whole
        ),
    ]
    return "\n".join(lines) + "\n"


def _share(errors: Sequence[float]) -> str:
    return f"{1 - statistics.fmean(errors):.1%}" if errors else ""


def _profile(asker: Asker, path: Path | None) -> DeviceProfile:
    if path is not None:
        return load_profile(path)

    def progress(what: str, done: int, total: int) -> None:
        if done % 60 == 0:
            print(json.dumps({"measuring": what, "done": done, "of": total}), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        return profile_device(asker, [DEVICE], Path(folder), FULL, progress, DEVICE).profile


def report(rows: Iterable[Mapping[str, object]]) -> None:
    for row in rows:
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--profile", type=Path, help="of this machine, made before")
    parser.add_argument("--tiles", type=int, default=300)
    parser.add_argument("--chains", type=int, default=30)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with LocalWorkers([DEVICE]) as workers:
        asker = Asker(workers.coordinator)
        profile = _profile(asker, options.profile)
        model = FCPM().fit(profile.samples)
        found = families(model, profile, asker, options.tiles, options.chains, options.passes)
    report({"family": family.name, "accuracy": family.accuracy} for family in found)
    whole = list(models(profile, MODELS))
    report({"model": model.name, "error": model.error} for model in whole)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(markdown(profile, found, whole, options.passes), encoding="utf-8")


if __name__ == "__main__":
    main()

"""How fast Swath is on this machine: ratios measured in one run, medians, written to docs/results.

    python -m benchmarks.speed [--rounds 30] [--only two] [-o docs/results/speed.md]

Every ratio compares Swath with plain ONNX Runtime on the unsplit model, one thread, not spinning,
in turn (A B A B ...) in one process, so that a drift of the machine's speed cancels. The figure is
the ratio of the medians; beside it stands the median of the pairwise ratios. Nothing else should
run on the machine: the workers fill it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import psutil

import swath
from swath.plan.compile import compile_plan
from swath.runtime.plain import PlainRuntime
from swath.runtime.profiling.machine import cpu_model


@dataclass(frozen=True)
class Row:
    """One line of the table. ``must`` and ``strive``: the targets; ``lower`` ones are better."""

    what: str
    figure: float
    unit: str
    must: float
    strive: float | None
    lower: bool
    detail: str

    @property
    def is_met(self) -> bool:
        return self.figure <= self.must if self.lower else self.figure >= self.must


def interleaved(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each, in turn, after two rounds to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 2):
        for call, seconds in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            if number >= 2:
                seconds.append(time.perf_counter() - start)
    return times


def compare(model: str, workers: int, rounds: int) -> tuple[float, str]:
    """(plain / Swath by medians, detail)."""
    graph = swath.load(model)
    inputs = swath.random_inputs(graph)
    plain = PlainRuntime(graph)
    with swath.LocalCluster(workers) as cluster:
        plan = cluster.plan(graph, "even" if workers > 1 else "whole")
        deployment = cluster.deploy(graph, plan)
        alone, split = interleaved(
            lambda: plain.run(inputs), lambda: deployment.run(inputs), rounds
        )
    pairs = statistics.median(a / b for a, b in zip(alone, split, strict=True))
    ratio = statistics.median(alone) / statistics.median(split)
    detail = (
        f"plain {statistics.median(alone) * 1e3:.1f} ms, Swath {statistics.median(split) * 1e3:.1f}"
        f" ms, {len(plan.stages)} stages; pairwise {pairs:.3f}"
    )
    return ratio, detail


def two_threads(model: str, rounds: int) -> float:
    """What ONNX Runtime's own two threads reach, for orientation."""
    graph = swath.load(model)
    inputs = swath.random_inputs(graph)
    one, two = PlainRuntime(graph, 1), PlainRuntime(graph, 2)
    alone, both = interleaved(lambda: one.run(inputs), lambda: two.run(inputs), rounds)
    return statistics.median(alone) / statistics.median(both)


def one_worker(rounds: int) -> Iterator[Row]:
    """One worker, a process of its own, against plain ONNX Runtime: what Swath adds."""
    for model, must, strive in (
        ("vgg16", 1.02, 1.01),
        ("resnet34", 1.04, 1.02),
        ("mobilenet_v2", 1.15, 1.07),
    ):
        count = rounds * (1 if model == "vgg16" else 4)
        ratio, detail = compare(f"zoo:{model}", 1, count)
        yield Row(f"one worker against plain: {model}", 1 / ratio, "", must, strive, True, detail)


def two_workers(rounds: int) -> Iterator[Row]:
    """Two one-core workers against plain ONNX Runtime with one thread."""
    for model, must, strive in (("vgg16", 1.80, 1.95), ("resnet34", 1.50, 1.88)):
        count = rounds * (1 if model == "vgg16" else 4)
        ratio, detail = compare(f"zoo:{model}", 2, count)
        own = two_threads(f"zoo:{model}", count)
        detail += f"; ONNX Runtime's own two threads {own:.2f}"
        yield Row(f"two workers: {model}", ratio, "x", must, strive, False, detail)


def large(rounds: int) -> Iterator[Row]:
    """A large picture on two workers."""
    ratio, detail = compare("zoo:vgg16@1024x1024", 2, max(3, rounds // 6))
    yield Row("two workers: vgg16@1024x1024", ratio, "x", 1.85, 1.98, False, detail)


def worker_process(rounds: int) -> Iterator[Row]:
    """From starting the process until the worker says that it is ready; its memory then."""
    seconds, memory = [], []
    for _ in range(5):
        command = [sys.executable, "-m", "swath.runtime.serve", "--attached"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            process.stdout.readline()
            seconds.append(time.perf_counter() - start)
            memory.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            process.stdin.close()
    yield Row("start of a worker until ready", statistics.median(seconds), "s", 2.0, None, True, "")
    yield Row("memory of an idle worker", statistics.median(memory), "MB", 150, None, True, "RSS")


def preparation(rounds: int) -> Iterator[Row]:
    """Load, plan and compile ResNet-152 for two and for eight devices; sessions not counted."""
    from swath.cluster import local_cluster

    for devices in (2, 8):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            graph = swath.load("zoo:resnet152")
            cluster = local_cluster([f"d{i}" for i in range(devices)], gflops=100)
            compile_plan(swath.plan(graph, cluster))
            seconds.append(time.perf_counter() - start)
        what = f"load, plan, compile resnet152, {devices} devices"
        yield Row(what, statistics.median(seconds), "s", 5.0, 1.0, True, "building it included")


GROUPS = {
    "one": one_worker,
    "two": two_workers,
    "large": large,
    "process": worker_process,
    "prepare": preparation,
}


def machine() -> str:
    """What this was measured on."""
    return (
        f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, swath {swath.__version__}"
    )


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| what | measured | must | strive for | met | detail |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = "≤" if row.lower else "≥"
        strive = "" if row.strive is None else f"{row.strive:g}"
        met = "yes" if row.is_met else "**no**"
        lines.append(
            f"| {row.what} | {row.figure:.4g} {row.unit} | {sign} {row.must:g} | {strive} | {met} |"
            f" {row.detail} |"
        )
    return lines


def markdown(rows: Sequence[Row], rounds: int) -> str:
    lines = [
        "# Speed on one machine",
        "",
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        "Made by `python -m benchmarks.speed"
        f" --rounds {rounds}`: Swath and plain ONNX Runtime (one thread, not spinning, the unsplit"
        " model) in turn in one run, after warming up; the figure is the ratio of the medians."
        " Small models take four times the rounds, the large picture a sixth. Weights are seeded.",
        "",
        *table(rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", choices=GROUPS, action="append")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.only or GROUPS:
        for row in GROUPS[name](options.rounds):
            rows.append(row)
            print(json.dumps({**row.__dict__, "met": row.is_met}), flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(markdown(rows, options.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()

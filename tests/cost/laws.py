"""Samples of made-up devices whose laws are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from swath.cluster.profile import DeviceProfile, Machine, MessageSample, Sample
from swath.cost.features import NEAR

GFLOPS = 50e9
BYTES_PER_SECOND = 10e9
FIXED = 3e-6

Law = Callable[[Sample], float]


def plain_law(sample: Sample) -> float:
    """FLOPs, bytes, weights and a constant."""
    moved = sample.read + sample.written + sample.weights
    return sample.flops / GFLOPS + moved / BYTES_PER_SECOND + FIXED


def convolutions(count: int, law: Law = plain_law) -> list[Sample]:
    """3 x 3 and 1 x 1 convolutions of drawn shapes."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        inputs, outputs = (int(2 ** rng.uniform(4, 9)) for _ in range(2))
        rows, width = int(rng.integers(1, 57)), int(rng.integers(7, 57))
        kernel = float(rng.choice([1, 9]))
        entries = float(rows * width * outputs)
        sample = Sample(
            "convolution", f"{number}", 2 * kernel * inputs * entries, 4.0 * inputs * rows * width,
            4 * entries, 4 * kernel * inputs * outputs, kernel, outputs, width,
            NEAR, 0.0, 0.0,
        )  # fmt: skip
        samples.append(replace(sample, seconds=law(sample)))
    return samples


def matrices(count: int) -> list[Sample]:
    """A vector through matrices of drawn shapes."""
    rng = np.random.default_rng(2)
    samples = []
    for number in range(count):
        inputs, outputs = (int(2 ** rng.uniform(6, 12)) for _ in range(2))
        sample = Sample(
            "dense", f"{number}", 2.0 * inputs * outputs, 4.0 * inputs, 4.0 * outputs,
            4.0 * (inputs + 1) * outputs, 1.0, outputs, 1.0, NEAR, 0.0, 0.0,
        )  # fmt: skip
        samples.append(replace(sample, seconds=plain_law(sample)))
    return samples


def moving(family: str, count: int, seconds_per_byte: float) -> list[Sample]:
    """Operators that only read and write maps."""
    rng = np.random.default_rng(1)
    samples = []
    for number in range(count):
        channels, side = int(2 ** rng.uniform(4, 9)), int(rng.integers(2, 57))
        nbytes = 4.0 * channels * side * side
        seconds = 2e-6 + 2 * nbytes * seconds_per_byte
        sample = Sample(
            family, f"{number}", 0.0, nbytes, nbytes, 0.0, 1.0, channels, side, NEAR, 0.0,
            seconds,
        )  # fmt: skip
        samples.append(sample)
    return samples


def loaded(samples: Sequence[Sample], load: float, factor: float) -> list[Sample]:
    """The same shapes, which take so many times as long while others use ``load`` of the CPU."""
    return [replace(s, load=load, seconds=factor * s.seconds) for s in samples]


def profile(
    samples: list[Sample], messages: tuple[MessageSample, ...] = (), device: str = "pi-a"
) -> DeviceProfile:
    return DeviceProfile(
        device, Machine("cpu", "x86_64", 1, "1.31", 1), "quick", "2026-01-01", tuple(samples),
        messages, overhead=50e-6, copy=1e-10, request=3e-4,
    )  # fmt: skip

"""How fast a machine is at a moment, and what is made of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swath.cluster.profile import Machine, Sample
from swath.runtime.profiling.load import Load
from swath.runtime.profiling.pace import Pace
from swath.runtime.profiling.partial import Partial

MACHINE = Machine("Some CPU @ 2 GHz", "x86_64", 4, "onnxruntime 1.31.1", 1)
SAMPLE = Sample(
    "convolution", "Conv 3x3", 1e9, 4e5, 4e5, 1e5, 9.0, 64.0, 56.0, 2e7, 0.0, 0.01
)  # fmt: skip


def test_it_is_more_where_others_use_the_machine():
    pace = Pace()
    alone = min(pace.seconds() for _ in range(5))
    assert 0 < alone < 0.1
    with Load() as load, load.at(0.9):
        beside = [pace.seconds() for _ in range(20)]
    assert max(beside) > 1.05 * alone


def test_samples_are_as_if_the_machine_had_always_been_as_fast(tmp_path):
    partial = Partial(tmp_path, "a", MACHINE, "quick")
    partial.add("usual", 0.002, [SAMPLE])
    partial.add("slow", 0.003, [replace(SAMPLE, seconds=0.015), replace(SAMPLE, seconds=0.3)])
    partial.add("fast", 0.001, [replace(SAMPLE, seconds=0.005)])
    assert partial.pace == 0.002
    assert [sample.seconds for sample in partial.samples] == pytest.approx([0.01, 0.01, 0.2, 0.01])
    partial.save()
    kept = Partial(tmp_path, "a", MACHINE, "quick")
    assert kept.samples == partial.samples
    assert kept.resumed == 3

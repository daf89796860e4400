"""How fast a machine is at a moment, and what is made of that."""

from __future__ import annotations

import subprocess
import sys
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


def test_who_takes_turns_with_it_does_not_count():
    alone = Pace().seconds()
    assert 0 < alone < 0.1
    # Waits nine tenths of the time, for it is the one that gives way.
    giving_way = f"import os; os.nice(19); from {Pace.__module__} import Pace; "
    giving_way += "print(Pace().seconds())"
    with Load() as load, load.at(0.9):
        beside = float(subprocess.check_output([sys.executable, "-c", giving_way]))
    assert beside < 4 * alone


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

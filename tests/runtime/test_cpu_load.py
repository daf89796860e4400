"""CPU load of others: from control groups of both versions, from the system, and for real here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from swath.runtime.cpu_load import CpuLoad, own_group
from swath.runtime.own_groups import CGROUP_ROOT


@dataclass
class Counters:
    """A clock and CPU counters that a test turns by hand."""

    now: float = 0.0
    used: float = 0.0
    own: float = 0.0

    def load(self, cpus: float = 1.0) -> CpuLoad:
        return CpuLoad(lambda: self.used, cpus, lambda: self.own, lambda: self.now)

    def pass_time(self, seconds: float, used: float, own: float = 0.0) -> None:
        self.now += seconds
        self.used += used
        self.own += own


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def test_this_process_is_not_others() -> None:
    counters = Counters()
    load = counters.load()
    load.sample()
    counters.pass_time(10, used=9, own=4)
    assert load.sample() == pytest.approx(0.5)


def test_a_quarter_of_a_core_is_a_whole_device() -> None:
    counters = Counters()
    load = counters.load(cpus=0.25)
    load.sample()
    counters.pass_time(10, used=1.25)
    assert load.sample() == pytest.approx(0.5)


def test_it_is_smoothed_and_forgets() -> None:
    counters = Counters()
    load = counters.load()
    load.sample()
    counters.pass_time(0.1, used=0.1)
    peak = load.sample()
    assert 0.2 < peak < 0.4
    for _ in range(20):
        counters.pass_time(0.1, used=0.0)
        load.sample()
    assert load.share < 0.01


def test_counters_that_stand_or_jump_stay_in_bounds() -> None:
    counters = Counters()
    load = counters.load()
    load.sample()
    assert load.sample() == 0, "no time has passed"
    counters.pass_time(10, used=100)
    assert load.sample() <= 1
    counters.pass_time(10, used=0, own=5)
    assert load.sample() >= 0


def test_version_2_groups(tmp_path: Path) -> None:
    written(tmp_path / "membership", "0::/lab/pi-a\n")
    written(tmp_path / "tree/lab/pi-a/cpu.max", "1000 4000\n")
    written(tmp_path / "tree/lab/pi-a/cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
    group = own_group(tmp_path / "tree", tmp_path / "membership")
    assert group is not None
    assert group.cpus == 0.25
    assert group.used() == 2.5


def test_a_limit_above_counts_where_the_own_group_has_none(tmp_path: Path) -> None:
    written(tmp_path / "membership", "0::/pod/container\n")
    written(tmp_path / "tree/pod/container/cpu.max", "max 100000\n")
    written(tmp_path / "tree/pod/container/cpu.stat", "usage_usec 1\n")
    written(tmp_path / "tree/pod/cpu.max", "200000 100000\n")
    written(tmp_path / "tree/pod/cpu.stat", "usage_usec 7000000\n")
    group = own_group(tmp_path / "tree", tmp_path / "membership")
    assert group is not None
    assert (group.cpus, group.used()) == (2.0, 7.0)


@pytest.mark.parametrize("together", [True, False])
def test_version_1_groups(tmp_path: Path, together: bool) -> None:
    """Controllers in one tree, or each in its own."""
    if together:
        written(tmp_path / "membership", "4:cpu,cpuacct:/swath/pi-a\n1:name=systemd:/x\n")
        limits = usage = tmp_path / "tree/cpu,cpuacct/swath/pi-a"
    else:
        written(tmp_path / "membership", "4:cpu:/swath/pi-a\n3:cpuacct:/swath/pi-a\n")
        limits, usage = (tmp_path / "tree" / name / "swath/pi-a" for name in ("cpu", "cpuacct"))
    written(limits / "cpu.cfs_quota_us", "2000\n")
    written(limits / "cpu.cfs_period_us", "4000\n")
    written(usage / "cpuacct.usage", "1500000000\n")
    group = own_group(tmp_path / "tree", tmp_path / "membership")
    assert group is not None
    assert (group.cpus, group.used()) == (0.5, 1.5)


def test_without_a_limit_the_system_tells(tmp_path: Path) -> None:
    written(tmp_path / "membership", "4:cpu,cpuacct:/\n")
    written(tmp_path / "tree/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    written(tmp_path / "tree/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    written(tmp_path / "tree/cpu,cpuacct/cpuacct.usage", "1\n")
    assert own_group(tmp_path / "tree", tmp_path / "membership") is None
    assert own_group(tmp_path / "tree", tmp_path / "nowhere") is None
    assert CpuLoad.of_this_device(tmp_path / "tree", tmp_path / "membership").cpus >= 1


@pytest.mark.skipif(
    not all(os.access(CGROUP_ROOT / name, os.W_OK) for name in ("cpu", "cpuacct")),
    reason="needs the right to make control groups of version 1",
)
def test_a_real_group_is_read() -> None:
    """A process that spins inside half a core takes all of its group."""
    group_name = f"swath-load-test-{os.getpid()}"
    folders = [CGROUP_ROOT / name / group_name for name in ("cpu", "cpuacct")]
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
        (folders[0] / "cpu.cfs_period_us").write_text("10000", encoding="ascii")
        (folders[0] / "cpu.cfs_quota_us").write_text("5000", encoding="ascii")
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(spinning.pid), encoding="ascii")
        group = own_group(membership=Path(f"/proc/{spinning.pid}/cgroup"))
        assert group is not None and group.cpus == 0.5
        load = CpuLoad(group.used, group.cpus, own=lambda: 0.0)
        load.sample()
        time.sleep(0.7)
        assert load.sample() > 0.5
    finally:
        spinning.kill()
        spinning.wait()
        for folder in folders:
            folder.rmdir()


def test_here_and_now_what_this_process_burns_is_not_counted() -> None:
    """For real, in whatever group the tests run: the same counters, with and without it."""
    here = CpuLoad.of_this_device()
    assert here.cpus <= (os.cpu_count() or 1)
    counters = Counters()
    everybody = counters.load(here.cpus)
    others = CpuLoad(lambda: counters.used, here.cpus, here.own, lambda: counters.now)

    def look() -> float:
        counters.now, counters.used = here.clock(), here.used()
        everybody.sample()
        others.sample()
        return counters.used

    before, burnt = look(), 0.2
    enough = time.process_time() + burnt
    while time.process_time() < enough:
        pass
    own = burnt / (look() - before)
    # Half of it is room enough for a system that counts in steps.
    assert others.share < (1 - own / 2) * everybody.share

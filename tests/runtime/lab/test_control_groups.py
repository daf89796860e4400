"""Control groups of both versions: which this machine has, and what is written where.

Quotas of version 1 are put in force for real in `test_shares`; of version 2 the files are what
there is to it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swath.errors import ClusterError
from swath.runtime.lab.control_groups import (
    VersionOne,
    VersionTwo,
    find_control_groups,
    parse_places,
)

FIRST = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
40 31 0:40 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""

APART = """\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
"""


def test_version_one_is_found_mounted_together_and_apart():
    together = find_control_groups(FIRST)
    assert isinstance(together, VersionOne)
    assert together.directories == [Path("/sys/fs/cgroup/cpu,cpuacct")]
    apart = find_control_groups(APART)
    assert apart.directories == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpuacct")]


def test_version_two_is_found_where_it_rations_cpu(tmp_path):
    mounts = f"24 23 0:27 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    with pytest.raises(ClusterError, match=r"do not ration CPU.*mount version 2"):
        find_control_groups(mounts)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory\n")
    found = find_control_groups(mounts)
    assert isinstance(found, VersionTwo)
    assert found.directories == [tmp_path]


def test_version_two_switches_the_controller_on_above_a_group(tmp_path):
    groups = VersionTwo({"": tmp_path})
    groups.make("swath-01234567/a")
    assert (tmp_path / "swath-01234567" / "a").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (tmp_path / "swath-01234567" / "cgroup.subtree_control").read_text() == "+cpu"
    assert not (tmp_path / "swath-01234567" / "a" / "cgroup.subtree_control").exists()


def test_version_two_leaves_a_controller_that_is_on(tmp_path):
    switch = tmp_path / "cgroup.subtree_control"
    switch.write_text("cpu memory\n")
    VersionTwo({"": tmp_path}).make("swath-01234567/a")
    assert switch.read_text() == "cpu memory\n"


def test_version_two_keeps_quotas_and_accounts_in_one_place(tmp_path):
    groups = VersionTwo({"": tmp_path})
    groups.make("lab/a")
    folder = tmp_path / "lab" / "a"
    groups.limit("lab/a", 1000, 6667)
    assert (folder / "cpu.max").read_text() == "1000 6667"
    groups.unlimit("lab/a")
    assert (folder / "cpu.max").read_text() == "max"
    (folder / "cpu.stat").write_text(
        "usage_usec 2500000\nuser_usec 2400000\nsystem_usec 100000\n"
        "nr_periods 40\nnr_throttled 30\nthrottled_usec 700000\n"
    )
    assert groups.used("lab/a") == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("groups", "weight", "least"),
    [(VersionTwo, "cpu.weight", "1"), (VersionOne, "cpu.shares", "2")],
)
def test_groups_yield_as_well_as_the_kernel_can(tmp_path, groups, weight, least):
    found = groups({"": tmp_path} if groups is VersionTwo else {"cpu": tmp_path})
    found.make("old")
    found.yield_to_others("old")
    assert (tmp_path / "old" / weight).read_text() == least
    found.make("new")
    (tmp_path / "new" / "cpu.idle").write_text("0")
    found.yield_to_others("new")
    assert (tmp_path / "new" / "cpu.idle").read_text() == "1"
    assert not (tmp_path / "new" / weight).exists()


def test_version_two_moves_processes_and_puts_them_back(tmp_path):
    groups = VersionTwo({"": tmp_path})
    groups.make("lab/a")
    groups.move(4711, "lab/a")
    assert (tmp_path / "lab" / "a" / "cgroup.procs").read_text() == "4711"
    assert groups.processes("lab") == [4711]
    (tmp_path / "user.slice").mkdir()
    groups.put_back(4711, parse_places("0::/user.slice\n", groups.roots))
    assert (tmp_path / "user.slice" / "cgroup.procs").read_text() == "4711"


def test_groups_are_removed_with_those_below_them(tmp_path):
    groups = VersionOne({"cpu": tmp_path / "cpu", "cpuacct": tmp_path / "cpuacct"})
    groups.make("lab/a")
    groups.make("lab/.b")
    assert groups.names() == ["lab"]
    groups.remove("lab")
    assert groups.names() == []
    groups.remove("lab")


def test_places_by_hierarchy():
    text = "4:cpu,cpuacct:/docker/1\n2:memory:/x\n0::/y:z\n"
    assert parse_places(text, {"cpu": 0, "cpuacct": 0}) == {
        "cpu": "/docker/1",
        "cpuacct": "/docker/1",
    }
    assert parse_places(text, {"": 0}) == {"": "/y:z"}


def test_a_process_that_has_ended_is_nowhere():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        VersionTwo({"": Path("/")}).places(pid)


def test_a_group_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "lab").write_text("not a directory")
    with pytest.raises(ClusterError, match=r"cannot be made: .*run it as root"):
        VersionTwo({"": tmp_path}).make("lab/a")

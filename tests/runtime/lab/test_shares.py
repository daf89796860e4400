"""Quotas that the kernel keeps, for real processes, and the check that finds those that it does
not."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from swath.errors import ClusterError
from swath.runtime.lab import quota_check
from swath.runtime.lab.control_groups import VersionOne, find_control_groups
from swath.runtime.lab.lab import Lab
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root

pytestmark = [needs_root, pytest.mark.usefixtures("no_lab_left")]


def test_every_device_gets_its_share():
    with Lab(cluster("a b c", {})) as lab:
        assert lab.quota("a").share == pytest.approx(0.2, rel=1e-3)
        assert lab.quota("a").period == pytest.approx(8.4e-3)
        assert 1 / lab.quota("a").tick in quota_check.TICK_RATES
        lab.ration()
        found = lab.check_quotas()
        assert found == {name: pytest.approx(0.2, rel=0.05) for name in "abc"}
        assert lab.used_cpu("b") > 0.1


def test_a_thread_gets_a_whole_core_beside_a_weak_device():
    strong, weak = cluster("a b", {}).devices
    devices = (replace(strong, cores=1.0), replace(weak, cores=0.1))
    with Lab(replace(cluster("a b", {}), devices=devices)) as lab:
        lab.ration()
        assert lab.check_quotas()["a"] == pytest.approx(1.0, rel=0.05)


def test_the_strongest_device_has_a_core_to_itself_while_it_is_assigned():
    strong, weak = cluster("a b", {}).devices
    devices = (replace(strong, cores=1.0), replace(weak, cores=0.1))
    everywhere = os.sched_getaffinity(0)
    with (
        Lab(replace(cluster("a b", {}), devices=devices)) as lab,
        _sleeping() as one,
        _sleeping() as other,
    ):
        try:
            lab.assign("a", one.pid)
            lab.assign("b", other.pid)
            own = os.sched_getaffinity(one.pid)
            assert len(own) == 1
            assert os.sched_getaffinity(other.pid) == everywhere - own
            lab.release(one.pid)
            assert os.sched_getaffinity(one.pid) == everywhere
        finally:
            one.kill()
            other.kill()
            one.wait()
            other.wait()


@pytest.mark.parametrize("quota", [pytest.param(-1, marks=pytest.mark.slow), 2000])
def test_a_quota_that_was_changed_is_found(quota):
    with Lab(cluster("a b", {})) as lab:
        lab.ration()
        _change(f"{lab.name}/b", quota)
        with pytest.raises(ClusterError, match=r"^device 'b' gets .* cores where its quota is 0.2"):
            lab.check_quotas()


def _change(group: str, quota: int) -> None:
    groups = find_control_groups()
    if quota < 0:
        groups.unlimit(group)
    else:
        groups.limit(group, quota, 5000)


def test_quotas_that_are_off_are_found():
    with Lab(cluster("a", {})) as lab:
        lab.ration()
        lab.unration()
        with pytest.raises(ClusterError, match="device 'a' gets"):
            lab.check_quotas()


def test_a_process_comes_and_goes(eventually):
    with Lab(cluster("a b", {})) as lab, _sleeping() as process:
        try:
            home = _place(process.pid)
            lab.release(process.pid)
            for device in ("a", "b", "a"):
                lab.assign(device, process.pid)
                assert _place(process.pid) == f"/{lab.name}/{device}"
            lab.release(process.pid)
            assert _place(process.pid) == home
            lab.assign("b", process.pid)
        finally:
            process.kill()
            process.wait()
        lab.release(process.pid)
        with pytest.raises(ProcessLookupError):
            lab.assign("a", process.pid)


def test_this_process_is_given_back_at_the_end():
    home = _place(os.getpid())
    with Lab(cluster("a b", {})) as lab:
        lab.assign("a", os.getpid())
        assert _place(os.getpid()) != home
    assert _place(os.getpid()) == home


def _sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def _place(pid: int) -> str:
    groups = find_control_groups()
    return groups.places(pid)["cpu" if isinstance(groups, VersionOne) else ""]


def test_a_machine_lends_no_more_than_it_has():
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(ClusterError, match=f"want {cores} cores together, .* of its {cores}"):
        Lab(cluster("a", {}, cores=cores))


@pytest.mark.parametrize(("moments", "is_found"), [(2, False), (3, True)])
def test_what_a_host_does_for_a_moment_is_not_taken_for_a_change(monkeypatch, moments, is_found):
    # A stop of the whole machine cannot be made from within it.
    shares = iter([{"a": 0.29}] * moments + [{"a": 0.25}])
    monkeypatch.setattr(quota_check, "_shares_under_load", lambda *_: next(shares))
    devices = {"a": quota_check.Rationed("a", 0.25, frozenset())}
    if is_found:
        with pytest.raises(ClusterError, match=r"'a' gets 0\.290 cores .* changed"):
            quota_check.check_shares(find_control_groups(), devices, 0.004)
    else:
        assert quota_check.check_shares(find_control_groups(), devices, 0.004) == {"a": 0.25}

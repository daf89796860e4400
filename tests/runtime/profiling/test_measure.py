"""Profiles of real workers: complete or not there at all, resumed after an interruption, and kept
when a device disappears."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count

import pytest

from swath.cluster.profile_file import LINKS_FILE, load_links, load_profile, save_profile
from swath.errors import ClusterError, FabricError
from swath.runtime.local import LocalWorkers
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.describe import describe_cluster
from swath.runtime.profiling.effort import Effort
from swath.runtime.profiling.machine import cpu_model
from swath.runtime.profiling.measure import gflops, profile_devices

TINY = Effort(
    kind="tiny",
    tiles=3,
    most_flops=3e7,
    tile_seconds=0.01,
    budget=None,
    chains=("depthwise",),
    loads=(0.5,),
    chain_seconds=0.1,
    rounds=2,
)
BATCHES = TINY.tiles + len(TINY.chains)


def quietly(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(["a", "b"]) as workers:
        yield workers


@pytest.fixture(scope="module")
def profiled(workers, tmp_path_factory):
    """(folder, what was measured)."""
    folder = tmp_path_factory.mktemp("profiles")
    return folder, profile_devices(workers.coordinator, ("a", "b"), folder, TINY, quietly)


def test_every_device_has_a_file_that_holds_what_was_measured(profiled, workers):
    folder, found = profiled
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "b.json", LINKS_FILE]
    for device, name in zip(found.devices, ("a", "b"), strict=True):
        profile = load_profile(folder / f"{name}.json")
        assert profile == device.profile
        assert profile.device == name
        assert profile.machine == Asker(workers.coordinator).machine(name)
        assert profile.machine.cpu == cpu_model()
        assert profile.overhead >= 0
        assert profile.copy > 0
        assert gflops(profile) > 0
        # Workers on this machine, so those within it were measured, too.
        sides = {"send", "receive", "send-within", "receive-within"}
        assert {message.side for message in profile.messages} == sides
        assert device.resumed == 0
    # A host may stop the machine while one of them is measured.
    assert any(device.profile.overhead > 0 for device in found.devices)


def test_under_load_it_takes_longer(profiled):
    slower = []
    for device in profiled[1].devices:
        samples = [s for s in device.profile.samples if s.family == "depthwise"]
        (loaded,) = [s for s in samples if s.load]
        (alone,) = [s for s in samples if not s.load and s.shape == loaded.shape]
        slower.append(0.2 < loaded.load < 0.8 and loaded.seconds > alone.seconds)
    assert any(slower)  # A host may stop the machine while one of them is measured.


def test_links_go_both_ways(profiled):
    folder, found = profiled
    assert found.links_path == folder / LINKS_FILE
    assert load_links(found.links_path) == found.links
    assert [(link.sender, link.receiver) for link in found.links] == [("a", "b"), ("b", "a")]


def test_an_interrupted_profile_is_resumed(workers, tmp_path):
    turns = count()

    def interrupt(what: str, done: int, total: int) -> None:
        if next(turns) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile_devices(workers.coordinator, ("a",), tmp_path, TINY, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.json"]
    kept = json.loads((tmp_path / "a.partial.json").read_text())["batches"]
    found = profile_devices(workers.coordinator, ("a",), tmp_path, TINY, quietly)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (device,) = found.devices
    assert device.resumed == len(kept) == 2
    profile = device.profile
    first = [
        sample["seconds"] * profile.pace / batch["pace"]
        for batch in kept.values()
        for sample in batch["samples"]
    ]
    seconds = [sample.seconds for sample in profile.samples]
    assert seconds[: len(first)] == pytest.approx(first, rel=1e-3)
    assert found.links == ()


@pytest.mark.parametrize("change", [{"kind": "another"}, {"machine": {}}, {"batches": 5}])
def test_what_was_measured_of_something_else_is_not_resumed(workers, tmp_path, change):
    def interrupt(what: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile_devices(workers.coordinator, ("a",), tmp_path, TINY, interrupt)
    partial = tmp_path / "a.partial.json"
    partial.write_text(json.dumps({**json.loads(partial.read_text()), **change}))
    (device,) = profile_devices(workers.coordinator, ("a",), tmp_path, TINY, quietly).devices
    assert device.resumed == 0


def test_a_device_that_disappears_is_named_and_the_others_are_kept(tmp_path):
    with LocalWorkers(["a", "b"]) as workers:

        def kill(what: str, done: int, total: int) -> None:
            if (what, done) == ("b", 2):
                workers.processes["b"].kill()

        with pytest.raises(FabricError) as error:
            profile_devices(workers.coordinator, ("a", "b"), tmp_path, TINY, kill)
    assert "device 'b' disappeared while it was profiled" in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.partial.json"]


def test_devices_can_be_measured_together(workers, tmp_path):
    effort = replace(TINY, chains=(), tiles=2)
    found = profile_devices(workers.coordinator, ("a", "b"), tmp_path, effort, quietly, True)
    assert [device.profile.device for device in found.devices] == ["a", "b"]
    assert (tmp_path / "b.json").exists()


def test_a_live_cluster_is_described_by_its_profiles(workers, profiled, tmp_path):
    folder, found = profiled
    steps: list[str] = []
    cluster = describe_cluster(workers.coordinator, ("a", "b"), folder, (), steps.append)
    assert cluster.source == "a"
    assert [device.profile for device in cluster.devices] == [
        str(folder / f"{name}.json") for name in "ab"
    ]
    assert cluster.devices[0].gflops == gflops(found.devices[0].profile)
    assert cluster.link("a", "b").bandwidth == found.links[0].bandwidth
    assert not any("link" in step for step in steps)


def test_a_profile_of_something_else_is_refused(workers, profiled, tmp_path):
    profile = profiled[1].devices[0].profile
    stale = replace(profile, machine=replace(profile.machine, engine="onnxruntime 0.1"))
    save_profile(stale, tmp_path / "a.json")
    with pytest.raises(ClusterError, match=r"its engine was onnxruntime 0\.1, now it is"):
        describe_cluster(workers.coordinator, ("a",), tmp_path, (), lambda step: None)
    (tmp_path / "b.json").write_bytes((tmp_path / "a.json").read_bytes())
    with pytest.raises(ClusterError, match="'a' is no profile of 'b'"):
        describe_cluster(workers.coordinator, ("b",), tmp_path, (), lambda step: None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n", "Some CPU @ 2 GHz"),
        ("processor : 0\nBogoMIPS : 108\nHardware\t: BCM2835\nModel\t: Raspberry Pi 4\n",
         "Raspberry Pi 4"),
        ("CPU part\t: 0xd08\n", "0xd08"),
    ],
)  # fmt: skip
def test_the_processor_is_called_as_the_kernel_calls_it(tmp_path, text, name):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert cpu_model(path) == name
    assert cpu_model(tmp_path / "nothing")

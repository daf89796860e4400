"""Profiles as files: whatever is written is read back, nothing is ever written by half, and what is
damaged, foreign or stale is refused in one line that says why."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.cluster import Cluster, Device, Link, load_cluster
from swath.cluster.profile import DeviceProfile, LinkProfile, Machine, MessageSample, Sample
from swath.cluster.profile_file import (
    check_profile,
    load_links,
    load_profile,
    load_profiles,
    profile_path,
    save_links,
    save_profile,
    write_whole,
)
from swath.cluster.write import write_cluster
from swath.errors import ClusterError

MACHINE = Machine("Some CPU @ 2 GHz", "x86_64", 4, "onnxruntime 1.31.1", 1)
SAMPLE = Sample(
    "convolution", "Conv 3x3", 1e9, 4e5, 4e5, 1e5, 9.0, 64.0, 56.0, 2e7, 0.0, 0.01
)  # fmt: skip
PROFILE = DeviceProfile(
    device="pi-a",
    machine=MACHINE,
    kind="quick",
    made="2026-01-01T00:00:00+00:00",
    samples=(SAMPLE, replace(SAMPLE, load=0.4, seconds=0.02)),
    messages=(MessageSample("send", 1024, 2e-5),),
    overhead=5e-6,
    copy=3e-11,
    request=1e-4,
    pace=2e-3,
    accuracy={"convolution": 0.97},
    chosen={"convolution": "ridge"},
)

numbers = st.floats(0, 1e15, allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
samples = st.builds(
    Sample,
    **{f.name: texts if f.type == "str" else numbers for f in fields(Sample)},  # type: ignore[arg-type]
)
profiles = st.builds(
    DeviceProfile,
    device=texts,
    machine=st.builds(Machine, texts, texts, st.integers(1, 999), texts, st.integers(1, 99)),
    kind=texts,
    made=texts,
    samples=st.lists(samples, max_size=4).map(tuple),
    messages=st.lists(
        st.builds(MessageSample, texts, st.integers(0, 10**9), numbers), max_size=3
    ).map(tuple),
    overhead=numbers,
    copy=numbers,
    request=numbers,
    pace=st.none() | numbers,
    accuracy=st.dictionaries(texts, numbers, max_size=3),
)


@given(profile=profiles)
def test_a_profile_is_read_as_it_was_written(tmp_path_factory, profile):
    path = tmp_path_factory.mktemp("profiles") / "device.json"
    save_profile(profile, path)
    assert load_profile(path) == profile


def test_a_file_of_an_earlier_version_says_no_pace(tmp_path):
    path = tmp_path / "pi-a.json"
    save_profile(PROFILE, path)
    data = json.loads(path.read_text())
    del data["pace"]
    path.write_text(json.dumps(data))
    assert load_profile(path) == replace(PROFILE, pace=None)


def test_a_person_can_read_and_compare_it(tmp_path):
    path = tmp_path / "pi-a.json"
    save_profile(PROFILE, path)
    lines = path.read_text().splitlines()
    assert sum('"family": "convolution"' in line for line in lines) == 2
    assert json.loads(path.read_text())["device"] == "pi-a"


def test_links_are_read_as_they_were_written(tmp_path):
    links = (LinkProfile("a", "b", 12.5e6, 1e-3, 1e-4), LinkProfile("b", "a", 25e6, 1e-3, 2e-4))
    save_links(links, tmp_path / "links.json")
    assert load_links(tmp_path / "links.json") == links


def damaged(change) -> str:
    """The profile's file with its content changed."""
    data = {
        "format": "swath-profile",
        "version": 1,
        **{f.name: getattr(PROFILE, f.name) for f in fields(DeviceProfile)},
        "machine": {f.name: getattr(MACHINE, f.name) for f in fields(Machine)},
        "samples": [{f.name: getattr(SAMPLE, f.name) for f in fields(Sample)}],
        "messages": [],
    }
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a profile"),
        ("[1, 2]", "not a profile"),
        ('{"format": "swath-links", "version": 1, "links": []}', "not a profile"),
        (damaged(lambda data: data.update(version=99)), "version 99"),
        (damaged(lambda data: data.pop("copy")), "'copy' is missing"),
        (damaged(lambda data: data.update(extra=1)), "extra"),
        (damaged(lambda data: data["samples"][0].pop("flops")), "not a Sample"),
        (damaged(lambda data: data["samples"][0].update(seconds=-1)), "-1 is no quantity"),
        (damaged(lambda data: data["samples"][0].update(seconds="1")), "'1' is no float"),
        (damaged(lambda data: data.update(overhead=float("nan"))), "nan is no quantity"),
        (damaged(lambda data: data.update(machine="pi")), "not a Machine"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path, content, said):
    path = tmp_path / "pi-a.json"
    path.write_text(content)
    with pytest.raises(ClusterError) as refusal:
        load_profile(path)
    line = str(refusal.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert "swath profile" in line
    assert "\n" not in line


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "pi-a.json"
    save_profile(PROFILE, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ClusterError, match="not a profile"):
        load_profile(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClusterError, match=r"pi-a\.json: No such file"):
        load_profile(tmp_path / "pi-a.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cpu": "Another CPU"}, "its processor was Some CPU @ 2 GHz, now it is Another CPU"),
        ({"architecture": "aarch64"}, "its architecture was x86_64, now it is aarch64"),
        ({"cores": 8}, "its number of cores was 4, now it is 8"),
        ({"engine": "onnxruntime 2"}, "its engine was onnxruntime 1.31.1, now it is onnxruntime 2"),
        ({"threads": 2}, "its number of threads was 1, now it is 2"),
    ],
)
def test_a_stale_profile_is_refused_with_the_reason(change, said):
    check_profile(PROFILE, "pi-a", MACHINE)
    with pytest.raises(ClusterError) as refusal:
        check_profile(PROFILE, "pi-a", replace(MACHINE, **change))
    assert said in str(refusal.value)


def test_the_profiles_that_a_cluster_names_are_loaded_from_beside_it(tmp_path):
    (tmp_path / "profiles").mkdir()
    save_profile(PROFILE, profile_path(tmp_path / "profiles", "pi-a"))

    def profiles(*devices: Device) -> dict[str, DeviceProfile]:
        cluster = Cluster(devices, devices[0].name, default_link=Link(125e6, 1e-3))
        write_cluster(cluster, tmp_path / "cluster.yaml")
        return load_profiles(load_cluster(tmp_path / "cluster.yaml"))

    own = str(tmp_path / "profiles" / "pi-a.json")
    assert profiles(Device("pi-a", profile=own), Device("pi-b", gflops=5)) == {"pi-a": PROFILE}
    assert "profile: profiles/pi-a.json" in (tmp_path / "cluster.yaml").read_text()
    with pytest.raises(ClusterError, match="the profile of 'pi-a' is no profile of 'pi-b'"):
        profiles(Device("pi-b", profile=own))
    with pytest.raises(ClusterError, match=r"nowhere\.json: No such file"):
        profiles(Device("pi-a", profile=str(tmp_path / "nowhere.json")))


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "pi-a.json"
    save_profile(PROFILE, path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "half of it")
    assert load_profile(path) == PROFILE
    assert list(Path(tmp_path).iterdir()) == [path]

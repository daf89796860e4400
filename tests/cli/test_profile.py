"""`swath profile` and `swath cluster init`: real workers, refusals in one line, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from swath.cluster import load_cluster
from swath.cluster.profile_file import load_links, load_profile, load_profiles
from tests.cli.conftest import SWATH

PARTIAL = Path("swath-out/profiles/worker-0.partial.json")


def test_ctrl_c_leaves_what_was_measured_and_no_profile(marked, tmp_path, eventually):
    process = subprocess.Popen(
        [SWATH, "profile", "--local", "1", "--json"],
        cwd=tmp_path,
        env=marked,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually((tmp_path / PARTIAL).exists, timeout=30.0)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=20)
    assert (process.returncode, said, errors) == (130, "", "")
    assert [path.name for path in (tmp_path / PARTIAL).parent.iterdir()] == [PARTIAL.name]
    assert json.loads((tmp_path / PARTIAL).read_text())["batches"]


@pytest.mark.slow
def test_profiles_and_a_cluster_file_that_names_them(swath, tmp_path):
    report = swath("profile", "--local", 2, "--json").json
    assert [device["name"] for device in report["devices"]] == ["worker-0", "worker-1"]
    for device in report["devices"]:
        assert device["gflops"] > 0
        assert device["samples"] > 100
        assert set(device["accuracy"]) >= {"convolution", "depthwise", "dense", "unblocking"}
        assert load_profile(tmp_path / device["path"]).device == device["name"]
    assert len(load_links(tmp_path / report["links_path"])) == len(report["links"]) == 2

    made = swath("cluster", "init", "--local", 2, "-o", "cluster.yaml", "--json").json
    assert made["links"] == 2
    cluster = load_cluster(tmp_path / "cluster.yaml")
    assert set(load_profiles(cluster)) == {"worker-0", "worker-1"}

    table = swath("cluster", "init", "--local", 2, "-o", "cluster.yaml", "--force").stdout
    assert "worker-0, worker-1" in table
    path = tmp_path / report["devices"][0]["path"]
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 7'))
    refused = swath("cluster", "init", "--local", 2, "-o", "other.yaml")
    assert refused.status == 2
    assert "its number of threads was 7, now it is 1" in refused.stderr
    assert not (tmp_path / "other.yaml").exists()


def test_a_cluster_file_of_who_is_there(swath, refused, tmp_path):
    made = swath("cluster", "init", "--local", 2, "-o", "cluster.yaml", "--json").json
    cluster = load_cluster(tmp_path / "cluster.yaml")
    assert cluster.source == made["source"] == "worker-0"
    assert [device.name for device in cluster.devices] == ["worker-0", "worker-1"]
    for device in cluster.devices:
        assert device.gflops
        assert device.memory
        assert device.profile is None
    assert cluster.link("worker-0", "worker-1").bandwidth > 0
    line = refused("cluster", "init", "--local", 2, "-o", "cluster.yaml")
    assert "cluster.yaml: is there already" in line
    assert "--force" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "-o", "file"), "file: is a file; name a folder"),
        (("profile", "--local", 0), "at least one worker"),
        (("profile", "--cluster", "nowhere.yaml"), "nowhere.yaml"),
        (("profile", "--local", 2, "--connect", "tcp/127.0.0.1:9"), "--local"),
        (("cluster", "init"), "-o"),
        (("cluster", "init", "-o", "nowhere/c.yaml"), "make it first"),
        (("cluster", "init", "-o", "c.yaml", "--profiles", "nowhere"), "nowhere: is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refusal, tmp_path, arguments, said):
    (tmp_path / "file").touch()
    assert said in refusal(*arguments)

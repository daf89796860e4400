"""Cluster files, profiles and recorded channels that do not fit: one line, exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.profile import DeviceProfile, Machine, Sample
from swath.cluster.profile_file import profile_path, save_profile

MODEL = "zoo:squeezenet@32x32"
DEVICES = "devices: [{name: a, gflops: 5}, {name: b, gflops: 5}]"
SAMPLE = Sample("convolution", "Conv", 1e9, 4e5, 4e5, 1e5, 9.0, 64.0, 56.0, 2e7, 0.0, 0.01)


def write_profile(folder: Path, name: str, device: str) -> None:
    """A profile of some machine that is not this one."""
    machine = Machine("A CPU of another time", "pdp11", 1, "onnxruntime 0.1", 1)
    save_profile(
        DeviceProfile(device, machine, "quick", "1970-01-01", (SAMPLE,), (), 1e-5, 1e-10, 1e-5),
        profile_path(folder, name),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"source: a\n{DEVICES}\nspeed: 9", "c.yaml: speed: Extra inputs are not permitted"),
        ("source: a\ndevices: [{name: a, gflop: 5}]", "c.yaml: device 'a': gflop: "),
        ("source: a\ndevices: [{name: a, gflops: -5}]", "device 'a': gflops: -5 is no speed"),
        (f"source: c\n{DEVICES}", "'c' is no device; name one of a, b"),
        (f"source: a\n{DEVICES}\nlinks: {{a b: {{bandwidth: -5Mbps}}}}", "bandwidth"),
        (f"source: a\n{DEVICES}\nlinks: {{a c: {{bandwidth: 5Mbps}}}}", "'c', which is no device"),
        (
            f"source: a\n{DEVICES[:-1]}, {{name: c}}]\nlinks: {{a b: {{bandwidth: 5Mbps}}}}",
            "device 'c' is not connected; add",
        ),
        ("source: a\ndevices: [{name: a, profile: none.json}]", "none.json: No such file"),
        ("source: b\ndevices: [{name: b, profile: a.json}]", "a.json: the profile of 'a' is no"),
        ("source: a\ndevices: [{name: a, profile: broken.json}]", "broken.json: not a profile"),
        (
            f"source: a\n{DEVICES}\n"
            "links: {default: {bandwidth: 9Mbps, channel: trace(empty.csv)}}",
            "empty.csv: line 3: bandwidth is missing; fill the gap",
        ),
        (
            f"source: a\n{DEVICES}\n"
            "links: {default: {bandwidth: 9Mbps, channel: trace(gap.csv)}}",
            "gap.csv: line 12: ",
        ),
    ],
)
def test_refused_in_one_line(refusal, tmp_path, text, said):
    write_profile(tmp_path, "a", "a")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.csv").write_text("seconds,bandwidth\n0,5Mbps\n1,\n2,5Mbps\n")
    steps = [*range(10), 1000, *range(1001, 1010)]
    rows = "".join(f"{second},5Mbps\n" for second in steps)
    (tmp_path / "gap.csv").write_text(f"seconds,bandwidth\n{rows}")
    (tmp_path / "c.yaml").write_text(text)
    assert said in refusal("plan", MODEL, "--cluster", "c.yaml")


def test_a_profile_of_another_machine(refused, tmp_path):
    write_profile(tmp_path, "worker-0", "worker-0")
    line = refused("cluster", "init", "--local", 1, "--profiles", tmp_path, "-o", "c.yaml")
    assert "does not hold any more: its processor was A CPU of another time, now it is" in line
    assert "measure it again with 'swath profile'" in line
    assert not (tmp_path / "c.yaml").exists()

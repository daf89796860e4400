"""Channels: what a person writes, what is said where it is wrong, and recordings with gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swath.cluster import load_cluster, parse_channel
from swath.cluster.channel import Gaussian, GilbertElliott, Rayleigh, Recorded
from swath.errors import ClusterError


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("constant", None),
        ("gaussian(std=20Mbps, block=50ms)", Gaussian(2.5e6, 0.05)),
        ("gaussian( std=8000, mean=16kbps,min=80 )", Gaussian(1000, 0.1, 2000, 10)),
        ("rayleigh(snr=10dB, block=10ms)", Rayleigh(10.0, 0.01)),
        ("rayleigh(snr=4, width=20MHz)", Rayleigh(4.0, 0.02, 20e6)),
        ("gilbert(bad=8Mbps, good_time=2s, bad_time=200ms)", GilbertElliott(1e6, 2.0, 0.2)),
        (
            "gilbert(good=80Mbps, bad=8Mbps, good_to_bad=0.25, bad_to_good=0.5, block=10ms)",
            GilbertElliott(1e6, 0.04, 0.02, 1e7, 0.01),
        ),
    ],
)
def test_what_a_person_writes(text, channel):
    assert parse_channel(text) == channel


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fading", "channel 'fading' is not known; write one of constant, gaussian"),
        ("gaussian(std=1Mbps", "is not known"),
        ("gaussian", "'std' is missing"),
        ("gaussian(std=1Mbps, blok=1s)", "'blok' is not one of its values; it has std, block"),
        ("gaussian(20Mbps)", "'20Mbps' is no NAME=VALUE"),
        ("gaussian(std=1Mbps, std=2Mbps)", "'std' is there twice"),
        ("gaussian(std=0)", "std must be more than 0, not 0"),
        ("gaussian(std=1Mbps, mean=2Mbps, min=3Mbps)", "min must not be more than mean"),
        ("gaussian(std=1parsec)", "unknown unit"),
        ("rayleigh(snr=loud)", "ratio 'loud' is not a quantity"),
        ("rayleigh(snr=1..2dB)", "ratio '1..2dB' is not a quantity"),
        ("rayleigh(snr=-40dB)", "snr must be between -20dB and 60dB"),
        ("rayleigh(snr=1, width=20Mbps)", "width '20Mbps' has an unknown unit"),
        ("gilbert(bad=1Mbps, good_time=1s)", "'bad_time' is missing"),
        ("gilbert(bad=1Mbps, good_to_bad=2, bad_to_good=1, block=1s)", "'2' is no probability"),
        ("gilbert(bad=1Mbps, good_to_bad=x, bad_to_good=1, block=1s)", "'x' is no probability"),
        ("constant(rate=1)", "'rate' is not one of its values; it has none"),
    ],
)
def test_mistakes_are_named_in_one_line(text, message):
    with pytest.raises(ClusterError) as error:
        parse_channel(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_mean_of_a_rayleigh_channel_is_the_links_bandwidth():
    """The closed form against numerical integration of log2(1 + snr x) exp(-x)."""
    x = np.linspace(0, 60, 600_001)
    for snr in (0.1, 1.0, 10.0, 1000.0):
        mean = np.trapezoid(np.log2(1 + snr * x) * np.exp(-x), x)
        assert Rayleigh(snr).scale(5e6) * mean == pytest.approx(5e6, rel=1e-5)
    assert Rayleigh(10.0, width=8e6).scale(5e6) == 1e6


def test_a_recording(tmp_path):
    (tmp_path / "lte.csv").write_text(
        "seconds,cell,bandwidth\n10,a,8Mbps\n11,a,16000000\n13,b,1MB/s\n"
    )
    recorded = parse_channel("trace(lte.csv)", tmp_path)
    assert recorded == Recorded((0.0, 1.0, 3.0), (1e6, 2e6, 1e6))
    assert recorded.duration == pytest.approx(4.5)
    assert recorded.peak(1.0) == 2e6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,rate\n1,2\n", "column 'bandwidth' is missing"),
        ("", "column 'bandwidth' is missing"),
        ("seconds,bandwidth\n1,8000\n", "needs two rows at least"),
        ("seconds,bandwidth\n1,8000\n2,\n3,8000\n", "line 3: bandwidth is missing; fill the gap"),
        ("seconds,bandwidth\n1,8000\n2\n", "line 3: bandwidth is missing; fill the gap"),
        ("seconds,bandwidth\n1,8000\n,8000\n", "line 3: seconds is missing; fill the gap"),
        ("seconds,bandwidth\n1,8000\nnan,8000\n", "line 3: seconds is nan; fill the gap"),
        ("seconds,bandwidth\n1,8000\nsoon,8000\n", "line 3: could not convert"),
        ("seconds,bandwidth\n1,8000\n2,fast\n", "line 3: bandwidth 'fast' is not a quantity"),
        ("seconds,bandwidth\n1,8000\n2,0\n", "line 3: bandwidth must be more than 0"),
        ("seconds,bandwidth\n1,8000\n3,8000\n2,8000\n", "line 4: times must ascend"),
        ("seconds,bandwidth\n1,8000\n1,8000\n", "line 3: times must ascend"),
        (
            "seconds,bandwidth\n"
            + "".join(f"{time},8000\n" for time in [*range(20), 60, *range(61, 80)]),
            "line 22: a gap of 41 s, where rows are 2.02564 s apart in the mean",
        ),
    ],
)  # fmt: skip
def test_recordings_with_gaps_are_refused(tmp_path, text, message):
    (tmp_path / "gaps.csv").write_text(text)
    with pytest.raises(ClusterError) as error:
        parse_channel("trace(gaps.csv)", tmp_path)
    assert message in str(error.value)
    assert "gaps.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recording_that_is_not_there(tmp_path):
    with pytest.raises(ClusterError, match=r"none\.csv: No such file"):
        parse_channel("trace(none.csv)", tmp_path)


CLUSTER = """
source: a
devices: [{{name: a}}, {{name: b}}, {{name: c}}]
links:
  default: {{bandwidth: 80Mbps, latency: 1ms}}
  a b: {{up: 8Mbps, down: 16Mbps, channel: "{channel}"}}
"""


def test_a_link_of_a_cluster_file_has_a_channel(tmp_path):
    (tmp_path / "walk.csv").write_text("seconds,bandwidth\n0,8000\n1,80000\n")
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.format(channel="trace(walk.csv)"))
    cluster = load_cluster(path)
    assert cluster.link("a", "b").channel == Recorded((0.0, 1.0), (1000.0, 10000.0))
    assert cluster.link("a", "b").bandwidth == 1e6
    assert cluster.link("b", "a").channel is cluster.link("a", "b").channel
    assert cluster.link("a", "c").channel is None


def test_a_wrong_channel_of_a_cluster_file(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.format(channel="rayleigh()"))
    with pytest.raises(ClusterError, match=r"yaml: links: 'a b': channel .*'snr' is missing"):
        load_cluster(path)


@pytest.mark.parametrize(
    ("channel", "peak"),
    [
        (Gaussian(10.0), 130.0),
        (Gaussian(10.0, mean=50.0), 80.0),
        (GilbertElliott(5.0, 1.0, 1.0), 100.0),
        (GilbertElliott(5.0, 1.0, 1.0, good=20.0), 20.0),
        (Rayleigh(1.0, width=800.0), 100 * math.log2(1 + math.log(1000))),
    ],
)
def test_the_best_that_a_channel_reaches(channel, peak):
    assert channel.peak(100.0) == pytest.approx(peak)

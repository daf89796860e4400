"""Channels given apart from the cluster file: whose links they are, and what is not understood."""

from __future__ import annotations

import itertools

import pytest

from swath.cluster import Cluster, Device, Link
from swath.cluster.channel import Gaussian, Rayleigh, Recorded
from swath.cluster.varying import with_channels
from swath.errors import ClusterError

LINK = Link(1e6, 1e-3)
OWN = Link(2e6, 2e-3, Gaussian(1e5))
SWITCH = Cluster(
    tuple(Device(name) for name in "abc"), "a", default_link=LINK, links={("b", "c"): OWN}
)
STAR = Cluster(tuple(Device(name) for name in "abc"), "a", "star", LINK, hub="b")
RAYLEIGH = Rayleigh(10.0)


def changed(cluster: Cluster, *texts: str) -> dict[str, object]:
    """By ends, the channel of every link that is another one than before."""
    made = with_channels(cluster, texts)
    found = {}
    for sender, receiver in itertools.permutations("abc", 2):
        before, after = cluster.link(sender, receiver), made.link(sender, receiver)
        assert (after.bandwidth, after.latency) == (before.bandwidth, before.latency)
        if after.channel != before.channel:
            found[sender + receiver] = after.channel
    return found


@pytest.mark.parametrize(
    ("cluster", "texts", "links"),
    [
        (SWITCH, ["rayleigh(snr=10)"], "ab ac ba bc ca cb"),
        (SWITCH, ["up: rayleigh(snr=10)"], "ab ac"),
        (SWITCH, [" down :rayleigh(snr=10)"], "ba ca"),
        (SWITCH, ["c a: rayleigh(snr=10)"], "ac ca"),
        (SWITCH, ["b c: rayleigh(snr=10)"], "bc cb"),
        (STAR, ["up: rayleigh(snr=10)"], "ab"),
        (STAR, ["down: rayleigh(snr=10)"], "ba"),
        (STAR, ["c b: rayleigh(snr=10)"], "bc cb"),
        (SWITCH, [], ""),
    ],
)
def test_a_channel_goes_where_it_is_said_to(cluster, texts, links):
    assert changed(cluster, *texts) == dict.fromkeys(links.split(), RAYLEIGH)


def test_the_last_word_on_a_link_holds():
    found = changed(SWITCH, "rayleigh(snr=10)", "down: constant", "a b: gaussian(std=8Mbps)")
    gaussian = Gaussian(1e6)
    assert found == {"ab": gaussian, "ba": gaussian, "ac": RAYLEIGH, "bc": RAYLEIGH, "cb": RAYLEIGH}
    assert changed(SWITCH, "constant") == {"bc": None}


def test_recordings_lie_where_the_command_is_given(tmp_path):
    (tmp_path / "up.csv").write_text("seconds,bandwidth\n0,8Mbps\n1,4Mbps\n")
    made = with_channels(SWITCH, ["up: trace(up.csv)"], tmp_path)
    assert made.link("a", "c").channel == Recorded((0.0, 1.0), (1e6, 5e5))


@pytest.mark.parametrize(
    ("cluster", "text", "said"),
    [
        (SWITCH, "rayleih(snr=10)", "channel 'rayleih(snr=10)' is not known; write one of"),
        (SWITCH, "rayleigh(10)", "'10' is no NAME=VALUE"),
        (SWITCH, "", "is not known"),
        (SWITCH, "sideways: rayleigh(snr=10)", "channel of 'sideways': that names no link"),
        (SWITCH, ": rayleigh(snr=10)", "that names no link; write up, down or two devices"),
        (SWITCH, "a a: rayleigh(snr=10)", "that names no link"),
        (SWITCH, "a d: rayleigh(snr=10)", "device 'd' is not in the cluster; it has a, b, c"),
        (STAR, "a c: rayleigh(snr=10)", "all end at the hub 'b' of the star"),
    ],
)
def test_what_is_not_understood_is_refused(cluster, text, said):
    with pytest.raises(ClusterError) as error:
        with_channels(cluster, [text])
    assert said in str(error.value)

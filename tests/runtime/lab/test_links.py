"""Shaped links between real network namespaces: rates bite, are shared evenly, and are checked."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from contextlib import ExitStack

import pytest

from swath.errors import ClusterError
from swath.runtime.lab.commands import batch
from swath.runtime.lab.lab import Lab
from swath.runtime.lab.network import FRAME, PAYLOAD
from swath.runtime.lab.rate_check import ATTEMPTS, measure_goodput
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root

pytestmark = [needs_root, pytest.mark.usefixtures("no_lab_left")]


def carried(lab: Lab, *flows: tuple[str, str]) -> list[float]:
    """Mbit/s of rate that each flow takes, while all are under way. The best of a few attempts,
    because others' work on this machine can only slow them."""
    attempts = (measure_goodput(flows, 4e6, lab.enter, lab.address) for _ in range(ATTEMPTS))
    best = max(attempts, key=lambda found: sum(found.values()))
    return [best[flow] * 8e-6 * FRAME / PAYLOAD for flow in flows]


def test_a_rate_holds_while_it_is_in_force():
    with Lab(cluster("a b", {"default": 40})) as lab:
        lab.unshape()
        assert carried(lab, ("a", "b"))[0] > 200
        for _ in range(2):
            lab.shape()
            lab.shape()
            assert carried(lab, ("a", "b")) == [pytest.approx(40, rel=0.1)]
            lab.unshape()
            assert carried(lab, ("b", "a"))[0] > 200


def test_pairs_may_be_slower_than_their_ports():
    with Lab(cluster("a b c", {"default": 60, "a b": (15, 60)})) as lab:
        lab.shape()
        found = lab.check_rates()
        assert found["link a b"] * 8e-6 == pytest.approx(15 * PAYLOAD / FRAME, rel=0.1)
        assert found["what 'b' sends"] * 8e-6 == pytest.approx(60 * PAYLOAD / FRAME, rel=0.1)
        assert carried(lab, ("a", "b"), ("a", "c")) == [
            pytest.approx(15, rel=0.1),
            pytest.approx(45, rel=0.1),
        ]


@pytest.mark.parametrize("flows", [(("a", "c"), ("b", "c")), (("a", "b"), ("b", "a"))])
def test_senders_share_a_channel_evenly(flows):
    with Lab(cluster("a b c", {"default": 40}, "shared")) as lab:
        lab.shape()
        # Acknowledgements of two flows take some of it too.
        assert carried(lab, *flows) == [pytest.approx(20, rel=0.1)] * 2


def test_unlike_senders_share_a_receiver_evenly():
    spokes = {"a hub": 100, "b hub": (30, 100), "c hub": 40}
    with Lab(cluster("hub a b c", spokes, "star")) as lab:
        lab.shape()
        assert carried(lab, ("a", "c"), ("b", "c")) == [pytest.approx(20, rel=0.1)] * 2


def test_what_passes_a_hub_feels_both_links():
    with Lab(cluster("hub a b", {"a hub": (60, 25), "b hub": (15, 40)}, "star")) as lab:
        lab.shape()
        assert carried(lab, ("a", "b")) == [pytest.approx(40, rel=0.1)]
        assert carried(lab, ("b", "a")) == [pytest.approx(15, rel=0.1)]
        assert carried(lab, ("hub", "a")) == [pytest.approx(25, rel=0.1)]
        lab.check_rates()


@pytest.mark.parametrize(
    ("network", "where", "line", "named"),
    [
        ("switch", "-b", "qdisc del dev eth0 root", "what 'b' sends"),
        ("switch", "", "qdisc del dev port0 root", "what 'a' is sent"),
        ("switch", "-a", "filter del dev eth0 parent 2: prio 1", "link a b"),
        ("star", "", "qdisc del dev port1 root", "what 'b' is sent"),
        ("shared", "", "qdisc del dev air0 root", "the channel"),
        ("shared", "", "qdisc del dev port0 ingress", "the channel"),
    ],
)
def test_shaping_that_was_removed_is_found(network, where, line, named):
    links = {"default": 80, "a b": 40} if network == "switch" else {"default": 80}
    with Lab(cluster("a b c", links, network)) as lab:
        lab.shape()
        batch("tc", [line], lab.name + where)
        with pytest.raises(ClusterError, match=rf"^{named}: TCP carries .* Mbit/s where .*outside"):
            lab.check_rates()


@pytest.mark.slow
def test_a_link_that_was_cut_is_found():
    with Lab(cluster("a b", {"default": 80})) as lab:
        lab.shape()
        batch("ip", ["link set port1 down"], lab.name)
        with pytest.raises(ClusterError, match=r"nothing passes from 'a' to 'b': .*outside"):
            lab.check_rates()


def test_a_rate_beyond_this_machine_is_refused():
    with Lab(cluster("a b", {"default": 400_000})) as lab:
        lab.shape()
        with pytest.raises(ClusterError, match=r"what 'a' sends: .* 4e\+05 Mbit/s .*smaller"):
            lab.check_rates()


@pytest.mark.parametrize("network", ["switch", "shared"])
def test_a_receiver_that_computes_does_not_stall_its_sender(network, eventually):
    """Some MB arrive although nobody looks at them."""
    nbytes = 6_000_000
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(cluster("a b", {"default": 800}, network)))
        lab.shape()
        with lab.enter("b"):
            listener = stack.enter_context(socket.create_server((lab.address("b"), 0)))
        with lab.enter("a"):
            sender = stack.enter_context(socket.create_connection(listener.getsockname(), 5))
        receiver = stack.enter_context(listener.accept()[0])
        sender.sendall(bytes(nbytes))
        eventually(lambda: _ioctl(sender, termios.TIOCOUTQ) == 0)
        assert _ioctl(receiver, termios.FIONREAD) == nbytes


def _ioctl(end: socket.socket, request: int) -> int:
    return struct.unpack("i", fcntl.ioctl(end, request, bytes(4)))[0]


def test_threads_that_did_not_enter_stay_outside():
    with Lab(cluster("a b", {})) as lab:
        outside = socket.if_nameindex()
        with lab.enter("a"):
            assert [name for _, name in socket.if_nameindex()] == ["lo", "eth0"]
            with lab.enter("b"):
                assert [name for _, name in socket.if_nameindex()] == ["lo", "eth0"]
        assert socket.if_nameindex() == outside
        with pytest.raises(RuntimeError), lab.enter("a"):
            raise RuntimeError
        assert socket.if_nameindex() == outside

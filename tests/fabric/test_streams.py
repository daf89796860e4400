"""The data door: strangers stay outside, broken connections harm nobody else."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from swath.errors import FabricError
from swath.fabric.fabric import PROTOCOL_VERSION, Address
from swath.fabric.frame import FRAME_BYTES, Frame, Kind
from swath.fabric.places import connect_to, in_order
from swath.fabric.streams import MAX_STRANGERS, Streams
from swath.runtime.local import free_port

VERSION = "f" * 32


@pytest.fixture
def streams():
    """Makes members' data doors, on loopback."""
    made = []

    def make(name, land=lambda frame: None):
        made.append(Streams(name, "127.0.0.1", 0, land))
        return made[-1]

    yield make
    for one in made:
        one.close()


def data(number, nbytes):
    return Frame(Kind.DATA, number, 1, VERSION, nbytes)


def greeting(address, magic=b"swdt", version=PROTOCOL_VERSION, token=None):
    return struct.pack("<4sH32s", magic, version, (token or address.token).encode())


def take(receiver, timeout=5.0):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        arrival = receiver.receive(deadline - time.monotonic())
        if arrival is not None:
            return arrival
    raise AssertionError("nothing came")


def send_often(sender, nbytes):
    for _ in range(10):
        sender.send("b", data(1, nbytes), [bytes(nbytes)])


def serve_briefly(receiver, seconds=0.1):
    """Takes in whatever is at the door; nothing of it may be a message."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert receiver.receive(0.01) is None


def assert_open(receiver, sender):
    """Members still get through."""
    sender.reach(receiver.address)
    sender.send(receiver.address.name, data(1, 2), [b"ok"])
    assert bytes(take(receiver).payload) == b"ok"


def refused(connection, receiver):
    """Whether the other side has closed the connection."""
    connection.settimeout(0.0)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        receiver.receive(0.01)
        try:
            return connection.recv(1) == b""
        except BlockingIOError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize(
    "said",
    [
        lambda address: b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n",
        lambda address: bytes(1000),
        lambda address: greeting(address, magic=b"http"),
        lambda address: greeting(address, version=PROTOCOL_VERSION + 1),
        lambda address: greeting(address, token="0" * 32),
        lambda address: greeting(address) + b"x" * FRAME_BYTES,
        lambda address: greeting(address) + data(1, 5 << 30).pack(),
        lambda address: greeting(address) + data(1, 0)._replace(kind=99).pack(),
    ],
    ids=["http", "zeros", "magic", "version", "token", "frame", "too large", "kind"],
)
def test_strangers_are_refused_without_harm(streams, said, kind):
    receiver, sender = streams("b"), streams("a")
    place = next(place for place in receiver.address.places if place.startswith(kind))
    with connect_to(place) as connection:
        connection.sendall(said(receiver.address))
        assert refused(connection, receiver)
        assert_open(receiver, sender)


def test_a_frame_that_claims_more_than_memory_harms_nobody(streams):
    def land(frame):
        if frame.number == 9:
            raise MemoryError

    receiver, sender = streams("b", land), streams("a")
    with connect_to(receiver.address.places[0]) as connection:
        connection.sendall(greeting(receiver.address) + data(9, 1 << 30).pack())
        assert refused(connection, receiver)
        assert_open(receiver, sender)


def test_memory_of_another_size_is_never_written(streams):
    memory = bytearray(4)
    receiver = streams("b", lambda frame: memoryview(memory))
    with connect_to(receiver.address.places[0]) as connection:
        connection.sendall(greeting(receiver.address) + data(1, 8).pack() + b"12345678")
        assert refused(connection, receiver)
    assert memory == bytes(4)


def test_strangers_that_say_nothing_do_not_use_up_the_door(streams):
    receiver, sender = streams("b"), streams("a")
    place = receiver.address.places[0]
    connections = []
    for _ in range(MAX_STRANGERS + 10):
        connections.append(connect_to(place))
        receiver.receive(0.0)
    serve_briefly(receiver)
    assert refused(connections[0], receiver)
    assert_open(receiver, sender)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("sent", [0, 10, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 500])
def test_a_sender_that_dies_within_a_message_harms_nobody(streams, sent):
    receiver, sender = streams("b"), streams("a")
    with connect_to(receiver.address.places[0]) as connection:
        message = data(1, 1000).pack() + bytes(1000)
        connection.sendall(greeting(receiver.address) + message[:sent])
        serve_briefly(receiver, 0.05)
    serve_briefly(receiver, 0.05)
    assert_open(receiver, sender)


def test_a_message_that_comes_byte_by_byte(streams):
    receiver = streams("b")
    with connect_to(receiver.address.places[0]) as connection:
        for byte in greeting(receiver.address) + data(5, 3).pack() + b"abc":
            connection.send(bytes([byte]))
            arrival = receiver.receive(0.0)
        arrival = arrival or take(receiver)
    assert (arrival.frame.number, bytes(arrival.payload)) == (5, b"abc")


# Reaching


def test_where_unix_sockets_are_not_shared_tcp_is_taken(streams):
    receiver, sender = streams("b"), streams("a")
    unix, tcp = receiver.address.places
    assert (unix[:5], tcp[:14]) == ("unix:", "tcp:127.0.0.1:")
    sender.reach(replace(receiver.address, places=("unix:of-another-machine", tcp)))
    assert_open(receiver, sender)


@pytest.mark.parametrize(
    "places", [(), ("unix:nobody",), ("tcp:127.0.0.1:1", "unix:x"), ("tcp:", "what", "tcp:h:x")]
)
def test_a_dead_address_is_refused_in_one_line(streams, places):
    sender = streams("a")
    with pytest.raises(FabricError, match=r"'a' cannot reach 'b': tried .*--listen") as refusal:
        sender.reach(Address("b", places, "0" * 32))
    assert "\n" not in str(refusal.value)


def test_a_connection_that_the_other_side_has_dropped_can_be_made_again(streams):
    harsh = True

    def land(frame):
        if harsh:
            raise ValueError("not now")

    receiver, sender = streams("b", land), streams("a")
    sender.reach(receiver.address)
    sender.send("b", data(1, 1), [b"x"])
    serve_briefly(receiver)
    with pytest.raises(FabricError, match="'b' cannot be sent to"):
        send_often(sender, 1)
    harsh = False
    assert_open(receiver, sender)


def test_own_addresses_are_tried_last():
    places = ["unix:x", "tcp:127.0.0.1:5", "tcp:203.0.113.7:5"]
    assert in_order(places) == ["unix:x", "tcp:203.0.113.7:5", "tcp:127.0.0.1:5"]
    assert in_order(places[:2]) == places[:2]


def test_a_port_in_use_is_named_with_the_mend():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(FabricError, match=rf"127\.0\.0\.1:{port}: .*choose another --listen"):
            Streams("a", "127.0.0.1", port, lambda frame: None)


@pytest.mark.parametrize("port", [65536, 70000])
def test_a_port_that_is_none(port):
    with pytest.raises(FabricError, match=f"cannot listen for data on 127.0.0.1:{port}"):
        Streams("a", "127.0.0.1", port, lambda frame: None)


# Sending to who does not take it


def threads_of(receiver):
    return [t for t in threading.enumerate() if t.name == f"swath-send-{receiver}"]


def test_closing_with_a_backlog_ends_its_thread(streams):
    receiver, sender = streams("b"), streams("a")
    sender.reach(receiver.address)
    for _ in range(3):
        sender.send("b", data(1, 8 << 20), [bytes(8 << 20)])
    assert threads_of("b")
    start = time.monotonic()
    sender.close()
    assert time.monotonic() - start < 3.0
    assert not threads_of("b")
    assert receiver.receive(0.05) is None


def test_closing_after_a_backlog_has_gone_ends_its_thread(streams):
    receiver, sender = streams("b"), streams("a")
    sender.reach(receiver.address)
    sender.send("b", data(1, 24 << 20), [bytes(24 << 20)])
    assert len(take(receiver).payload) == 24 << 20
    assert threads_of("b")
    sender.close()
    assert not threads_of("b")


def test_more_than_enough_for_one_who_takes_nothing(streams, monkeypatch):
    monkeypatch.setattr("swath.fabric.outgoing.MAX_BACKLOG_BYTES", 20 << 20)
    receiver, sender = streams("b"), streams("a")
    sender.reach(receiver.address)
    with pytest.raises(FabricError, match="'b' cannot be sent to: it takes nothing any more"):
        send_often(sender, 8 << 20)
    assert sender.close() is None


DEAF = """
import sys
from swath.fabric.streams import Streams
streams = Streams("b", "127.0.0.1", int(sys.argv[1]), lambda frame: None)
print(*streams.address.places, streams.address.token, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_peer_that_is_killed_while_we_send(streams, eventually, kind):
    command = [sys.executable, "-c", DEAF, str(free_port())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        *places, token = process.stdout.readline().split()
        sender = streams("a")
        chosen = tuple(place for place in places if place.startswith(kind))
        sender.reach(Address("b", chosen, token))
        sender.send("b", data(1, 16 << 20), [bytes(16 << 20)])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        def is_refused():
            try:
                sender.send("b", data(1, 1), [b"x"])
            except FabricError as refusal:
                return "'b' cannot be sent to" in str(refusal)

        eventually(is_refused)
        eventually(lambda: not threads_of("b"))

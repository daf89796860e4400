"""Tensors over sockets: Unix-domain within a machine, TCP between machines.

Zenoh carries control; measured between busy processes on one machine, a tensor of 600 KB takes it
some 500 us one way and a bare socket 125 us, because its Python binding copies on both sides and
hands over between threads (docs/results/fabric.md). So data takes a socket per pair and direction,
is read straight into the memory where it is needed, by the very thread that waits for it. Within a
machine, what is large lies in memory that both ends share (`swath.fabric.ring`); only its frame
takes the socket.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import secrets
import selectors
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from swath.errors import FabricError
from swath.fabric.fabric import PROTOCOL_VERSION, Address, Arrival, Buffer, Land
from swath.fabric.frame import FRAME_BYTES, Frame, unpack_frame
from swath.fabric.outgoing import Outgoing
from swath.fabric.places import connect_to, in_order, listen_tcp, listen_unix, reachable_hosts, tune
from swath.fabric.ring import RingReader, RingWriter

MAX_STRANGERS = 64
"""Connections that have not shown their token yet; of more than that, the oldest has to go."""

LEAST_AWAITED = 4096
"""Bytes of a message that are not worth a call to the system for being woken once for all."""

MOST_AWAITED = 1 << 20
"""Bytes after which a receiver is woken though more are to come: reading them goes on meanwhile."""

_GREETING = struct.Struct("<4sH32s")
_MAGIC = b"swdt"


@dataclass(slots=True, eq=False)
class _Incoming:
    """A connection on which one member sends to us."""

    socket: socket.socket
    is_local: bool
    """Whether the other end is on this machine: what is asked of a socket itself is slow."""
    head: bytearray = field(default_factory=lambda: bytearray(_GREETING.size))
    filled: int = 0
    is_member: bool = False
    """False until the greeting is complete and right."""
    frame: Frame | None = None
    payload: memoryview | None = None
    ring: RingReader | None = None
    awaited: int = 1
    """Bytes that must have come before the system says that there are some."""

    def await_bytes(self, count: int) -> None:
        """Be woken when so much has come, or the connection has ended.

        A link of 100 Mbit/s brings a packet every 120 us; woken by each, a receiver of a quarter of
        a core spent as much on its halos as on its tiles.
        """
        if count < LEAST_AWAITED:
            count = 1
        count = min(count, MOST_AWAITED)
        if count != self.awaited and not self.is_local:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self.awaited = count

    def read_into(self, target: memoryview) -> int:
        """Bytes read; with a greeting a ring may come. Raises BlockingIOError, OSError, ValueError
        for a ring that is none."""
        if self.is_member or not self.is_local:
            return self.socket.recv_into(target)
        data, descriptors, _, _ = socket.recv_fds(self.socket, len(target), 1)
        target[: len(data)] = data
        for descriptor in descriptors:
            if self.ring is not None:
                self.ring.close()
            self.ring = RingReader(descriptor)
        return len(data)

    def take_from_ring(self, place: int, target: memoryview) -> None:
        if self.ring is None:
            raise ValueError("a message in a ring that was never given")
        self.ring.take(place, target)

    def close(self) -> None:
        self.socket.close()
        if self.ring is not None:
            self.ring.close()


class Streams:
    """All data connections of one member."""

    def __init__(self, name: str, host: str | None, port: int, land: Land) -> None:
        self._land = land
        self._ready: deque[Arrival] = deque()
        self._outgoing: dict[str, Outgoing] = {}
        self._strangers: deque[_Incoming] = deque()
        self._listeners: list[socket.socket] = []
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._wake_reader)
        try:
            self.address = Address(name, self._listen(host, port), secrets.token_hex(16))
        except BaseException:
            self.close()
            raise

    def _listen(self, host: str | None, port: int) -> tuple[str, ...]:
        unix = f"swath-{secrets.token_hex(8)}"
        self._listeners.append(listen_unix(unix))
        places = [f"unix:{unix}"]
        if host is not None:
            listener = listen_tcp(host, port)
            self._listeners.append(listener)
            places += [f"tcp:{h}:{listener.getsockname()[1]}" for h in reachable_hosts(host)]
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)
        return tuple(places)

    def reach(self, address: Address) -> None:
        """Connect to a member, unless that has been done."""
        known = self._outgoing.get(address.name)
        if known is not None:
            if known.address == address and not known.is_broken:
                return
            self.forget(address.name)
        greeting = _GREETING.pack(_MAGIC, PROTOCOL_VERSION, address.token.encode())
        reasons = []
        for place in in_order(address.places):
            try:
                connection = connect_to(place)
                ring = _greet(connection, greeting)
            except (OSError, ValueError) as error:
                reasons.append(f"{place} ({getattr(error, 'strerror', None) or error})")
                continue
            self._outgoing[address.name] = Outgoing(address, connection, ring)
            return
        raise FabricError(
            f"{self.address.name!r} cannot reach {address.name!r}: tried "
            f"{', '.join(reasons) or 'nothing'}; "
            "let it listen on an address that the others can connect to (--listen)"
        )

    def is_near(self, name: str) -> bool:
        """Whether what is large goes to this member through memory that both share."""
        known = self._outgoing.get(name)
        return known is not None and known.has_ring

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer]) -> None:
        outgoing = self._outgoing.get(receiver)
        if outgoing is None:
            raise FabricError(f"{receiver!r} was not reached yet, or has gone")
        outgoing.send(frame, parts)

    def forget(self, receiver: str) -> None:
        """A member has gone: drop the connection to it."""
        outgoing = self._outgoing.pop(receiver, None)
        if outgoing is not None:
            outgoing.close()

    def receive(self, timeout: float | None) -> Arrival | None:
        """The next message; None when the time is up, something has come in part, or on `wake`."""
        if not self._ready:
            for key, _ in self._selector.select(timeout):
                if isinstance(key.data, _Incoming):
                    self._read(key.data)
                elif key.data is self._wake_reader:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_reader.recv(4096)
                else:
                    self._accept(key.data)
        return self._ready.popleft() if self._ready else None

    def wake(self) -> None:
        """Make `receive` return; from any thread."""
        with contextlib.suppress(OSError):  # Full: it is awake; closed: it has returned.
            self._wake_writer.send(b"w")

    def close(self) -> None:
        """Drop all connections. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for receiver in list(self._outgoing):
            self.forget(receiver)
        for key in list(self._selector.get_map().values()):
            key.data.close()
        self._selector.close()
        self._wake_writer.close()
        for listener in self._listeners:
            listener.close()

    # Reading

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        tune(connection)
        stranger = _Incoming(connection, connection.family == socket.AF_UNIX)
        self._selector.register(connection, selectors.EVENT_READ, stranger)
        self._strangers.append(stranger)
        if len(self._strangers) > MAX_STRANGERS:
            self._drop(self._strangers[0])

    def _drop(self, incoming: _Incoming) -> None:
        self._selector.unregister(incoming.socket)
        incoming.close()
        if not incoming.is_member:
            self._strangers.remove(incoming)

    def _read(self, incoming: _Incoming) -> None:
        """Read on until a message is complete, or there is nothing more for now."""
        if incoming.socket.fileno() < 0:
            return  # Dropped since it was selected.
        try:
            while self._read_some(incoming):
                pass
            missing = 0 if incoming.payload is None else len(incoming.payload) - incoming.filled
            incoming.await_bytes(missing)
        except (OSError, ValueError, MemoryError):
            # A foreign or broken peer: what it wanted is not for us to guess. Members that go are
            # reported by the fabric's liveliness.
            self._drop(incoming)

    def _read_some(self, incoming: _Incoming) -> bool:
        target = memoryview(incoming.head) if incoming.payload is None else incoming.payload
        try:
            count = incoming.read_into(target[incoming.filled :])
        except BlockingIOError:
            return False
        if count == 0:
            raise OSError(errno.ECONNRESET, "closed")
        incoming.filled += count
        if incoming.filled < len(target):
            return True
        incoming.filled = 0
        if not incoming.is_member:
            self._greet(incoming)
            return True
        if incoming.frame is None:
            incoming.frame, place = unpack_frame(incoming.head)
            incoming.payload = self._place(incoming.frame)
            if place:
                incoming.take_from_ring(place, incoming.payload)
            elif incoming.frame.nbytes:
                return True
        assert incoming.payload is not None
        self._ready.append(Arrival(incoming.frame, incoming.payload))
        incoming.frame = incoming.payload = None
        return False

    def _place(self, frame: Frame) -> memoryview:
        """Where the payload of a message is to lie."""
        memory = self._land(frame)
        if memory is None:
            return memoryview(bytearray(frame.nbytes))
        if len(memory) != frame.nbytes:
            raise ValueError(f"{frame.nbytes} bytes do not fit into {len(memory)}")
        return memory

    def _greet(self, incoming: _Incoming) -> None:
        magic, version, token = _GREETING.unpack(incoming.head)
        if magic != _MAGIC or version != PROTOCOL_VERSION:
            raise ValueError("a foreign greeting")
        if not hmac.compare_digest(token, self.address.token.encode()):
            raise ValueError("a wrong token")
        self._strangers.remove(incoming)
        incoming.is_member = True
        incoming.head = bytearray(FRAME_BYTES)


def _greet(connection: socket.socket, greeting: bytes) -> RingWriter | None:
    """Show the token; within one machine, give a ring along with it."""
    if connection.family != socket.AF_UNIX:
        connection.sendall(greeting, socket.MSG_NOSIGNAL)
        return None
    ring = RingWriter()
    try:
        socket.send_fds(connection, [greeting], [ring.fd])
    except BaseException:
        ring.close()
        raise
    return ring

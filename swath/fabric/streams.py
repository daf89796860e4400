"""Tensors over sockets: Unix-domain within a machine, TCP between machines.

Zenoh carries control; measured between busy processes on one machine, a tensor of 600 KB takes it
some 500 us one way and a bare socket 125 us, because its Python binding copies on both sides and
hands over between threads (docs/results/fabric.md). So data takes a socket per pair and direction,
is read straight into the memory where it is needed, by the very thread that waits for it.
"""

from __future__ import annotations

import errno
import hmac
import secrets
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from swath.errors import FabricError
from swath.fabric.fabric import PROTOCOL_VERSION, Address, Arrival, Buffer, Land
from swath.fabric.frame import FRAME_BYTES, Frame, unpack_frame

CONNECT_TIMEOUT = 5.0
"""Seconds to connect to one place."""

SEND_BUFFER_BYTES = 2 << 20
"""What the kernel may hold of a message while its sender goes on computing."""

_GREETING = struct.Struct("<4sH32s64s")
_MAGIC = b"swdt"


@dataclass(slots=True)
class _Incoming:
    """A connection on which one member sends to us."""

    socket: socket.socket
    head: bytearray = field(default_factory=lambda: bytearray(_GREETING.size))
    filled: int = 0
    sender: str | None = None
    """None until the greeting is complete and right."""
    frame: Frame | None = None
    payload: memoryview | None = None


class Outgoing:
    """The connection on which we send to one member."""

    def __init__(self, receiver: str, connection: socket.socket) -> None:
        self._receiver = receiver
        self._socket = connection
        self._backlog: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._broken: str | None = None
        self._closed = False

    def send(self, frame: Frame, parts: Sequence[Buffer]) -> None:
        buffers = [frame.pack(), *parts]
        with self._changed:
            if self._broken is not None:
                raise FabricError(f"{self._receiver!r} cannot be sent to: {self._broken}")
            if self._backlog:
                self._later(buffers, 0)
                return
        try:
            sent = self._socket.sendmsg(buffers, [], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken = error.strerror or str(error)
            raise FabricError(f"{self._receiver!r} cannot be sent to: {self._broken}") from None
        if sent < FRAME_BYTES + frame.nbytes:
            with self._changed:
                self._later(buffers, sent)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._socket.shutdown(socket.SHUT_RDWR) if self._backlog else None
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._socket.close()

    def _later(self, buffers: Sequence[Buffer], sent: int) -> None:
        """Leave what has not gone to a thread; the memory is copied, for it will be used again."""
        self._backlog.append(b"".join(buffers)[sent:])
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._drain, name=f"swath-send-{self._receiver}", daemon=True
            )
            self._thread.start()
        self._changed.notify()

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._backlog or self._closed)
                if not self._backlog:
                    return
                data = self._backlog[0]
            try:
                self._socket.sendall(data)
            except OSError as error:
                with self._changed:
                    self._broken = error.strerror or str(error)
                    self._backlog.clear()
                return
            with self._changed:
                self._backlog.popleft()


class Streams:
    """All data connections of one member.

    ``wake_fd`` becomes readable when something else than data wants attention.
    """

    def __init__(self, name: str, host: str | None, port: int, land: Land, wake_fd: int) -> None:
        self._land = land
        self._selector = selectors.DefaultSelector()
        self._ready: deque[Arrival] = deque()
        self._outgoing: dict[str, Outgoing] = {}
        token = secrets.token_hex(16)
        unix = f"swath-{secrets.token_hex(8)}"
        self._listeners = [_listen_unix(unix)]
        places = [f"unix:{unix}"]
        if host is not None:
            listener = _listen_tcp(host, port)
            self._listeners.append(listener)
            places += [f"tcp:{h}:{listener.getsockname()[1]}" for h in _reachable_hosts(host)]
        self.address = Address(name, tuple(places), token)
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, None)
        self._wake_fd = wake_fd
        self._selector.register(wake_fd, selectors.EVENT_READ, None)

    def reach(self, address: Address) -> None:
        """Connect to a member, unless that has been done."""
        if address.name in self._outgoing:
            return
        reasons = []
        for place in address.places:
            try:
                connection = _connect(place)
                connection.sendall(
                    _GREETING.pack(
                        _MAGIC,
                        PROTOCOL_VERSION,
                        address.token.encode(),
                        self.address.name.encode()[:64],
                    )
                )
            except OSError as error:
                reasons.append(f"{place} ({error.strerror or error})")
                continue
            self._outgoing[address.name] = Outgoing(address.name, connection)
            return
        raise FabricError(
            f"{self.address.name!r} cannot reach {address.name!r}: tried {', '.join(reasons)}; "
            "let it listen on an address that the others can connect to (--listen)"
        )

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
        """The next message; None when the time is up or something else wants attention."""
        if not self._ready:
            for key, _ in self._selector.select(timeout):
                if key.fileobj in self._listeners:
                    self._accept(key.fileobj)  # type: ignore[arg-type]
                elif isinstance(key.data, _Incoming):
                    self._read(key.data)
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        for receiver in list(self._outgoing):
            self.forget(receiver)
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake_fd:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        _tune(connection)
        self._selector.register(connection, selectors.EVENT_READ, _Incoming(connection))

    def _read(self, incoming: _Incoming) -> None:
        try:
            while self._read_some(incoming):
                pass
        except (OSError, ValueError):
            # A foreign or broken peer: what it wanted is not for us to guess. Members that go are
            # reported by the fabric's liveliness.
            self._selector.unregister(incoming.socket)
            incoming.socket.close()

    def _read_some(self, incoming: _Incoming) -> bool:
        """Read on; False when there is nothing more for now."""
        target = memoryview(incoming.head) if incoming.payload is None else incoming.payload
        try:
            count = incoming.socket.recv_into(target[incoming.filled :])
        except BlockingIOError:
            return False
        if count == 0:
            raise OSError(errno.ECONNRESET, "closed")
        incoming.filled += count
        if incoming.filled < len(target):
            return True
        incoming.filled = 0
        if incoming.sender is None:
            incoming.sender = self._greet(incoming.head)
            incoming.head = bytearray(FRAME_BYTES)
        elif incoming.payload is None:
            incoming.frame = frame = unpack_frame(incoming.head)
            incoming.payload = self._land(frame)
            if incoming.payload is None:
                incoming.payload = memoryview(bytearray(frame.nbytes))
            if frame.nbytes == 0:
                self._complete(incoming)
        else:
            self._complete(incoming)
        return True

    def _complete(self, incoming: _Incoming) -> None:
        assert incoming.frame is not None and incoming.payload is not None
        self._ready.append(Arrival(incoming.frame, incoming.payload))
        incoming.frame = incoming.payload = None

    def _greet(self, greeting: bytearray) -> str:
        magic, version, token, name = _GREETING.unpack(greeting)
        if magic != _MAGIC or version != PROTOCOL_VERSION:
            raise ValueError("a foreign greeting")
        if not hmac.compare_digest(token, self.address.token.encode()):
            raise ValueError("a wrong token")
        return str(name.rstrip(b"\0").decode())


def _tune(connection: socket.socket) -> None:
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _connect(place: str) -> socket.socket:
    kind, _, rest = place.partition(":")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        target: object = f"\0{rest}"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    else:
        connection = socket.socket(socket.AF_INET)
        host, _, port = rest.rpartition(":")
        target = (host, int(port))
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(target)  # type: ignore[arg-type]
        connection.settimeout(None)
        _tune(connection)
    except OSError:
        connection.close()
        raise
    return connection


def _listen_unix(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    listener.setblocking(False)
    return listener


def _listen_tcp(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise FabricError(
            f"cannot listen for data on {host}:{port}: {error.strerror}; choose another --listen"
        ) from None
    listener.listen()
    listener.setblocking(False)
    return listener


def _reachable_hosts(host: str) -> tuple[str, ...]:
    """Addresses under which a listener bound to ``host`` can be connected to."""
    if host != "0.0.0.0":
        return (host,)
    import psutil

    found = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    ]
    return tuple(sorted(found, key=lambda address: address.startswith("127.")))

"""A connection on which one member sends to another, without ever waiting for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Sequence

from swath.errors import FabricError
from swath.fabric.fabric import Address, Buffer
from swath.fabric.frame import FRAME_BYTES, Frame
from swath.fabric.ring import SMALLEST_PAYLOAD, RingWriter

MAX_BACKLOG_BYTES = 2 << 30
"""What may wait for a receiver that does not take it; beyond that it is given up."""

_NO_WAIT = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
"""A plain number: flags that are put together at every message cost as much as a small copy."""

MAX_BUFFERS = 512
"""Buffers in one system call; Linux takes 1024."""


class Outgoing:
    """The connection on which we send to one member.

    What the kernel does not take at once is copied and left to a thread, which is only started
    when there is need of it. `send` belongs to one thread at a time; `close` may come from another.
    """

    def __init__(
        self, address: Address, connection: socket.socket, ring: RingWriter | None = None
    ) -> None:
        self.address = address
        self._socket = connection
        self._ring = ring
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._broken: str | None = None

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._broken is not None

    @property
    def has_ring(self) -> bool:
        """Whether the receiver is on this machine, and shares memory with us."""
        return self._ring is not None

    def send(self, frame: Frame, parts: Sequence[Buffer]) -> None:
        """Send a message; raises FabricError where the connection is broken."""
        place = 0
        if self._ring is not None and frame.nbytes >= SMALLEST_PAYLOAD:
            place = self._ring.put(parts, frame.nbytes)
        buffers = [frame.pack(place)] if place else [frame.pack(), *parts]
        if len(buffers) > MAX_BUFFERS:
            buffers = [b"".join(buffers)]
        with self._lock:
            sent = self._send_at_once(buffers)
            if sent < FRAME_BYTES + (0 if place else frame.nbytes):
                self._send_later(_rest(buffers, sent))

    def close(self) -> None:
        """Drop the connection, and what has not left yet."""
        with self._changed:
            self._broken = self._broken or "closed"
            self._changed.notify()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        if self._ring is not None:
            self._ring.close()

    def _send_at_once(self, buffers: Sequence[Buffer]) -> int:
        """Bytes that the kernel has taken."""
        if self._broken is None and not self._backlog:
            try:
                return self._socket.sendmsg(buffers, (), _NO_WAIT)
            except BlockingIOError:
                return 0
            except OSError as error:
                self._broken = error.strerror or str(error)
        if self._broken is not None:
            raise FabricError(f"{self.address.name!r} cannot be sent to: {self._broken}")
        return 0

    def _send_later(self, data: bytes) -> None:
        self._backlog_bytes += len(data)
        if self._backlog_bytes > MAX_BACKLOG_BYTES:
            self._broken = "it takes nothing any more"
            raise FabricError(f"{self.address.name!r} cannot be sent to: {self._broken}")
        self._backlog.append(data)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._drain, name=f"swath-send-{self.address.name}", daemon=True
            )
            self._thread.start()
        self._changed.notify()

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._backlog or self._broken is not None)
                if self._broken is not None:
                    self._backlog.clear()
                    return
                data = self._backlog[0]
            try:
                self._socket.sendall(data, socket.MSG_NOSIGNAL)
            except OSError as error:
                with self._changed:
                    self._broken = self._broken or error.strerror or str(error)
                continue
            with self._changed:
                self._backlog_bytes -= len(self._backlog.popleft())


def _rest(buffers: Sequence[Buffer], sent: int) -> bytes:
    """A copy of what has not gone; the memory itself will be used again."""
    left = []
    for buffer in buffers:
        if sent < len(buffer):
            left.append(memoryview(buffer)[sent:])
        sent = max(0, sent - len(buffer))
    return b"".join(left)

"""Memory that two members on one machine share, for messages too large to copy through the kernel.

The sender makes a ring (a sealed memfd, so that nothing is left behind however a process ends),
passes it along with its greeting, writes payloads into it and says in the frame where. The receiver
copies them out and counts. Messages are taken out in the order in which they were put in.

Why: a socket allocates fresh pages for every message. On virtual machines whose host takes free
pages back, that took 1.4 ms for a picture of 600 KB, instead of 0.1 ms through memory that stays.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections import deque
from collections.abc import Sequence

from swath.fabric.fabric import Buffer

RING_BYTES = 16 << 20
"""Only what is used of it takes memory: it starts anew whenever everything was taken out."""

SMALLEST_PAYLOAD = 16 << 10
"""What is smaller goes through the socket, with its frame."""

_HEAD_BYTES = 4096
_COUNT = struct.Struct("<Q")
_ALIGNMENT = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class RingWriter:
    """The sender's end. Raises OSError where the machine has no memfd."""

    def __init__(self, capacity: int = RING_BYTES) -> None:
        self.fd = os.memfd_create("swath", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, _HEAD_BYTES + capacity)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(self.fd, _HEAD_BYTES + capacity)
        except BaseException:
            os.close(self.fd)
            raise
        self._capacity = capacity
        self._pending: deque[int] = deque()
        """Where the messages that were not taken out yet end, in bytes ever written."""
        self._taken = 0
        self._head = 0
        self._tail = 0

    def put(self, parts: Sequence[Buffer], nbytes: int) -> int:
        """Write a payload; its place, or 0 where there is no room for it now."""
        self._forget_taken()
        size = -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        offset = self._head % self._capacity
        skipped = self._capacity - offset if offset + size > self._capacity else 0
        if nbytes == 0 or self._head + skipped + size - self._tail > self._capacity:
            return 0
        start = at = (offset + skipped) % self._capacity
        for part in parts:
            position = _HEAD_BYTES + at
            self._memory[position : position + len(part)] = part
            at += len(part)
        self._head += skipped + size
        self._pending.append(self._head)
        return start // _ALIGNMENT + 1

    def _forget_taken(self) -> None:
        (taken,) = _COUNT.unpack_from(self._memory)
        while self._taken < taken and self._pending:
            self._tail = self._pending.popleft()
            self._taken += 1
        if not self._pending:
            # From the start again: the memory that was used last is still in the caches.
            self._head = self._tail = 0

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


class RingReader:
    """The receiver's end of a ring whose descriptor has come with a greeting (it is closed here).

    Raises ValueError for what is no ring, among them memory that could be cut short under us.
    """

    def __init__(self, fd: int) -> None:
        try:
            if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise ValueError("a ring that is not sealed")
            self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        except OSError as error:
            raise ValueError("not a ring") from error
        finally:
            os.close(fd)
        self._taken = 0

    def take(self, place: int, target: memoryview) -> None:
        """Copy the payload at a place out; raises ValueError where it does not lie in the ring."""
        start = _HEAD_BYTES + (place - 1) * _ALIGNMENT
        if start + len(target) > len(self._memory):
            raise ValueError("a message that lies outside of its ring")
        with memoryview(self._memory) as memory:
            target[:] = memory[start : start + len(target)]
        self._taken += 1
        _COUNT.pack_into(self._memory, 0, self._taken)

    def close(self) -> None:
        self._memory.close()

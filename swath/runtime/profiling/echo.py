"""Messages that are measured: one member sends, the other sends back what it is asked for.

Data frames of a version that no program has. The CPU time of both ends is taken besides the time of
a round trip, so that what a link takes can be told from what its ends do, which the device pays
with time of its own.

In a run a message comes in the midst of computing, which leaves nothing else in a core's own cache.
So whoever answers fills the cache with something else after each message, and whoever asks leaves
the time for it: handling a message takes some two to three times as long as if one followed the
other at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from swath.errors import FabricError
from swath.fabric.fabric import Address, Arrival, Change, Event, Fabric
from swath.fabric.frame import Frame, Kind

REPLY_TIMEOUT = 10.0
"""Seconds after which a message is not answered any more."""

KNOCK_EVERY = 0.5
"""Seconds of waiting after which it is tried whether the other end is still there."""

SIZES = (0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20)
"""Bytes of payload, ascending."""

COOLING_BYTES = 4 << 20
"""What is read after each message: more than a core's own cache holds."""

PAUSE = 4e-3
"""Seconds between two messages, in which that much is read."""

LONGEST = 0.15
"""Seconds of a round trip after which nothing larger is sent."""

Spent = dict[tuple[str, int], list[float]]
"""CPU seconds of one end's messages, by side (``send`` or ``receive``) and bytes."""


@lru_cache(maxsize=1)
def _something_else() -> np.ndarray:
    return np.ones(COOLING_BYTES // 4, np.float32)


class _Memory:
    """Memory that is made when more of it is wanted than before, and is warm from then on."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def first(self, size: int) -> memoryview:
        if len(self._bytes) < size:
            self._bytes = bytearray(size)
        return memoryview(self._bytes)[:size]


@dataclass(slots=True)
class _Peer:
    name: str
    landing: _Memory = field(default_factory=_Memory)
    payload: _Memory = field(default_factory=_Memory)
    spent: Spent = field(default_factory=dict)
    since: float | None = None
    """This process's CPU time when it was done with the message before."""


class Echoes:
    """The side that answers, on one member."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def begin(self, version: str, peer: str) -> None:
        """Messages of this version come from ``peer``, which has been reached."""
        self._peers[version] = _Peer(peer)

    def end(self, version: str) -> Spent:
        """CPU time of what has come and gone."""
        return self._peers.pop(version).spent

    def landing(self, frame: Frame) -> memoryview | None:
        """Memory that is there already, as where a program's messages land."""
        peer = self._peers.get(frame.version)
        if peer is None:
            return None
        return peer.landing.first(frame.nbytes)

    def take(self, fabric: Fabric, frame: Frame) -> None:
        """Send back as many bytes as the frame's number says."""
        peer = self._peers.get(frame.version)
        if peer is None or frame.kind != Kind.DATA:
            return
        received = time.process_time()
        payload = peer.payload.first(frame.number)
        reply = Frame(Kind.DATA, 0, frame.request, frame.version, frame.number)
        before = time.process_time()
        fabric.send(peer.name, reply, [payload] if payload else [])
        sent = time.process_time()
        if peer.since is not None:
            _note(peer.spent, (frame.nbytes, received - peer.since), (frame.number, sent - before))
        _something_else().sum()
        peer.since = time.process_time()


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Messages of ``there`` bytes, answered by ``back`` bytes: seconds of each, and the CPU seconds
    of the asking end in it."""

    there: int
    back: int
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]


class Exchange:
    """The side that asks. ``handle`` takes whatever else comes in meanwhile."""

    def __init__(
        self, fabric: Fabric, version: str, peer: Address, handle: Callable[[Event], None]
    ) -> None:
        self._fabric = fabric
        self._version = version
        self._peer = peer.name
        self._handle = handle
        self._number = 0
        self._payload = _Memory()
        self.spent: Spent = {}
        fabric.reach(peer)

    def series(self, rounds: int) -> list[RoundTrips]:
        """Small messages often, then ever larger ones there, then back, as far as time allows.

        Raises FabricError where the other end has gone, or does not answer.
        """
        found = [self._round_trips(0, 0, 8 * rounds)]
        for direction in ("there", "back"):
            for size in SIZES[1:]:
                sizes = (size, 0) if direction == "there" else (0, size)
                trips = self._round_trips(*sizes, rounds)
                found.append(trips)
                if statistics.median(trips.seconds) > LONGEST:
                    break
        return found

    def there(self, sizes: Sequence[int], rounds: int) -> list[RoundTrips]:
        """Messages of these sizes (bytes) there alone, each so often; raises as `series` does."""
        return [self._round_trips(size, 0, rounds) for size in sizes]

    def _round_trips(self, there: int, back: int, rounds: int) -> RoundTrips:
        payload = self._payload.first(there)
        seconds, cpu = [], []
        for turn in range(rounds + 1):
            self._number += 1
            frame = Frame(Kind.DATA, back, self._number, self._version, there)
            time.sleep(PAUSE)
            start, spent = time.perf_counter(), time.process_time()
            self._fabric.send(self._peer, frame, [payload] if there else [])
            sent = time.process_time()
            self._await_reply()
            end, done = time.perf_counter(), time.process_time()
            if turn:  # The first touches memory that the others find warm.
                seconds.append(end - start)
                cpu.append(done - spent)
                _note(self.spent, (back, done - sent), (there, sent - spent))
        return RoundTrips(there, back, tuple(seconds), tuple(cpu))

    def _await_reply(self) -> None:
        deadline = time.monotonic() + REPLY_TIMEOUT
        knock = time.monotonic() + KNOCK_EVERY
        while (now := time.monotonic()) < deadline:
            if now >= knock:
                # Two that are joined to a third do not always hear of each other's end; sending to
                # one that has gone fails.
                self._fabric.send(self._peer, Frame(Kind.CANCEL, 0, 0, self._version, 0))
                knock = now + KNOCK_EVERY
            event = self._fabric.receive(max(0.0, min(knock, deadline) - now))
            if isinstance(event, Arrival) and event.frame.version == self._version:
                if event.frame.request == self._number:
                    return
                continue
            if event is None:
                continue
            self._handle(event)
            if isinstance(event, Change) and event.member.name == self._peer and not event.came:
                raise FabricError(f"{self._peer!r} has gone while messages to it were measured")
        raise FabricError(f"{self._peer!r} does not answer messages; is it still running?")


def _note(spent: Spent, received: tuple[int, float], sent: tuple[int, float]) -> None:
    """(bytes, CPU seconds) of both; of a large message's small counterpart nothing is learnt."""
    if not sent[0]:
        spent.setdefault(("receive", received[0]), []).append(received[1])
    if not received[0]:
        spent.setdefault(("send", sent[0]), []).append(sent[1])

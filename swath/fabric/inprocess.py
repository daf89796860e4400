"""A fabric inside one process: for tests, and wherever members are threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import (
    PROTOCOL_VERSION,
    Address,
    Answer,
    Arrival,
    Buffer,
    Change,
    Event,
    Land,
    Member,
    check_name,
    check_question,
    taken,
)
from swath.fabric.frame import Frame

POLL = 0.05
"""Seconds after which one who waits for an answer looks whether the other is still there."""


class InProcessHub:
    """What joins the members; one hub is one cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, InProcessFabric] = {}

    def join(
        self, name: str, role: str, land: Land, version: int = PROTOCOL_VERSION
    ) -> InProcessFabric:
        """A new member; raises FabricError where the name is taken."""
        check_name(name)
        fabric = InProcessFabric(self, Member(name, role, version), land)
        with self._lock:
            if name in self._members:
                raise taken(name)
            others = list(self._members.values())
            self._members[name] = fabric
        for other in others:
            other.inbox.put(Change(fabric.member, True))
            fabric.inbox.put(Change(other.member, True))
        return fabric

    def leave(self, fabric: InProcessFabric) -> None:
        with self._lock:
            if self._members.pop(fabric.name, None) is None:
                return
            others = list(self._members.values())
        for other in others:
            other.inbox.put(Change(fabric.member, False))

    def find(self, name: str) -> InProcessFabric | None:
        with self._lock:
            return self._members.get(name)

    def everybody(self) -> tuple[Member, ...]:
        with self._lock:
            return tuple(fabric.member for _, fabric in sorted(self._members.items()))


@dataclass(frozen=True, slots=True)
class _Question:
    verb: str
    payload: bytes
    future: Future[bytes] = field(default_factory=Future)

    def answer(self, payload: bytes = b"") -> None:
        self.future.set_result(payload)

    def refuse(self, reason: str) -> None:
        self.future.set_exception(WorkerError(reason))


@dataclass(frozen=True, slots=True)
class _Answer:
    receiver: InProcessFabric
    timeout: float
    future: Future[bytes]

    def result(self) -> bytes:
        name = self.receiver.name
        deadline = time.monotonic() + self.timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return self.future.result(max(0.0, min(left, POLL)))
            except FutureTimeout:
                if left <= 0 or self.receiver.is_closed:
                    raise FabricError(f"{name!r} does not answer; is it still running?") from None
            except WorkerError as refusal:
                raise WorkerError(f"worker {name!r}: {refusal}") from None


class InProcessFabric:
    """A member; see `swath.fabric.fabric.Fabric`."""

    def __init__(self, hub: InProcessHub, member: Member, land: Land) -> None:
        self.member = member
        self.inbox: queue.SimpleQueue[Event | tuple[Frame, bytes] | None] = queue.SimpleQueue()
        self.is_closed = False
        self._hub = hub
        self._land = land
        self._reached: set[str] = set()

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def address(self) -> Address:
        return Address(self.name, (), "")

    def reach(self, address: Address) -> None:
        if self._hub.find(address.name) is None:
            raise FabricError(f"{self.name!r} cannot reach {address.name!r}; is it running?")
        self._reached.add(address.name)

    def is_near(self, name: str) -> bool:
        return True

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer] = ()) -> None:
        other = self._hub.find(receiver)
        if other is None or self.is_closed or receiver not in self._reached:
            raise FabricError(f"{receiver!r} was not reached yet, or has gone")
        other.inbox.put((frame, b"".join(parts)))

    def receive(self, timeout: float | None = None) -> Event | None:
        if self.is_closed:
            raise FabricError(f"{self.name!r} has left the cluster")
        try:
            event = self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait()
        except queue.Empty:
            return None
        if isinstance(event, Change) and not event.came:
            self._reached.discard(event.member.name)
        if not isinstance(event, tuple):
            return event
        frame, content = event
        try:
            payload = self._land(frame)
        except ValueError:
            return None
        if payload is None:
            payload = memoryview(bytearray(frame.nbytes))
        payload[:] = content
        return Arrival(frame, payload)

    def wake(self) -> None:
        self.inbox.put(None)

    def ask(self, receiver: str, verb: str, payload: bytes = b"", timeout: float = 30.0) -> Answer:
        if self.is_closed:
            raise FabricError(f"{self.name!r} has left the cluster")
        other = self._hub.find(receiver)
        check_question(self.member, receiver, None if other is None else other.member, payload)
        assert other is not None
        question = _Question(verb, payload)
        other.inbox.put(question)
        return _Answer(other, timeout, question.future)

    def members(self) -> tuple[Member, ...]:
        return self._hub.everybody()

    def close(self) -> None:
        self.is_closed = True
        self._hub.leave(self)
        self.wake()

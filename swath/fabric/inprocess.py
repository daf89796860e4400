"""A fabric inside one process: for tests, and wherever members are threads."""

from __future__ import annotations

import queue
import threading
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
)
from swath.fabric.frame import Frame


class InProcessHub:
    """What joins the members; one hub is one cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, InProcessFabric] = {}

    def join(
        self, name: str, role: str, land: Land, version: int = PROTOCOL_VERSION
    ) -> InProcessFabric:
        """A new member; raises FabricError where the name is taken."""
        fabric = InProcessFabric(self, Member(name, role, version), land)
        with self._lock:
            if name in self._members:
                raise FabricError(f"the name {name!r} is taken in this cluster; choose another")
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

    def find(self, name: str) -> InProcessFabric:
        with self._lock:
            if name not in self._members:
                raise FabricError(f"{name!r} is not there")
            return self._members[name]

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
    receiver: str
    timeout: float
    future: Future[bytes]

    def result(self) -> bytes:
        try:
            return self.future.result(self.timeout)
        except FutureTimeout:
            raise FabricError(f"{self.receiver!r} does not answer") from None
        except WorkerError as refusal:
            raise WorkerError(f"worker {self.receiver!r}: {refusal}") from None


class InProcessFabric:
    """A member; see `swath.fabric.fabric.Fabric`."""

    def __init__(self, hub: InProcessHub, member: Member, land: Land) -> None:
        self.member = member
        self.inbox: queue.SimpleQueue[Event | tuple[Frame, bytes] | None] = queue.SimpleQueue()
        self._hub = hub
        self._land = land

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def address(self) -> Address:
        return Address(self.name, (), "")

    def reach(self, address: Address) -> None:
        self._hub.find(address.name)

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer] = ()) -> None:
        self._hub.find(receiver).inbox.put((frame, b"".join(parts)))

    def receive(self, timeout: float | None = None) -> Event | None:
        try:
            event = self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait()
        except queue.Empty:
            return None
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
        question = _Question(verb, payload)
        self._hub.find(receiver).inbox.put(question)
        return _Answer(receiver, timeout, question.future)

    def members(self) -> tuple[Member, ...]:
        return self._hub.everybody()

    def close(self) -> None:
        self._hub.leave(self)

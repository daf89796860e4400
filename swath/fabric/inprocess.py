"""A fabric inside one process: for tests, and wherever members are threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import PROTOCOL_VERSION, Answer, Handlers, Member


class InProcessHub:
    """What joins the members; one hub is one cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, InProcessFabric] = {}

    def join(
        self, name: str, role: str, handlers: Handlers, version: int = PROTOCOL_VERSION
    ) -> InProcessFabric:
        """A new member; raises FabricError where the name is taken."""
        fabric = InProcessFabric(self, Member(name, role, version), handlers)
        with self._lock:
            if name in self._members:
                raise FabricError(f"the name {name!r} is taken in this cluster; choose another")
            others = list(self._members.values())
            self._members[name] = fabric
        for other in others:
            other.handlers.on_change(fabric.member, True)
            handlers.on_change(other.member, True)
        return fabric

    def leave(self, fabric: InProcessFabric) -> None:
        with self._lock:
            if self._members.pop(fabric.name, None) is None:
                return
            others = list(self._members.values())
        for other in others:
            other.handlers.on_change(fabric.member, False)

    def find(self, name: str) -> InProcessFabric:
        with self._lock:
            if name not in self._members:
                raise FabricError(f"device {name!r} is not there")
            return self._members[name]

    def everybody(self) -> tuple[Member, ...]:
        with self._lock:
            return tuple(fabric.member for _, fabric in sorted(self._members.items()))


@dataclass(frozen=True, slots=True)
class _Question:
    verb: str
    payload: bytes
    _future: Future[bytes] = field(default_factory=Future)

    def answer(self, payload: bytes = b"") -> None:
        self._future.set_result(payload)

    def refuse(self, reason: str) -> None:
        self._future.set_exception(WorkerError(reason))


@dataclass(frozen=True, slots=True)
class _Answer:
    receiver: str
    future: Future[bytes]

    def result(self, timeout: float) -> bytes:
        try:
            return self.future.result(timeout)
        except FutureTimeout:
            raise FabricError(f"device {self.receiver!r} does not answer") from None


class InProcessFabric:
    """A member; see `swath.fabric.fabric.Fabric`."""

    def __init__(self, hub: InProcessHub, member: Member, handlers: Handlers) -> None:
        self.member = member
        self.handlers = handlers
        self._hub = hub

    @property
    def name(self) -> str:
        return self.member.name

    def allocate(self, receiver: str, nbytes: int) -> memoryview:
        return memoryview(bytearray(nbytes))

    def send(self, receiver: str, message: memoryview) -> None:
        self._hub.find(receiver).handlers.on_data(message)

    def ask(self, receiver: str, verb: str, payload: bytes = b"") -> Answer:
        question = _Question(verb, payload)
        self._hub.find(receiver).handlers.on_question(question)
        return _Answer(receiver, question._future)

    def members(self) -> tuple[Member, ...]:
        return self._hub.everybody()

    def close(self) -> None:
        self._hub.leave(self)

"""What a fabric is: named members, data that flows, questions that are answered.

Data messages are one-way, reliable, and keep their order between two members. Questions are for
control: few, small, each with one answer. Nothing is ever unpickled; payloads are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

PROTOCOL_VERSION = 1
"""Members of another version are refused by name before anything else is said."""

MAX_QUESTION_BYTES = 8 << 20
"""Questions and answers are bounded; what is larger travels in chunks."""

CHUNK_BYTES = 1 << 20
"""Weights travel in chunks of at most this, so that nothing else waits long behind one."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the fabric as the others see it. ``role``: "worker" or "coordinator"."""

    name: str
    role: str
    version: int


class Question(Protocol):
    """A question that awaits its answer; exactly one of the two must be called, from any thread."""

    @property
    def verb(self) -> str: ...

    @property
    def payload(self) -> bytes: ...

    def answer(self, payload: bytes = b"") -> None: ...

    def refuse(self, reason: str) -> None:
        """The asker gets a WorkerError that says so."""
        ...


class Answer(Protocol):
    """What `Fabric.ask` gives at once; the answer comes later."""

    def result(self, timeout: float) -> bytes:
        """Blocks at most ``timeout`` seconds. Raises WorkerError for a refusal, FabricError where
        nobody answers in time."""
        ...


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a member does with what comes in. Called from the fabric's own threads: be quick.

    ``on_data`` gets a message's bytes, which it may keep. ``on_change`` is told of members that
    have come (True) or gone (False).
    """

    on_data: Callable[[memoryview], None]
    on_question: Callable[[Question], None]
    on_change: Callable[[Member, bool], None]


class Fabric(Protocol):
    """One member's access to the others."""

    @property
    def name(self) -> str: ...

    def allocate(self, receiver: str, nbytes: int) -> memoryview:
        """Memory in which to put a data message together; to be handed to `send` once."""
        ...

    def send(self, receiver: str, message: memoryview) -> None:
        """Send what was put together in memory from `allocate`; blocks while the way is full."""
        ...

    def ask(self, receiver: str, verb: str, payload: bytes = b"") -> Answer: ...

    def members(self) -> tuple[Member, ...]:
        """Everybody who is there now, this member included, by name."""
        ...

    def close(self) -> None: ...

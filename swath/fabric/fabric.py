"""What a fabric is: named members, data that flows, questions that are answered.

Data messages are one-way, reliable, and keep their order between two members. Questions are for
control: few, small, each with one answer. Nothing is ever unpickled; payloads are bytes.

Everything that comes in is handed out by `Fabric.receive`, in the thread that calls it, so that
nothing stands between a message's arrival and the computing that waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from swath.errors import FabricError
from swath.fabric.frame import Frame

PROTOCOL_VERSION = 1
"""Members of another version are refused by name before anything else is said."""

MAX_QUESTION_BYTES = 64 << 20
"""Questions and answers are bounded; what is larger travels in chunks."""

CHUNK_BYTES = 1 << 20
"""Weights travel in chunks of at most this, so that nothing else waits long behind one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

Buffer = bytes | bytearray | memoryview

Land = Callable[[Frame], memoryview | None]
"""Where the payload of a message is to lie (``frame.nbytes`` long, writable); None: in memory of
its own. Raises ValueError for a message that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the fabric as the others see it. ``role``: "worker" or "coordinator"."""

    name: str
    role: str
    version: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where a member takes data. ``places`` are tried in turn: ``unix:NAME`` (the abstract socket
    namespace of one machine) and ``tcp:HOST:PORT``. ``token`` has to be shown at the door."""

    name: str
    places: tuple[str, ...]
    token: str


class Arrival(NamedTuple):
    """A data message has come. The payload lies where `Land` said."""

    frame: Frame
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Change:
    """A member has come, or gone."""

    member: Member
    came: bool


class Question(Protocol):
    """A question that awaits its answer: exactly one call of `answer` or `refuse`."""

    @property
    def verb(self) -> str: ...

    @property
    def payload(self) -> bytes: ...

    def answer(self, payload: bytes = b"") -> None: ...

    def refuse(self, reason: str) -> None:
        """The asker gets a WorkerError that says so."""
        ...


Event = Arrival | Change | Question


class Answer(Protocol):
    """What `Fabric.ask` gives at once; the answer comes later."""

    def result(self) -> bytes:
        """Blocks. Raises WorkerError for a refusal, FabricError where nobody answers in time."""
        ...


class Fabric(Protocol):
    """One member's access to the others. `send` and `receive` belong to one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> Address:
        """Where this member takes data."""
        ...

    def reach(self, address: Address) -> None:
        """Make ready to send to a member; raises FabricError where it cannot be reached."""
        ...

    def is_near(self, name: str) -> bool:
        """Whether messages to a member that was reached stay within this machine."""
        ...

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer] = ()) -> None:
        """Send a message made of ``parts``, of ``frame.nbytes`` bytes together.

        Never waits for the receiver: what does not leave at once is copied and leaves later, in
        order. Raises FabricError where the receiver was not reached, or is gone.
        """
        ...

    def receive(self, timeout: float | None = None) -> Event | None:
        """The next event; None when the time (seconds) is up, when `wake` was called, and now and
        then for nothing. Raises FabricError where this member has to leave, or has left."""
        ...

    def wake(self) -> None:
        """Make `receive` return, from any thread or a signal handler."""
        ...

    def ask(self, receiver: str, verb: str, payload: bytes = b"", timeout: float = 30.0) -> Answer:
        """Ask a member; does not wait. May be called from any thread. Raises FabricError where it
        is not there or speaks another version."""
        ...

    def members(self) -> tuple[Member, ...]:
        """Everybody who is there now, this member included, by name."""
        ...

    def close(self) -> None:
        """Leave; what has not left yet is dropped. Safe to call twice."""
        ...


def check_name(name: str, what: str = "name") -> None:
    """Raises FabricError for a name that cannot be a part of an address."""
    if not _NAME.fullmatch(name):
        raise FabricError(
            f"the {what} {name!r} cannot be used; "
            "take letters, digits, '.', '_' and '-', at most 128 of them"
        )


def check_question(asker: Member, name: str, receiver: Member | None, payload: bytes) -> None:
    """Raises FabricError unless ``asker`` may ask this of the member called ``name``."""
    if receiver is None:
        raise FabricError(f"{name!r} is not there; is it running?")
    if receiver.version != asker.version:
        raise FabricError(
            f"{name!r} speaks protocol {receiver.version}, {asker.name!r} speaks "
            f"{asker.version}; install the same version of swath on both"
        )
    if len(payload) > MAX_QUESTION_BYTES:
        raise FabricError(
            f"a message of {len(payload) >> 20} MiB to {name!r} is too large; "
            f"{MAX_QUESTION_BYTES >> 20} MiB is the most"
        )


def taken(name: str) -> FabricError:
    """What a member hears whose name belongs to another one."""
    return FabricError(f"the name {name!r} is taken in this cluster; choose another with --name")

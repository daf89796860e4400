"""The fabric: members, liveliness and control over Eclipse Zenoh, tensors over `streams`.

Traps of Zenoh that this file is built around: thread pools compete with computing (capped);
discovery by multicast is slow or silent on some networks (endpoints can always be given, and it
is off unless asked for).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

# Zenoh's thread pools; read once, when it is first used. Control needs one thread, and every
# further one would compete with computing.
os.environ.setdefault(
    "ZENOH_RUNTIME",
    "(app:(worker_threads:1),acc:(handover:app),net:(handover:app),tx:(handover:app),"
    "rx:(handover:app))",
)

import zenoh

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import (
    MAX_QUESTION_BYTES,
    PROTOCOL_VERSION,
    Address,
    Answer,
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
from swath.fabric.membership import Membership
from swath.fabric.places import own_host
from swath.fabric.streams import Streams

logger = logging.getLogger(__name__)

TAKEN = "taken"
"""What a member is told whose name belongs to an elder one. It need not see that one itself: two
that are joined to a third do not always see each other."""

TAKEN_TIMEOUT = 5.0

_ENDPOINT = re.compile(r"tcp/.+:[0-9]{1,5}|(?!tcp/)[a-z][a-z-]*/.+")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How a member joins. ``listen`` and ``connect`` are Zenoh endpoints (``tcp/10.0.0.9:7447``);
    ``discover``: find others on the local network by multicast. Data is taken on the host of the
    first ``listen`` endpoint, on the port after it (a free one where its port is 0); see
    `data_place`."""

    listen: tuple[str, ...] = ()
    connect: tuple[str, ...] = ()
    discover: bool = False


class ZenohFabric:
    """A member; see `swath.fabric.fabric.Fabric`."""

    def __init__(
        self,
        name: str,
        role: str,
        land: Land,
        endpoints: Endpoints,
        cluster: str = "default",
        version: int = PROTOCOL_VERSION,
    ) -> None:
        check_name(name)
        check_name(cluster, "cluster name")
        for endpoint in (*endpoints.listen, *endpoints.connect):
            if not _ENDPOINT.fullmatch(endpoint):
                raise FabricError(
                    f"the address {endpoint!r} is not understood; write e.g. tcp/10.0.0.9:7447"
                )
        self.member = Member(name, role, version)
        self._identity = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
        self._root = f"swath/{cluster}"
        self._membership = Membership(self.member, self._identity)
        self._must_leave = False
        self._closed = False
        self._lock = threading.Lock()
        self._control: queue.SimpleQueue[Event] = queue.SimpleQueue()
        host, port = data_place(endpoints)
        self._streams = Streams(name, host, port, land)
        try:
            self._session = _open(endpoints)
        except BaseException:
            self._streams.close()
            raise
        try:
            self._refuse_taken_name()
            self._declare()
        except BaseException:
            self.close()
            raise

    def _refuse_taken_name(self) -> None:
        # Sees those that we are joined to directly, in time for a clear start; `TAKEN` the others.
        for reply in self._session.liveliness().get(f"{self._root}/member/*/*/{self.name}/*"):
            if reply.ok is not None:
                raise taken(self.name)

    def _declare(self) -> None:
        root, session = self._root, self._session
        query = zenoh.handlers.Callback(self._on_query, indirect=False)
        self._queryable = session.declare_queryable(
            f"{root}/ask/{self.name}/{self._identity}/*", query
        )
        change = zenoh.handlers.Callback(self._on_liveliness, indirect=False)
        self._watch = session.liveliness().declare_subscriber(
            f"{root}/member/*/*/*/*", change, history=True
        )
        self._token = session.liveliness().declare_token(
            f"{root}/member/{self.member.role}/{self.member.version}/{self.name}/{self._identity}"
        )

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def address(self) -> Address:
        return self._streams.address

    def reach(self, address: Address) -> None:
        self._streams.reach(address)

    def is_near(self, name: str) -> bool:
        return self._streams.is_near(name)

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer] = ()) -> None:
        self._streams.send(receiver, frame, parts)

    def receive(self, timeout: float | None = None) -> Event | None:
        if self._must_leave:
            raise taken(self.name)
        if self._closed:
            raise FabricError(f"{self.name!r} has left the cluster")
        arrival = self._streams.receive(timeout if self._control.empty() else 0.0)
        return arrival if arrival is not None else self._next_control()

    def _next_control(self) -> Event | None:
        if self._control.empty():  # Nobody else takes anything out.
            return None
        event = self._control.get_nowait()
        if isinstance(event, Change) and not event.came:
            with self._lock:
                is_back = self._membership.find(event.member.name) is not None
            if not is_back:  # Who is back has another address: `reach` sees to that.
                self._streams.forget(event.member.name)
        return event

    def wake(self) -> None:
        self._streams.wake()

    def ask(self, receiver: str, verb: str, payload: bytes = b"", timeout: float = 30.0) -> Answer:
        with self._lock:
            found = self._membership.find(receiver)
        check_question(self.member, receiver, found and found[0], payload)
        assert found is not None
        try:
            return _Answer(receiver, self._get(receiver, found[1], verb, payload, timeout))
        except zenoh.ZError as error:
            raise FabricError(f"{receiver!r} cannot be asked: {_first_line(error)}") from None

    def _get(
        self, receiver: str, identity: str, verb: str, payload: bytes, timeout: float
    ) -> zenoh.Handler[zenoh.Reply]:
        return self._session.get(
            f"{self._root}/ask/{receiver}/{identity}/{verb}",
            payload=payload,
            timeout=timeout,
            congestion_control=zenoh.CongestionControl.BLOCK,
            express=True,
        )

    def members(self) -> tuple[Member, ...]:
        with self._lock:
            return self._membership.members()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(zenoh.ZError):
                self._session.close()
            self._streams.close()

    # Called from Zenoh's thread

    def _on_query(self, query: zenoh.Query) -> None:
        question = _Question(query)
        if question.verb == TAKEN:
            question.answer()
            self._must_leave = True
        else:
            self._control.put(question)
        self.wake()

    def _on_liveliness(self, sample: zenoh.Sample) -> None:
        try:
            role, version, name, identity = str(sample.key_expr).split("/")[-4:]
            member = Member(name, role, int(version))
        except ValueError:
            logger.debug("not a member of ours: %s", sample.key_expr)
            return
        came = sample.kind == zenoh.SampleKind.PUT
        with self._lock:
            changes = self._membership.apply(member, identity, came)
            is_younger = came and not self._membership.is_elder(name, identity)
            self._must_leave = self._must_leave or self._membership.is_taken
        for change in changes:
            self._control.put(change)
        if is_younger:
            with contextlib.suppress(zenoh.ZError):
                self._get(name, identity, TAKEN, b"", TAKEN_TIMEOUT)
        self.wake()


class _Question:
    def __init__(self, query: zenoh.Query) -> None:
        self._query = query
        self.verb = str(query.key_expr).rsplit("/", 1)[-1]

    @property
    def payload(self) -> bytes:
        payload = self._query.payload
        if payload is None:
            return b""
        if len(payload) > MAX_QUESTION_BYTES:
            raise ValueError("a question that is too long")
        return payload.to_bytes()

    def answer(self, payload: bytes = b"") -> None:
        with contextlib.suppress(zenoh.ZError):  # The asker has gone, or we have left.
            self._query.reply(self._query.key_expr, payload)
            self._query.drop()

    def refuse(self, reason: str) -> None:
        with contextlib.suppress(zenoh.ZError):
            self._query.reply_err(reason.encode())
            self._query.drop()


class _Answer:
    def __init__(self, receiver: str, replies: zenoh.Handler[zenoh.Reply]) -> None:
        self._receiver = receiver
        self._replies = replies

    def result(self) -> bytes:
        for reply in self._replies:
            if reply.ok is not None:
                return bytes(reply.ok.payload.to_bytes())
            assert reply.err is not None
            reason = reply.err.payload.to_bytes().decode(errors="replace")
            if reason == "Timeout":
                break
            raise WorkerError(f"worker {self._receiver!r}: {reason}")
        raise FabricError(f"{self._receiver!r} does not answer; is it still running?")


def data_place(endpoints: Endpoints) -> tuple[str | None, int]:
    """Host and port on which to take data besides the sockets of this machine: the host of the
    first TCP endpoint listened on, the port after; else any port of the address that members on
    other machines, who are connected to, see; (None, 0) where all is on this machine."""
    for endpoint in endpoints.listen:
        if endpoint.startswith("tcp/"):
            host, _, port = endpoint.removeprefix("tcp/").rpartition(":")
            return host, int(port) + 1 if int(port) else 0
        raise FabricError(f"--listen {endpoint!r} is not understood; write e.g. tcp/10.0.0.9:7447")
    host = own_host(endpoints.connect)
    return (None, 0) if host.startswith("127.") else (host, 0)


def _open(endpoints: Endpoints) -> zenoh.Session:
    config = zenoh.Config()
    settings = {
        "mode": "peer",
        "listen/endpoints": list(endpoints.listen),
        "connect/endpoints": list(endpoints.connect),
        "scouting/multicast/enabled": endpoints.discover,
        "transport/shared_memory/enabled": False,
        "transport/link/tx/queue/size/data": 16,
    }
    try:
        for key, value in settings.items():
            config.insert_json5(key, json.dumps(value))
        return zenoh.open(config)
    except zenoh.ZError as error:
        raise FabricError(_explain(endpoints, error)) from None


def _explain(endpoints: Endpoints, error: Exception) -> str:
    listen = ", ".join(endpoints.listen)
    if "address already in use" in str(error).lower():
        return f"the port of {listen} is in use; choose another with --listen"
    ways = ", ".join((*endpoints.listen, *endpoints.connect)) or "nothing"
    return f"cannot join the cluster over {ways}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    """What Zenoh says, without where in its source it says so."""
    return str(error).partition(" at /")[0].partition("\n")[0] or "unknown reason"

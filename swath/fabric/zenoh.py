"""The fabric: members, liveliness and control over Eclipse Zenoh, tensors over `streams`.

Traps of Zenoh that this file is built around: thread pools compete with computing (capped);
discovery by multicast is slow or silent on some networks (endpoints can always be given, and it
is off unless asked for).
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
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
)
from swath.fabric.frame import Frame
from swath.fabric.streams import Streams


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How a member joins. ``listen`` and ``connect`` are Zenoh endpoints (``tcp/10.0.0.9:7447``);
    ``discover``: find others on the local network by multicast. Data is taken on the host of the
    first ``listen`` endpoint, on the port after it (a free one where its port is 0)."""

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
        self.member = Member(name, role, version)
        self._root = f"swath/{cluster}"
        self._members: dict[str, Member] = {name: self.member}
        self._lock = threading.Lock()
        self._control: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        host, port = data_place(endpoints.listen)
        self._streams = Streams(name, host, port, land, self._wake_reader.fileno())
        try:
            self._session = _open(endpoints)
        except BaseException:
            self._close_sockets()
            raise
        try:
            self._refuse_taken_name()
            self._declare()
        except BaseException:
            self.close()
            raise

    def _refuse_taken_name(self) -> None:
        for reply in self._session.liveliness().get(f"{self._root}/member/*/*/{self.name}"):
            if reply.ok is not None:
                raise FabricError(
                    f"the name {self.name!r} is taken in this cluster; choose another with --name"
                )

    def _declare(self) -> None:
        root, session = self._root, self._session
        query = zenoh.handlers.Callback(self._on_query, indirect=False)
        self._queryable = session.declare_queryable(f"{root}/ask/{self.name}/*", query)
        change = zenoh.handlers.Callback(self._on_liveliness, indirect=False)
        self._watch = session.liveliness().declare_subscriber(
            f"{root}/member/*/*/*", change, history=True
        )
        self._token = session.liveliness().declare_token(
            f"{root}/member/{self.member.role}/{self.member.version}/{self.name}"
        )

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def address(self) -> Address:
        return self._streams.address

    def reach(self, address: Address) -> None:
        self._streams.reach(address)

    def send(self, receiver: str, frame: Frame, parts: Sequence[Buffer] = ()) -> None:
        self._streams.send(receiver, frame, parts)

    def receive(self, timeout: float | None = None) -> Event | None:
        arrival = self._streams.receive(0.0)
        if arrival is not None:
            return arrival
        event = self._next_control()
        if event is not None:
            return event
        if timeout != 0.0:
            arrival = self._streams.receive(timeout)
        return arrival if arrival is not None else self._next_control()

    def _next_control(self) -> Event | None:
        try:
            event = self._control.get_nowait()
        except queue.Empty:
            self._clear_wake()
            return None
        if isinstance(event, Change) and not event.came:
            self._streams.forget(event.member.name)
        return event

    def _clear_wake(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def wake(self) -> None:
        try:
            self._wake_writer.send(b"w")
        except (BlockingIOError, OSError):
            pass

    def ask(self, receiver: str, verb: str, payload: bytes = b"", timeout: float = 30.0) -> Answer:
        with self._lock:
            member = self._members.get(receiver)
        if member is None:
            raise FabricError(f"{receiver!r} is not there; is it running?")
        if member.version != self.member.version:
            raise FabricError(
                f"{receiver!r} speaks protocol {member.version}, {self.name!r} speaks "
                f"{self.member.version}; install the same version of swath on both"
            )
        replies = self._session.get(
            f"{self._root}/ask/{receiver}/{verb}",
            payload=payload,
            timeout=timeout,
            congestion_control=zenoh.CongestionControl.BLOCK,
            express=True,
        )
        return _Answer(receiver, replies)

    def members(self) -> tuple[Member, ...]:
        with self._lock:
            return tuple(self._members[name] for name in sorted(self._members))

    def close(self) -> None:
        self._session.close()
        self._close_sockets()

    def _close_sockets(self) -> None:
        self._streams.close()
        self._wake_reader.close()
        self._wake_writer.close()

    # Called from Zenoh's thread

    def _on_query(self, query: zenoh.Query) -> None:
        self._control.put(_Question(query))
        self.wake()

    def _on_liveliness(self, sample: zenoh.Sample) -> None:
        role, version, name = str(sample.key_expr).split("/")[-3:]
        if name == self.name:
            return
        member = Member(name, role, int(version))
        came = sample.kind == zenoh.SampleKind.PUT
        with self._lock:
            if came:
                self._members[name] = member
            else:
                self._members.pop(name, None)
        self._control.put(Change(member, came))
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
        self._query.reply(self._query.key_expr, payload)
        self._query.drop()

    def refuse(self, reason: str) -> None:
        self._query.reply_err(reason.encode())
        self._query.drop()


class _Answer:
    def __init__(self, receiver: str, replies: zenoh.handlers.Handler) -> None:
        self._receiver = receiver
        self._replies = replies

    def result(self) -> bytes:
        for reply in self._replies:
            if reply.ok is not None:
                return bytes(reply.ok.payload.to_bytes())
            reason = reply.err.payload.to_bytes().decode(errors="replace")
            if reason == "Timeout":
                break
            raise WorkerError(f"worker {self._receiver!r}: {reason}")
        raise FabricError(f"{self._receiver!r} does not answer; is it still running?")


def data_place(listen: Sequence[str]) -> tuple[str | None, int]:
    """Host and port on which to take data: the host of the first TCP endpoint, the port after."""
    for endpoint in listen:
        if endpoint.startswith("tcp/"):
            host, _, port = endpoint.removeprefix("tcp/").rpartition(":")
            if not port.isdigit():
                break
            return host, int(port) + 1 if int(port) else 0
        raise FabricError(f"--listen {endpoint!r} is not understood; write e.g. tcp/10.0.0.9:7447")
    return None, 0


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
        raise FabricError(_explain(endpoints, str(error))) from None


def _explain(endpoints: Endpoints, reason: str) -> str:
    listen = ", ".join(endpoints.listen)
    if "address already in use" in reason.lower():
        return f"the port of {listen} is in use; choose another with --listen"
    ways = ", ".join((*endpoints.listen, *endpoints.connect)) or "nothing"
    first = reason.splitlines()[0] if reason else "unknown reason"
    return f"cannot join the cluster over {ways}: {first}"

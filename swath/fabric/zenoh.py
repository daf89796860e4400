"""The fabric over Eclipse Zenoh: peers that find each other, data by publication, control by query.

Traps of Zenoh that this file is built around: a put before the subscriber is known vanishes
(`reach` waits for it); large messages are dropped unless congestion control blocks; discovery by
multicast is slow or silent on some networks, so endpoints can always be given.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

# The thread pools of Zenoh's runtime; it reads this once, when it is first used. One thread each is
# enough for one device, and more would compete with computing.
os.environ.setdefault(
    "ZENOH_RUNTIME",
    "(app: (worker_threads: 1), acc: (worker_threads: 1), net: (worker_threads: 1), "
    "rx: (worker_threads: 1), tx: (worker_threads: 1))",
)

import zenoh

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import PROTOCOL_VERSION, Answer, Handlers, Member

REACH_TIMEOUT = 10.0
"""Seconds until a member that is there must be reachable."""

_ROOT = "swath"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How a member joins. ``listen`` and ``connect`` are Zenoh endpoints (``tcp/10.0.0.9:7447``;
    port 0 chooses a free one); ``discover``: find others on the local network by multicast."""

    listen: tuple[str, ...] = ("tcp/127.0.0.1:0",)
    connect: tuple[str, ...] = ()
    discover: bool = False


class ZenohFabric:
    """A member; see `swath.fabric.fabric.Fabric`."""

    def __init__(
        self,
        name: str,
        role: str,
        handlers: Handlers,
        endpoints: Endpoints,
        cluster: str = "default",
        version: int = PROTOCOL_VERSION,
    ) -> None:
        self.member = Member(name, role, version)
        self._handlers = handlers
        self._root = f"{_ROOT}/{cluster}"
        self._publishers: dict[str, zenoh.Publisher] = {}
        self._members: dict[str, Member] = {name: self.member}
        self._lock = threading.Lock()
        self._session = _open(endpoints)
        try:
            self._refuse_taken_name()
            self._declare()
        except BaseException:
            self._session.close()
            raise

    def _refuse_taken_name(self) -> None:
        for reply in self._session.liveliness().get(f"{self._root}/member/*/*/{self.name}"):
            if reply.ok is not None:
                raise FabricError(
                    f"the name {self.name!r} is taken in this cluster; choose another with --name"
                )

    def _declare(self) -> None:
        root, session = self._root, self._session
        data = zenoh.handlers.Callback(self._on_sample, indirect=False)
        self._subscriber = session.declare_subscriber(f"{root}/data/{self.name}", data)
        query = zenoh.handlers.Callback(self._on_query, indirect=False)
        self._queryable = session.declare_queryable(f"{root}/ask/{self.name}/*", query)
        self._token = session.liveliness().declare_token(
            f"{root}/member/{self.member.role}/{self.member.version}/{self.name}"
        )
        change = zenoh.handlers.Callback(self._on_liveliness, indirect=True)
        self._watch = session.liveliness().declare_subscriber(
            f"{root}/member/*/*/*", change, history=True
        )

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where this member can be reached."""
        return tuple(str(locator) for locator in self._session.info.locators())

    def allocate(self, receiver: str, nbytes: int) -> memoryview:
        return memoryview(bytearray(nbytes))

    def send(self, receiver: str, message: memoryview) -> None:
        self._publisher(receiver).put(message.obj)

    def reach(self, receiver: str, timeout: float = REACH_TIMEOUT) -> None:
        """Wait until what is sent to a member will arrive; raises FabricError when it does not."""
        publisher = self._publisher(receiver)
        deadline = time.monotonic() + timeout
        while not publisher.matching_status.matching:
            if time.monotonic() > deadline:
                raise FabricError(
                    f"{self.name!r} cannot reach {receiver!r}; do they listen on addresses that "
                    "the other can connect to?"
                )
            time.sleep(0.002)

    def ask(self, receiver: str, verb: str, payload: bytes = b"") -> Answer:
        member = self._members.get(receiver)
        if member is not None and member.version != self.member.version:
            raise FabricError(
                f"{receiver!r} speaks protocol {member.version}, {self.name!r} speaks "
                f"{self.member.version}; install the same version of swath on both"
            )
        replies = self._session.get(
            f"{self._root}/ask/{receiver}/{verb}",
            payload=payload,
            timeout=600.0,
            congestion_control=zenoh.CongestionControl.BLOCK,
        )
        return _Answer(receiver, replies)

    def members(self) -> tuple[Member, ...]:
        with self._lock:
            return tuple(self._members[name] for name in sorted(self._members))

    def close(self) -> None:
        self._session.close()

    def _publisher(self, receiver: str) -> zenoh.Publisher:
        with self._lock:
            publisher = self._publishers.get(receiver)
            if publisher is None:
                publisher = self._publishers[receiver] = self._session.declare_publisher(
                    f"{self._root}/data/{receiver}",
                    congestion_control=zenoh.CongestionControl.BLOCK,
                    reliability=zenoh.Reliability.RELIABLE,
                    express=True,
                )
            return publisher

    # Called from Zenoh's threads

    def _on_sample(self, sample: zenoh.Sample) -> None:
        self._handlers.on_data(memoryview(sample.payload.to_bytes()))

    def _on_query(self, query: zenoh.Query) -> None:
        self._handlers.on_question(_Question(query))

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
                self._publishers.pop(name, None)
        self._handlers.on_change(member, came)


class _Question:
    def __init__(self, query: zenoh.Query) -> None:
        self._query = query
        self.verb = str(query.key_expr).rsplit("/", 1)[-1]

    @property
    def payload(self) -> bytes:
        payload = self._query.payload
        return b"" if payload is None else payload.to_bytes()

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

    def result(self, timeout: float) -> bytes:
        reply = _receive(self._replies, timeout)
        if reply is None:
            raise FabricError(f"device {self._receiver!r} does not answer; is it still running?")
        if reply.ok is not None:
            return reply.ok.payload.to_bytes()
        reason = reply.err.payload.to_bytes().decode(errors="replace")
        raise WorkerError(f"worker {self._receiver!r}: {reason}")


def _receive(replies: zenoh.handlers.Handler, timeout: float) -> zenoh.Reply | None:
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        try:
            reply = replies.try_recv()
        except zenoh.ZError:
            return None
        if reply is not None:
            return reply
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _open(endpoints: Endpoints) -> zenoh.Session:
    config = zenoh.Config()
    settings = {
        "mode": "peer",
        "listen/endpoints": list(endpoints.listen),
        "connect/endpoints": list(endpoints.connect),
        "scouting/multicast/enabled": endpoints.discover,
        "scouting/gossip/enabled": True,
        "transport/shared_memory/enabled": False,
    }
    for key, value in settings.items():
        config.insert_json5(key, json.dumps(value))
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        raise FabricError(_explain(endpoints, str(error))) from None


def _explain(endpoints: Endpoints, reason: str) -> str:
    if "address already in use" in reason.lower():
        return f"a port is in use: {_list(endpoints.listen)}; choose another with --listen"
    first = reason.splitlines()[0] if reason else "unknown reason"
    ways = _list((*endpoints.listen, *endpoints.connect))
    return f"cannot join the cluster over {ways}: {first}"


def _list(endpoints: Sequence[str]) -> str:
    return ", ".join(endpoints) or "nothing"

"""Proof that links are as fast as they are meant to be, and no faster: TCP between the devices."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from swath.cluster import Cluster
from swath.errors import ClusterError
from swath.runtime.lab.network import FRAME, PAYLOAD, Port, burst

LOWEST, HIGHEST = 0.90, 1.03
"""Of the goodput that a rate allows."""

SHORTEST_SECONDS = 0.3

BURSTS = 64
"""What passes at once must not count for much of a figure."""

WARM_SECONDS = 0.05

WARM_BURSTS = 16

ATTEMPTS = 3
"""Somebody else's work on this machine may delay packets, for a moment."""

STALL_SECONDS = 5e-3

STALL_BURSTS = 8
"""Where nothing arrives for longer, in either of these, nothing could: the machine stood still."""

STILL = 0.03
"""Of the time: where the machine stood still for more, a figure says nothing."""

LOOKS = 30
"""Until one says something."""

TIMEOUT = 5.0

_CHUNK = memoryview(bytes(2**18))

Flow = tuple[str, str]
"""Sender and receiver."""


@dataclass(frozen=True, slots=True)
class RateCheck:
    """Flows that all pass one place, which is the slowest for all of them together; its ``rate`` in
    bytes/s."""

    what: str
    rate: float
    flows: tuple[Flow, ...]

    @property
    def goodput(self) -> float:
        """Bytes/s of payload that the rate allows: rates count headers."""
        return self.rate * PAYLOAD / FRAME


def rate_checks(cluster: Cluster, ports: Sequence[Port]) -> list[RateCheck]:
    """One for each rate there is.

    A single flow cannot tell whether its sender's port is limited or its receiver's. So a port is
    tried with two flows that part behind it, where there are three devices; where there are two,
    the one flow says all that matters.
    """
    checks: dict[tuple[Flow, ...], RateCheck] = {}
    for port in ports:
        if port.place == "channel":
            names = [device.name for device in cluster.devices]
            ring = tuple(zip(names, [*names[1:], names[0]], strict=True))
            return [RateCheck("the channel", port.rate, ring)]
        peers = _fastest_peers(cluster, port)
        name = port.device
        flows = tuple((name, peer) if port.place == "sends" else (peer, name) for peer in peers)
        checks.setdefault(flows, RateCheck(f"what {name!r} {port.place}", port.rate, flows))
        for lane in port.lanes:
            if lane.rate < port.rate:
                flow = (name, lane.peer)
                checks[(flow,)] = RateCheck(f"link {name} {lane.peer}", lane.rate, (flow,))
    return list(checks.values())


def _fastest_peers(cluster: Cluster, port: Port) -> list[str]:
    """Two at most; of a star, the hub, which is not limited itself."""
    if cluster.network == "star" and cluster.hub is not None:
        return [cluster.hub]
    peers = [device.name for device in cluster.devices if device.name != port.device]
    sends = port.place == "sends"
    return sorted(
        peers,
        key=lambda p: cluster.link(*((port.device, p) if sends else (p, port.device))).bandwidth,
        reverse=True,
    )[:2]


def check_rate(
    check: RateCheck,
    enter: Callable[[str], AbstractContextManager[None]],
    address: Callable[[str], str],
) -> float:
    """Measured goodput in bytes/s. Raises ClusterError where it is not what the rate allows."""
    for _ in range(ATTEMPTS):
        found = sum(measure_goodput(check.flows, check.rate, enter, address).values())
        if LOWEST * check.goodput <= found <= HIGHEST * check.goodput:
            return found
    if found > HIGHEST * check.goodput:
        raise ClusterError(f"{_figures(check, found)}; was the shaping changed from outside?")
    raise ClusterError(
        f"{_figures(check, found)}; this machine cannot carry that, or is busy: give the link a "
        "smaller bandwidth"
    )


def _figures(check: RateCheck, found: float) -> str:
    return (
        f"{check.what}: TCP carries {found * 8e-6:.4g} Mbit/s where a link of "
        f"{check.rate * 8e-6:.4g} Mbit/s carries {check.goodput * 8e-6:.4g}"
    )


def measure_goodput(
    flows: Sequence[Flow],
    rate: float,
    enter: Callable[[str], AbstractContextManager[None]],
    address: Callable[[str], str],
) -> dict[Flow, float]:
    """Bytes/s of payload that arrive, by flow, while all are under way; ``rate`` (bytes/s) says how
    long that is to be watched. ``enter`` and ``address`` are a lab's. Watched again where the
    machine stood still meanwhile, as one does that others use too, up to `LOOKS` times."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        senders = []
        receivers: dict[socket.socket, Flow] = {}
        for sender, receiver in flows:
            ends = _connect(sender, receiver, rate, enter, address)
            for end in ends:
                stack.enter_context(end).setblocking(False)
            senders.append(ends[0])
            receivers[ends[1]] = sender, receiver
            selector.register(ends[0], selectors.EVENT_WRITE)
            selector.register(ends[1], selectors.EVENT_READ)
        what = " and ".join(f"from {sender!r} to {receiver!r}" for sender, receiver in flows)
        warm = max(WARM_SECONDS, WARM_BURSTS * burst(rate) / rate)
        _pass(selector, warm, rate, what)
        seconds = max(SHORTEST_SECONDS, BURSTS * burst(rate) / rate)
        for _ in range(LOOKS):
            found, still = _pass(selector, seconds, rate, what)
            if still <= STILL:
                break
        _drain(selector, senders)
    return {flow: found[end] for end, flow in receivers.items()}


def _connect(
    sender: str,
    receiver: str,
    rate: float,
    enter: Callable[[str], AbstractContextManager[None]],
    address: Callable[[str], str],
) -> tuple[socket.socket, socket.socket]:
    with contextlib.ExitStack() as stack:
        with enter(receiver):
            listener = stack.enter_context(socket.create_server((address(receiver), 0)))
        with enter(sender):
            sending = stack.enter_context(socket.socket())
        # No more under way than keeps the link busy: it must be through before the next check.
        # Root may exceed what the machine allows others.
        size = max(32 * 2**10, round(rate * 10e-3))
        sending.setsockopt(socket.SOL_SOCKET, _SEND_BUFFER_FORCE, size)
        sending.settimeout(TIMEOUT)
        listener.settimeout(TIMEOUT)
        try:
            sending.connect(listener.getsockname())
            receiving, _ = listener.accept()
        except OSError as error:
            raise ClusterError(
                f"nothing passes from {sender!r} to {receiver!r}: {error}; was the lab's network "
                "changed from outside?"
            ) from None
        stack.pop_all()
        listener.close()
        return sending, receiving


_SEND_BUFFER_FORCE = 32
"""SO_SNDBUFFORCE, which Python does not name."""


def _pass(
    selector: selectors.BaseSelector, seconds: float, rate: float, what: str
) -> tuple[defaultdict[socket.socket, float], float]:
    """Bytes/s that arrive, from the first arrival on, for so long; by receiver. And the share of
    the time in which the machine stood still."""
    longest = max(STALL_SECONDS, STALL_BURSTS * burst(rate) / rate)
    still = 0.0
    buffer = bytearray(2**20)
    began: float | None = None
    waiting_since = time.perf_counter()
    count: defaultdict[socket.socket, float] = defaultdict(float)
    while True:
        for key, events in selector.select(TIMEOUT):
            end = key.fileobj
            assert isinstance(end, socket.socket)
            with contextlib.suppress(BlockingIOError):
                if events & selectors.EVENT_WRITE:
                    end.send(_CHUNK)
                    continue
                received = end.recv_into(buffer)
                now = time.perf_counter()
                waited, waiting_since = now - waiting_since, now
                if began is None:
                    began = now
                    continue
                count[end] += received
                if waited > longest:
                    still += waited
                if (passed := now - began) >= seconds:
                    return (
                        defaultdict(float, {end: of / passed for end, of in count.items()}),
                        still / passed,
                    )
        if time.perf_counter() - waiting_since > TIMEOUT:
            raise ClusterError(
                f"nothing passes {what} for {TIMEOUT:.0f} s; was the lab's network changed from "
                "outside?"
            )


def _drain(selector: selectors.BaseSelector, senders: Sequence[socket.socket]) -> None:
    """Let what is under way arrive, so that it is not in anybody's way."""
    buffer = bytearray(2**20)
    for sender in senders:
        selector.unregister(sender)
        sender.shutdown(socket.SHUT_WR)
    deadline = time.perf_counter() + TIMEOUT
    while selector.get_map() and time.perf_counter() < deadline:
        for key, _ in selector.select(TIMEOUT):
            end = key.fileobj
            assert isinstance(end, socket.socket)
            with contextlib.suppress(BlockingIOError):
                if end.recv_into(buffer) == 0:
                    selector.unregister(end)

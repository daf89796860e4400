"""Ports and lanes as the kernel's queueing disciplines, in the language of ``tc``.

A port is a token bucket (tbf), which also splits what the kernel handed on as one where that is
more than a burst; its lanes are classes of an htb inside. Queues are so long that nothing is ever
dropped: a lost packet would be a fault, not a slow link.
"""

from __future__ import annotations

from collections.abc import Mapping

from swath.errors import ClusterError
from swath.runtime.lab.commands import batch
from swath.runtime.lab.network import FRAME, Lane, Port, burst

QUEUE_BYTES = 256 * 2**20

QUEUE_PACKETS = 1_000_000

LARGEST_QUANTUM = 60_000


def can_delay(namespace: str) -> bool:
    """Whether this kernel can add latency, tried inside a namespace of the lab."""
    try:
        batch("tc", ["qdisc add dev lo root netem delay 1ms"], namespace)
    except ClusterError:
        return False
    batch("tc", ["qdisc del dev lo root"], namespace)
    return True


def shaping_lines(port: Port, interface: str, addresses: Mapping[str, str]) -> list[str]:
    """What puts a port in force on an interface; ``addresses`` of the devices, by name."""
    lines = [
        f"qdisc add dev {interface} root handle 1: tbf {_rate(port.rate)} "
        f"burst {burst(port.rate)} limit {QUEUE_BYTES}"
    ]
    if not port.lanes:
        if port.latency:
            lines.append(_queue(interface, "1:1", port.latency))
        return lines
    # What is in no lane shares the port's rate as one more.
    lines.append(f"qdisc add dev {interface} parent 1:1 handle 2: htb default 1")
    lines += _lane(interface, "2:1", port.rate, port.latency)
    end = "dst" if port.place == "sends" else "src"
    for number, lane in enumerate(port.lanes, start=2):
        lines += _lane(interface, f"2:{number:x}", lane.rate, lane.latency)
        lines.append(_filter(interface, end, lane, addresses, f"2:{number:x}"))
    return lines


def unshaping_line(interface: str) -> str:
    return f"qdisc del dev {interface} root"


def redirecting_lines(interface: str, target: str) -> list[str]:
    """What comes in at an interface goes out at another instead."""
    return [
        f"qdisc add dev {interface} handle ffff: ingress",
        f"filter add dev {interface} parent ffff: protocol all prio 1 u32 match u32 0 0 "
        f"action mirred egress redirect dev {target}",
    ]


def _rate(rate: float) -> str:
    return f"rate {round(rate * 8)}bit"


def _lane(interface: str, number: str, rate: float, latency: float) -> list[str]:
    size = burst(rate)
    quantum = min(LARGEST_QUANTUM, max(2 * FRAME, size))
    return [
        f"class add dev {interface} parent 2: classid {number} htb {_rate(rate)} "
        f"burst {size} cburst {size} quantum {quantum}",
        _queue(interface, number, latency),
    ]


def _queue(interface: str, parent: str, latency: float) -> str:
    kind = (
        f"netem limit {QUEUE_PACKETS} delay {round(latency * 1e6)}us"
        if latency
        else f"bfifo limit {QUEUE_BYTES}"
    )
    return f"qdisc add dev {interface} parent {parent} {kind}"


def _filter(interface: str, end: str, lane: Lane, addresses: Mapping[str, str], number: str) -> str:
    return (
        f"filter add dev {interface} parent 2: protocol ip prio 1 "
        f"u32 match ip {end} {addresses[lane.peer]}/32 flowid {number}"
    )

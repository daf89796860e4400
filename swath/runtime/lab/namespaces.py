"""Network namespaces, one per device and one for the switch between them, and stepping into one.

All interfaces are made inside: the machine's own network does not see them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from swath.errors import ClusterError
from swath.runtime.lab.commands import batch
from swath.runtime.lab.network import LARGEST_UNIT, MTU
from swath.runtime.lab.shaping import redirecting_lines

NAMESPACES = Path("/run/netns")

DEVICE_INTERFACE = "eth0"
"""A device's only one besides its loopback."""

CHANNEL = "air0"
"""Where everything leaves for everybody, in a network that is one radio channel."""

MOST_DEVICES = 2000

_CLONE_NEWNET = 0x40000000

_BUFFERS = "4096 16777216 67108864"

_SETTINGS = {
    # A receiver that computes meanwhile does not stall a transfer of some MB, nor does its sender
    # wait until it is through: the usual windows start at 64 KB and adapt.
    "ipv4/tcp_rmem": _BUFFERS,
    "ipv4/tcp_wmem": _BUFFERS,
    # Nothing is ever lost here; the plainest control then keeps links busy, and none that probes
    # for more (as BBR does) or starts anew after a pause disturbs what is measured.
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/tcp_slow_start_after_idle": "0",
    "ipv4/tcp_no_metrics_save": "1",
    # Its announcements of addresses and routers would be other traffic.
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


def namespace_path(namespace: str) -> Path:
    return NAMESPACES / namespace


def port_interface(number: int) -> str:
    """The switch's interface towards the device of this number."""
    return f"port{number}"


def address(number: int) -> str:
    """IPv4 address of the device of this number."""
    return f"10.0.{(number + 1) // 250}.{(number + 1) % 250 + 1}"


def _hardware_address(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def make_namespaces(
    switch: str, devices: Sequence[str], units: Sequence[int], shared: bool
) -> None:
    """Namespaces of these names, joined and up, not shaped.

    ``units``: how many packets of each device the kernel may hand on as one. ``shared``: what any
    device sends passes `CHANNEL` before it reaches another.
    """
    if len(devices) > MOST_DEVICES:
        raise ClusterError(f"a lab holds at most {MOST_DEVICES} devices, not {len(devices)}")
    batch("ip", [f"netns add {namespace}" for namespace in (switch, *devices)])
    for namespace in (switch, *devices):
        _apply_settings(namespace)
    lines = ["link set lo up", "link add bridge type bridge forward_delay 0 mcast_snooping 0"]
    lines += ["link set bridge up"]
    if shared:
        lines += [f"link add {CHANNEL} mtu {MTU} type veth peer name air1 mtu {MTU}"]
        lines += [f"link set {CHANNEL} up", "link set air1 master bridge up"]
        # It brings what every device sent: none of them is behind it.
        lines += ["link set air1 type bridge_slave learning off"]
    for number, device in enumerate(devices):
        port = port_interface(number)
        lines += [
            f"link add {port} mtu {MTU} type veth peer name {DEVICE_INTERFACE} netns {device} "
            f"mtu {MTU} address {_hardware_address(number)} "
            f"gso_max_segs {min(units[number], LARGEST_UNIT)}",
            f"link set {port} master bridge up",
        ]
    batch("ip", lines, switch)
    if shared:
        numbers = range(len(devices))
        batch(
            "bridge",
            [
                f"fdb add {_hardware_address(number)} dev {port_interface(number)} master static"
                for number in numbers
            ],
            switch,
        )
        batch(
            "tc",
            [
                line
                for number in numbers
                for line in redirecting_lines(port_interface(number), CHANNEL)
            ],
            switch,
        )
    for number, device in enumerate(devices):
        batch(
            "ip",
            [
                "link set lo up",
                f"addr add {address(number)}/16 dev {DEVICE_INTERFACE}",
                f"link set {DEVICE_INTERFACE} up",
            ],
            device,
        )


def remove_namespaces(namespaces: Sequence[str]) -> None:
    batch("ip", [f"netns delete {namespace}" for namespace in namespaces])


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread in a network namespace: the sockets that it makes, and the threads and
    processes that it starts, are of it and stay in it. Other threads stay where they are."""
    path = namespace_path(namespace)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ClusterError(
            f"network namespace {path}: {error.strerror}; was the lab cleaned away?"
        ) from None
    try:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(here)
        finally:
            os.close(here)
    finally:
        os.close(there)


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")


def _apply_settings(namespace: str) -> None:
    with inside(namespace):
        for name, value in _SETTINGS.items():
            path = Path("/proc/sys/net") / name
            if path.exists():  # IPv6 may be left out of a kernel, and older ones know less.
                path.write_text(value)


def processes_inside(namespaces: Sequence[str]) -> list[int]:
    """Processes whose network is one of these."""
    kept = {_identity(namespace_path(namespace)) for namespace in namespaces} - {None}
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if _identity(Path(f"/proc/{pid}/ns/net")) in kept]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:  # It has ended, or been removed.
        return None
    return status.st_dev, status.st_ino

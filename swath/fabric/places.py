"""Where data is taken: ``unix:NAME`` (the abstract socket namespace) and ``tcp:HOST:PORT``."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from swath.errors import FabricError

CONNECT_TIMEOUT = 5.0
"""Seconds to connect to one place."""

SEND_BUFFER_BYTES = 2 << 20
"""What the kernel may hold of a message while its sender goes on computing."""

KEEPALIVE_SECONDS = 15
"""After so long a silence TCP asks whether the peer's machine is still there."""


def connect_to(place: str) -> socket.socket:
    """A blocking connection; raises OSError, or ValueError for what is no place."""
    kind, _, rest = place.partition(":")
    target: object
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        target = f"\0{rest}"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    elif kind == "tcp":
        host, _, port = rest.rpartition(":")
        target = (host, int(port))
        connection = socket.socket(socket.AF_INET)
    else:
        raise ValueError("not a place")
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(target)
        connection.settimeout(None)
        tune(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def tune(connection: socket.socket) -> None:
    """Small messages leave at once, and a machine that has vanished is noticed."""
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)


def listen_unix(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    listener.setblocking(False)
    return listener


def listen_tcp(host: str, port: int) -> socket.socket:
    """Raises FabricError where the port is in use or the host is not this one."""
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise FabricError(
            f"cannot listen for data on {host}:{port}: {reason}; choose another --listen"
        ) from None
    listener.listen()
    listener.setblocking(False)
    return listener


def reachable_hosts(host: str) -> tuple[str, ...]:
    """Addresses under which a listener bound to ``host`` can be connected to."""
    if host != "0.0.0.0":
        return (host,)
    return tuple(sorted((str(own.ip) for own in _own_interfaces()), key=_is_loopback))


def in_order(places: Sequence[str]) -> list[str]:
    """Places, those first that are most likely to be the one meant.

    A member names every address of its machine. One that is also ours (many machines have a
    bridge of containers under the same address) would lead back to ourselves: it is tried last.
    """
    if sum(place.startswith("tcp:") for place in places) < 2:
        return list(places)
    own = _own_interfaces()

    def unlikely(place: str) -> int:
        kind, _, rest = place.partition(":")
        if kind != "tcp":
            return 0
        try:
            host = ipaddress.ip_address(rest.rpartition(":")[0])
        except ValueError:
            return 2
        if host.is_loopback or any(host == interface.ip for interface in own):
            return 3
        return 1 if any(host in interface.network for interface in own) else 2

    return sorted(places, key=unlikely)


def _own_interfaces() -> list[ipaddress.IPv4Interface]:
    import psutil

    return [
        ipaddress.IPv4Interface(f"{entry.address}/{entry.netmask or 32}")
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    ]


def _is_loopback(host: str) -> bool:
    return host.startswith("127.")


def own_host(targets: Sequence[str]) -> str:
    """The address of this machine that the first of these endpoints (``tcp/HOST:PORT``) would see;
    nothing is sent."""
    for target in targets:
        host, _, port = target.removeprefix("tcp/").rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((host, int(port)))
                return str(probe.getsockname()[0])
            except (OSError, ValueError):
                continue
    return "127.0.0.1"

"""Members over every fabric: one test, many ways to carry it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from swath.fabric.fabric import PROTOCOL_VERSION, Fabric, Land
from swath.fabric.frame import Frame
from swath.fabric.inprocess import InProcessHub
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.runtime.local import free_port


def anywhere(frame: Frame) -> None:
    """Lands every message in memory of its own."""


class InProcess:
    """All members are threads of this process."""

    def __init__(self) -> None:
        self._hub = InProcessHub()

    def join(self, name: str, role: str, land: Land, version: int) -> Fabric:
        return self._hub.join(name, role, land, version)

    def reach(self, one: Fabric, other: Fabric) -> None:
        one.reach(other.address)


class OverZenoh:
    """Real sockets on loopback; everybody is joined to the first member only."""

    places = ("unix", "tcp")

    def __init__(self) -> None:
        self._cluster = f"test-{secrets.token_hex(4)}"
        self._first: str | None = None

    def join(self, name: str, role: str, land: Land, version: int) -> Fabric:
        own = f"tcp/127.0.0.1:{free_port()}"
        connect = () if self._first is None else (self._first,)
        self._first = self._first or own
        endpoints = Endpoints((own,), connect)
        return ZenohFabric(name, role, land, endpoints, self._cluster, version)

    def reach(self, one: Fabric, other: Fabric) -> None:
        address = other.address
        places = tuple(place for place in address.places if place.startswith(self.places))
        one.reach(replace(address, places=places))


class OverZenohAndTcp(OverZenoh):
    """As between machines: data over TCP."""

    places = ("tcp",)


class Members:
    """Joins members and has them leave at the end."""

    def __init__(self, way: InProcess | OverZenoh) -> None:
        self._way = way
        self._joined: list[Fabric] = []

    def join(
        self,
        name: str,
        role: str = "worker",
        land: Land = anywhere,
        version: int = PROTOCOL_VERSION,
    ) -> Fabric:
        fabric = self._way.join(name, role, land, version)
        self._joined.append(fabric)
        return fabric

    def reach(self, one: Fabric, other: Fabric) -> None:
        self._way.reach(one, other)

    def close(self) -> None:
        for fabric in reversed(self._joined):
            fabric.close()


WAYS: dict[str, Callable[[], InProcess | OverZenoh]] = {
    "inprocess": InProcess,
    "zenoh": OverZenoh,
    "zenoh-tcp": OverZenohAndTcp,
}


@pytest.fixture(params=list(WAYS))
def members(request: pytest.FixtureRequest) -> Iterator[Members]:
    members = Members(WAYS[request.param]())
    yield members
    members.close()


@pytest.fixture(params=["zenoh", "zenoh-tcp"])
def socket_members(request: pytest.FixtureRequest) -> Iterator[Members]:
    members = Members(WAYS[request.param]())
    yield members
    members.close()

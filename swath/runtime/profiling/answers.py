"""What a worker answers while it is profiled; each answer takes about a second.

A question is a line of JSON (``what`` says which), then a model where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from swath.fabric.fabric import Address, Event, Fabric
from swath.fabric.frame import Frame
from swath.runtime.profiling.echo import Echoes, Exchange, Spent

if TYPE_CHECKING:
    from swath.runtime.profiling.pace import Pace

Handle = Callable[[Event], None]


def question(what: str, model: bytes = b"", **details: Any) -> bytes:
    """A question for `Answers`."""
    return json.dumps({"what": what, **details}).encode() + b"\n" + model


class Answers:
    """Of one worker. ``handle`` takes what comes in while messages are measured."""

    def __init__(self, threads: int, handle: Handle) -> None:
        self._threads = threads
        self._handle = handle
        self._echoes = Echoes()
        self._paced: Pace | None = None

    def landing(self, frame: Frame) -> memoryview | None:
        """Where a message lands that belongs to no program."""
        return self._echoes.landing(frame)

    def take(self, fabric: Fabric, frame: Frame) -> None:
        """A message has come that belongs to no program."""
        self._echoes.take(fabric, frame)

    def answer(self, fabric: Fabric, payload: bytes) -> object:
        """Raises ValueError and its kin for what is not understood."""
        head, _, model = payload.partition(b"\n")
        asked = json.loads(head)
        what = asked["what"]
        if what == "kernels":
            return self._kernels(model, asked)
        if what == "chain":
            return self._chain(model, asked)
        if what == "pace":
            return {"seconds": self._pace()}
        if what == "copy":
            from swath.runtime.profiling.kernels import copy_seconds_per_byte

            return {"seconds": copy_seconds_per_byte()}
        if what == "echo":
            return self._echo(fabric, asked)
        if what == "echoed":
            return {"spent": spent_to_json(self._echoes.end(asked["version"]))}
        if what == "exchange":
            return self._exchange(fabric, asked)
        raise ValueError(f"the measurement {what!r} is not known here")

    def _kernels(self, model: bytes, asked: dict[str, Any]) -> object:
        from swath.runtime.profiling.kernels import Timed

        timed = Timed(model, asked["weights"], asked["inputs"], self._threads)
        return {
            "kernels": [
                astuple(kernel) for kernel in timed.kernels(asked["seconds"], asked["swept"])
            ],
            "pace": self._pace(),
        }

    def _chain(self, model: bytes, asked: dict[str, Any]) -> object:
        """Its kernels without a load, and the whole by the clock, without and under each load."""
        from swath.runtime.profiling.kernels import Timed
        from swath.runtime.profiling.load import Load

        timed = Timed(model, asked["weights"], asked["inputs"], self._threads)
        seconds = float(asked["seconds"])
        kernels = [astuple(kernel) for kernel in timed.kernels(seconds / 4, asked["swept"])]
        pace = self._pace()
        whole = timed.whole()
        alone = whole.mean(seconds / 2)
        loaded = []
        with Load() as load:
            for share in asked["loads"]:
                with load.at(float(share)) as taken:
                    loaded.append((taken, whole.mean(seconds) / alone))
        return {"kernels": kernels, "pace": pace, "slowdowns": loaded}

    def _pace(self) -> float:
        from swath.runtime.profiling.pace import Pace

        if self._paced is None:
            self._paced = Pace()
        return self._paced.seconds()

    def _echo(self, fabric: Fabric, asked: dict[str, Any]) -> object:
        peer = address_from_json(asked["peer"])
        fabric.reach(peer)
        self._echoes.begin(asked["version"], peer.name)
        return {}

    def _exchange(self, fabric: Fabric, asked: dict[str, Any]) -> object:
        version, peer = asked["version"], address_from_json(asked["peer"])
        exchange = Exchange(fabric, version, peer, self._handle)
        self._echoes.begin(version, peer.name)  # For the memory in which replies land.
        try:
            trips = exchange.series(int(asked["rounds"]))
        finally:
            self._echoes.end(version)
        return {
            "trips": [astuple(trip) for trip in trips],
            "spent": spent_to_json(exchange.spent),
        }


def address_to_json(address: Address) -> list[object]:
    return [address.name, address.places, address.token]


def address_from_json(data: Sequence[Any]) -> Address:
    name, places, token = data
    return Address(str(name), tuple(map(str, places)), str(token))


def spent_to_json(spent: Spent) -> list[tuple[str, int, list[float]]]:
    return [(side, nbytes, seconds) for (side, nbytes), seconds in spent.items()]


def spent_from_json(data: Sequence[Any]) -> Spent:
    return {(str(side), int(nbytes)): list(map(float, s)) for side, nbytes, s in data}

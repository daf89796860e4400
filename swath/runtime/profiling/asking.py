"""Asking workers for measurements."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.cluster.profile import Machine
from swath.cost.features import NEAR
from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import Address
from swath.runtime.coordinator import Coordinator
from swath.runtime.install import hear, understanding
from swath.runtime.profiling.answers import address_to_json, question, spent_from_json
from swath.runtime.profiling.echo import Exchange, RoundTrips, Spent
from swath.runtime.profiling.kernels import Kernel
from swath.runtime.profiling.samples import Timing, timings
from swath.runtime.profiling.tiles import TimedTile

ANSWER_TIMEOUT = 120.0
"""Seconds for a measurement; it takes about one where the device is as quick as most."""

GONE_TIMEOUT = 1.0
"""Seconds until it is seen that a worker that does not answer has gone."""


class Asker:
    """Measurements of workers, by a coordinator. Raises WorkerError and FabricError."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator

    def machine(self, device: str) -> Machine:
        """What a profile of this worker holds for."""
        said = self.coordinator.hello(device)
        with understanding(device):
            machine = said["machine"]
            return Machine(
                cpu=str(machine["cpu"]),
                architecture=str(machine["architecture"]),
                cores=int(machine["cores"]),
                engine=str(said["engine"]),
                threads=int(said["threads"]),
            )

    def address(self, device: str) -> Address:
        """Where a worker takes data."""
        said = self.coordinator.hello(device)
        with understanding(device):
            places = tuple(str(place) for place in said["address"]["places"])
            return Address(device, places, str(said["address"]["token"]))

    def kernels(
        self, device: str, tile: TimedTile, seconds: float, swept: int
    ) -> tuple[list[Timing], float]:
        """The kernels of a tile, timed one by one, and the device's pace thereafter; ``swept``:
        bytes that are read before each."""
        details: dict[str, Any] = {"seconds": seconds, "swept": swept, **tile.shapes}
        said = self._ask(device, "kernels", tile.model.model, **details)
        with understanding(device):
            return timings(tile, _kernels(said["kernels"])), float(said["pace"])

    def chain(
        self, device: str, chain: TimedTile, seconds: float, loads: Sequence[float]
    ) -> tuple[list[Timing], float, list[tuple[float, float]]]:
        """The kernels of a chain without a load, and the device's pace thereafter; (load, slowdown)
        of the whole under each load."""
        details: dict[str, Any] = {"seconds": seconds, "loads": loads, "swept": NEAR}
        said = self._ask(device, "chain", chain.model.model, **details, **chain.shapes)
        with understanding(device):
            slowdowns = [(float(load), float(times)) for load, times in said["slowdowns"]]
            return timings(chain, _kernels(said["kernels"])), float(said["pace"]), slowdowns

    def pace(self, device: str) -> float:
        """Seconds of `Pace` on a device, now."""
        said = self._ask(device, "pace")
        with understanding(device):
            return float(said["seconds"])

    def copy(self, device: str) -> float:
        """Seconds per byte copied."""
        said = self._ask(device, "copy")
        with understanding(device):
            return float(said["seconds"])

    def exchange(self, asking: str, answering: str, rounds: int) -> Exchanged:
        """Messages from one worker to another and back."""
        address = address_to_json(self.address(answering))
        with self._echoing(answering, self.address(asking)) as echoed:
            said = self._ask(
                asking, "exchange", version=echoed.version, peer=address, rounds=rounds
            )
            with understanding(asking):
                trips = [
                    RoundTrips(there, back, tuple(map(float, seconds)), tuple(map(float, cpu)))
                    for there, back, seconds, cpu in said["trips"]
                ]
                spent = spent_from_json(said["spent"])
        return Exchanged(trips, spent, echoed.spent)

    def exchange_here(self, answering: str, rounds: int) -> Exchanged:
        """Messages from this process to a worker and back."""
        return self._exchanged_here(answering, lambda exchange: exchange.series(rounds))

    def sent_here(self, answering: str, sizes: Sequence[int], rounds: int) -> Exchanged:
        """Messages of these sizes (bytes) from this process to a worker."""
        return self._exchanged_here(answering, lambda exchange: exchange.there(sizes, rounds))

    def _exchanged_here(
        self, answering: str, trips_of: Callable[[Exchange], list[RoundTrips]]
    ) -> Exchanged:
        coordinator = self.coordinator
        address = self.address(answering)
        with (
            self._echoing(answering, coordinator.fabric.address) as echoed,
            coordinator.taken_over() as (fabric, handle),
        ):
            exchange = Exchange(fabric, echoed.version, address, handle)
            trips = trips_of(exchange)
            is_near = fabric.is_near(answering)
        return Exchanged(trips, exchange.spent, echoed.spent, is_near)

    @contextlib.contextmanager
    def _echoing(self, answering: str, peer: Address) -> Iterator[_Echoed]:
        """While a worker sends back what ``peer`` asks for."""
        echoed = _Echoed(secrets.token_hex(16), {})
        self._ask(answering, "echo", version=echoed.version, peer=address_to_json(peer))
        try:
            yield echoed
        except BaseException:
            with contextlib.suppress(FabricError, WorkerError):
                self._ask(answering, "echoed", version=echoed.version)
            raise
        said = self._ask(answering, "echoed", version=echoed.version)
        with understanding(answering):
            echoed.spent = spent_from_json(said["spent"])

    def _ask(self, device: str, what: str, model: bytes = b"", **details: Any) -> dict[str, Any]:
        asked = question(what, model, **details)
        return hear(device, self.coordinator.fabric.ask(device, "measure", asked, ANSWER_TIMEOUT))


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Round trips, and the CPU time of the messages at both ends. ``is_near``: these are known to
    be on one machine."""

    trips: list[RoundTrips]
    asking: Spent
    answering: Spent
    is_near: bool = False


@dataclass(slots=True)
class _Echoed:
    version: str
    spent: Spent


@contextlib.contextmanager
def disappearing(coordinator: Coordinator, *devices: str, kept: Path) -> Iterator[None]:
    """Says which device has gone where one does, and where that leaves us."""
    try:
        yield
    except (FabricError, WorkerError):
        expected = set(devices)
        if not coordinator.wait_until(
            lambda: not expected <= set(coordinator.workers()), GONE_TIMEOUT
        ):
            raise
        gone = min(expected - set(coordinator.workers()))
        raise FabricError(
            f"device {gone!r} disappeared while it was profiled; start it and run the same again, "
            f"what was measured is kept in {kept}"
        ) from None


def _kernels(said: Sequence[Any]) -> list[Kernel]:
    return [
        Kernel(str(name), str(operator), tuple(map(int, shape)), float(seconds))
        for name, operator, shape, seconds in said
    ]

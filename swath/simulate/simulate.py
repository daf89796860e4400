"""Requests on virtual time: what `simulate` answers, and the world in which it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from swath.cluster.cluster import LOOPBACK
from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR, Compute, Programs
from swath.plan.turns import Turns
from swath.simulate.channels import seed_words
from swath.simulate.events import Events
from swath.simulate.network import Connection
from swath.simulate.parties import Coordinator, Flight, Processor, Recorder, Worker
from swath.simulate.quota import Ration
from swath.simulate.script import Script
from swath.simulate.wiring import Wiring, make_network
from swath.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Request:
    """One inference. ``at``: when it begins, in seconds; None: as soon as fewer than allowed are in
    flight.

    ``placement`` puts the plan's devices on others of the cluster; who is not in it stays. The
    script's seconds hold there too: it is for devices of the same kind. Requests of different
    ``flow`` take turns on devices, by ``weight`` (see `swath.plan.turns`).
    """

    script: Script
    at: float | None = None
    placement: Mapping[str, str] | None = None
    flow: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Simulation:
    """What happened. Seconds, bytes and joules.

    ``latencies``: by request, from its beginning to its result; ``ends``: when that was, the first
    one having begun at 0. ``makespan``: until the end of the last. ``busy``: CPU that each device
    of the cluster has used; ``energy``: where the cluster says its watts.
    """

    latencies: tuple[float, ...]
    ends: tuple[float, ...]
    makespan: float
    busy: Mapping[str, float]
    bytes_moved: int
    energy: Mapping[str, float]
    trace: Trace | None

    @property
    def utilisation(self) -> Mapping[str, float]:
        """Share of the makespan that each device's CPU was busy."""
        span = self.makespan or 1.0
        return {device: busy / span for device, busy in self.busy.items()}


def simulate(
    requests: Sequence[Request],
    costs: Costs,
    *,
    in_flight: int = 1,
    seed: int = 0,
    record: bool = False,
) -> Simulation:
    """Run requests on the cluster of ``costs``. They are numbered as they stand; where several of
    one flow can go on at a device, the lowest number does.

    ``in_flight``: a request without a time begins when the one so many before it is over (the first
    ones: at 0).

    ``seed`` decides the channels' rates and the phases of CPU quotas; the same seed gives the same
    result. ``record``: keep a trace. Raises ClusterError for a device that the cluster has not, and
    PlanError where a request can never end.
    """
    return _World(requests, costs, in_flight, seed, Recorder() if record else None).run()


def redundant_flops_share(plan: Plan, programs: Programs) -> float:
    """FLOPs that the tiles compute beyond those of the unsplit graph, as a share of the latter."""
    whole = plan.graph.flops
    done = sum(
        step.flops
        for program in programs.by_device.values()
        for step in program.steps
        if isinstance(step, Compute)
    )
    return done / whole - 1 if whole else 0.0


class _World:
    def __init__(
        self,
        requests: Sequence[Request],
        costs: Costs,
        in_flight: int,
        seed: int,
        recorder: Recorder | None,
    ) -> None:
        self._requests = requests
        self._costs = costs
        self._in_flight = in_flight
        self._seed = seed
        self._recorder = recorder
        self._events = Events()
        self._network = make_network(costs.cluster, self._events)
        self._wiring = Wiring(costs.cluster, seed)
        self._processors: dict[str, Processor] = {}
        self._workers: dict[str, Worker] = {}
        self._coordinators: dict[str, Coordinator] = {}
        self._connections: dict[tuple[str, str, bool, bool], Connection] = {}
        self._placed: dict[tuple[int, tuple[str, ...]], tuple[list[Connection], list[str]]] = {}
        self._ends: list[float | None] = [None] * len(requests)
        self._begins = [0.0] * len(requests)
        self._bytes = 0
        self._has_flows = len({request.flow for request in requests}) > 1

    def run(self) -> Simulation:
        for number, request in enumerate(self._requests):
            if request.at is not None or number < self._in_flight:
                self._events.at(request.at or 0.0, self._begin, number)
        self._events.run()
        for number, end in enumerate(self._ends):
            if end is None:
                raise PlanError(
                    f"plan: request {number} never ends; its devices wait for each other, "
                    "so mend the order of its tiles"
                )
        return self._result([end for end in self._ends if end is not None])

    # Requests

    def _begin(self, number: int) -> None:
        request = self._requests[number]
        script = request.script
        placement = request.placement or {}
        devices = tuple(placement.get(device, device) for device in script.devices)
        connections, parties = self._place(script, devices)
        flight = Flight(
            number, request.flow, request.weight, script, connections, parties,
            self._coordinator(devices[0]), [None] * len(script.parts), script.expected,
        )  # fmt: skip
        self._begins[number] = self._events.now
        flight.coordinator.begin(flight)

    def _over(self, flight: Flight) -> None:
        number = flight.number
        self._ends[number] = self._events.now
        self._bytes += flight.script.bytes_moved
        following = number + self._in_flight
        if following < len(self._requests) and self._requests[following].at is None:
            self._begin(following)

    def _place(
        self, script: Script, devices: tuple[str, ...]
    ) -> tuple[list[Connection], list[str]]:
        """(connection by message, name by part and of the coordinator) of a script on devices."""
        key = (id(script), devices)
        if key not in self._placed:
            where = dict(zip(script.devices, devices, strict=True))
            hosts = [*(where[part.device] for part in script.parts), devices[0]]
            made = [
                self._connection(hosts[sender], hosts[receiver], sender < 0, receiver < 0)
                for sender, receiver in script.routes
            ]
            connections = [made[route] for route in script.route_of]
            self._placed[key] = connections, [*hosts[:-1], self._coordinator(devices[0]).name]
        return self._placed[key]

    # Who and what there is

    def _connection(
        self, sender: str, receiver: str, is_scatter: bool, is_gather: bool
    ) -> Connection:
        """From worker to worker, or from or to the coordinator on a device."""
        key = (sender, receiver, is_scatter, is_gather)
        if key not in self._connections:
            party = self._coordinator(receiver) if is_gather else self._worker(receiver)
            if sender == receiver:
                connection = Connection((), LOOPBACK.latency, party.arrive)
            else:
                resources, latency = self._wiring.path(sender, receiver)
                connection = Connection(resources, latency, party.arrive)
            self._connections[key] = connection
        return self._connections[key]

    def _processor(self, device: str) -> Processor:
        if device not in self._processors:
            self._costs.cluster.device(device)
            quota, cooling = self._costs.quota(device), self._costs.cooling(device)
            ration = None
            if quota is not None and quota.share < 1:
                words = seed_words(self._seed, f"quota {device}")
                period, tick = np.random.default_rng(words).random(2).tolist()
                ration = Ration(quota, period * quota.period, tick * quota.tick)
            self._processors[device] = Processor(ration, cooling)
        return self._processors[device]

    def _worker(self, device: str) -> Worker:
        if device not in self._workers:
            processor = self._processor(device)
            self._workers[device] = Worker(
                device, processor, self._events, self._network, self._recorder,
                Turns() if self._has_flows else None,
            )  # fmt: skip
        return self._workers[device]

    def _coordinator(self, device: str) -> Coordinator:
        if device not in self._coordinators:
            source = self._costs.cluster.source
            self._coordinators[device] = Coordinator(
                COORDINATOR if device == source else f"{COORDINATOR}:{device}",
                self._processor(device), self._events, self._network, self._recorder, self._over,
            )  # fmt: skip
        return self._coordinators[device]

    # What came of it

    def _result(self, ends: Sequence[float]) -> Simulation:
        zero = min(self._begins, default=0.0)
        makespan = max(ends, default=zero) - zero
        devices = self._costs.cluster.devices
        busy = {
            device.name: self._processors[device.name].busy
            if device.name in self._processors
            else 0.0
            for device in devices
        }
        return Simulation(
            latencies=tuple(end - begin for begin, end in zip(self._begins, ends, strict=True)),
            ends=tuple(end - zero for end in ends),
            makespan=makespan,
            busy=busy,
            bytes_moved=self._bytes,
            energy={
                device.name: device.watts.idle * makespan
                + (device.watts.busy - device.watts.idle) * busy[device.name]
                for device in devices
                if device.watts is not None
            },
            trace=self._trace(zero),
        )

    def _trace(self, zero: float) -> Trace | None:
        if self._recorder is None:
            return None
        spans = tuple(
            replace(span, start=span.start - zero, end=span.end - zero)
            for span in sorted(self._recorder.spans, key=lambda span: (span.start, span.device))
        )
        seen = {span.device for span in spans}
        coordinators = [party.name for party in self._coordinators.values() if party.name in seen]
        devices = [device.name for device in self._costs.cluster.devices if device.name in seen]
        return Trace("predicted", (*coordinators, *devices), spans)

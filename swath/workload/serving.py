"""Many services on one cluster, on virtual time: who waits, who runs by which way, who is given up.

Requests of a service wait in line. Whenever one comes or is over, an allocator (see
`swath.workload.allocators`) says which are begun, by which way and with which weight, and which are
refused. Devices divide their time among those under way by deficit round robin over tiles
(Shreedhar and Varghese, SIGCOMM 1995), which in the mean of many tiles is what generalised
processor sharing is (Parekh and Gallager, 1993).

Tiles are not looked at one by one here; `swath.simulate` does that. A request by a way that keeps
device n busy for a share u_n of its time has to share it with others only then; while it computes
for a second there, another one of share v and of w times its weight computes for w v / (v + w (1 -
v)) seconds: it computes w times as much until it waits for messages again, and leaves the device
alone for (1 - v) / v of what it computed. With all that the others compute meanwhile, c_n seconds,
a request takes s_n = 1 + u_n c_n times as long there. Where many meet that is too little: a device
computes for sum(u_n / s_n) of the time, and where this is above 1 everybody takes as much longer.
All devices of a way wait for the last of them, so the largest s_n holds. On one device that is
always busy (u = v = 1) this is processor sharing by weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

import numpy as np

from swath.workload.arrivals import Offered
from swath.workload.ways import Menu, Way
from swath.workload.workload import Workload


@dataclass(slots=True)
class Waiting:
    """A request in line: its number, when it came, and when it is given up."""

    number: int
    came: float
    until: float


class Running:
    """A request under way. ``left``: seconds that it would still take alone, by its way;
    ``stretch``: how many times as long it takes beside the others; ``ends``: when it is over if
    nothing changes."""

    __slots__ = ("came", "ends", "left", "number", "service", "stretch", "way", "weight")

    def __init__(self, service: int, waiting: Waiting, way: Way, weight: float) -> None:
        self.service = service
        self.number = waiting.number
        self.came = waiting.came
        self.way = way
        self.weight = weight
        self.left = way.seconds
        self.stretch = 1.0
        self.ends = inf


@dataclass(frozen=True, slots=True)
class Start:
    """The first in a service's line begins, by this way. ``weight``: what it gets of a device
    beside others, each by its own weight."""

    service: int
    way: Way
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The first in a service's line is sent away."""

    service: int


@dataclass(slots=True)
class Moment:
    """What an allocator sees. ``waiting``: by service; ``occupied``: devices that somebody under
    way computes on, as bits; ``come``, ``begun``, ``lost``: by service, how many requests ever
    came, were begun, were not served."""

    now: float
    menus: Sequence[Menu]
    workload: Workload
    waiting: list[deque[Waiting]]
    running: list[Running]
    come: list[int]
    begun: list[int]
    lost: list[int]
    occupied: int = 0


class Allocator(Protocol):
    """Says what happens next at a moment; asked again until it says None."""

    def decide(self, moment: Moment) -> Start | Refuse | None: ...


@dataclass(frozen=True)
class Served:
    """What came of requests, by request: ``latencies`` in seconds (of those that were not served:
    what a request waits at most), ``served``, and ``services`` as places in the workload.

    ``late``: over after its deadline, or not served. ``useful``: FLOPs by device, ``busy``: as
    in `Way`, by device, both of requests that were over within ``seconds``.
    """

    latencies: np.ndarray
    served: np.ndarray
    late: np.ndarray
    services: np.ndarray
    useful: np.ndarray
    busy: np.ndarray
    seconds: float


def serve(
    workload: Workload,
    menus: Sequence[Menu],
    offered: Offered,
    allocator: Allocator,
    slowdown: float = 1.0,
) -> Served:
    """Have all requests served or given up, as an allocator will have it. ``slowdown``: how many
    times as long as its way says every request takes: the allocator knows the ways alone."""
    world = World(workload, menus, offered, slowdown)
    world.run(allocator)
    return world.result()


class Desk:
    """Requests that come, wait, are under way and end. It is told what happens when, on virtual
    time by `World`, by a clock in `swath.workload.live`, and works out what is to be expected.

    ``moment``: what it is like now; ``ended``: numbers of the requests that are served or given up,
    in that order; ``latencies``: by number, seconds, once they are. ``slowdown``: as in `serve`.
    """

    def __init__(
        self,
        workload: Workload,
        menus: Sequence[Menu],
        offered: Offered,
        slowdown: float = 1.0,
    ) -> None:
        lines: list[deque[Waiting]] = [deque() for _ in menus]
        come, begun, lost = ([0] * len(menus) for _ in range(3))
        self.moment = Moment(0.0, menus, workload, lines, [], come, begun, lost)
        self.ended: list[int] = []
        self.latencies = [0.0] * len(offered.times)
        self._slowdown = slowdown
        self._offered = offered
        self._times = [*offered.times.tolist(), inf]
        self._services = offered.services.tolist()
        self._limits = workload.limits
        self._deadlines = [service.deadline or inf for service in workload.services]
        self._served = [False] * len(offered.times)
        self._loads = [0.0] * (len(menus[0].ways[0].busy) if menus else 0)
        self._done: list[Way] = []

    # What happens

    def pass_to(self, time: float) -> None:
        """Time goes on; those under way come on."""
        moment = self.moment
        passed = time - moment.now
        moment.now = time
        for run in moment.running:
            run.left -= passed / run.stretch

    def take_in(self, number: int) -> None:
        """A request comes: into its service's line, if that is not too long."""
        moment = self.moment
        service = self._services[number]
        moment.come[service] += 1
        line = moment.waiting[service]
        came = self._times[number]
        waiting = Waiting(number, came, came + self._limits[service])
        if len(line) < moment.workload.most_waiting:
            line.append(waiting)
        else:
            self._refuse(waiting, service)

    def give_up(self) -> None:
        """Nobody waits for longer than the deadline of what he asks for."""
        now = self.moment.now
        for service, line in enumerate(self.moment.waiting):
            while line and line[0].until <= now:
                self._refuse(line.popleft(), service)

    def _refuse(self, waiting: Waiting, service: int) -> None:
        self.latencies[waiting.number] = self._limits[service]
        self.moment.lost[service] += 1
        self.ended.append(waiting.number)

    def decide(self, allocator: Allocator) -> list[Running]:
        """Do as an allocator says; who begins."""
        begun = []
        while (decision := allocator.decide(self.moment)) is not None:
            if isinstance(decision, Refuse):
                service = decision.service
                self._refuse(self.moment.waiting[service].popleft(), service)
            else:
                begun.append(self._start(decision))
        return begun

    def _start(self, start: Start) -> Running:
        moment = self.moment
        run = Running(
            start.service, moment.waiting[start.service].popleft(), start.way, start.weight
        )
        moment.begun[start.service] += 1
        moment.running.append(run)
        moment.occupied |= start.way.devices
        for device, share in start.way.shares:
            self._loads[device] += share
        self._stretch()
        return run

    def finish(self, over: Sequence[Running]) -> None:
        """Some of those under way are over now."""
        moment = self.moment
        now = moment.now
        for run in over:
            moment.running.remove(run)
            self.latencies[run.number] = now - run.came
            self._served[run.number] = True
            self.ended.append(run.number)
            if now <= self._offered.seconds:
                self._done.append(run.way)
            for device, share in run.way.shares:
                self._loads[device] -= share
        moment.occupied = 0
        for run in moment.running:
            moment.occupied |= run.way.devices
        self._stretch()

    def _stretch(self) -> None:
        """Work out how long everybody takes beside the others."""
        now, loads, running = self.moment.now, self._loads, self.moment.running
        is_equal = len({run.weight for run in running}) < 2
        sharers = None if is_equal else _sharers(running)
        taken = [0.0] * len(loads)
        slowed: list[list[tuple[int, float]]] = []
        for run in running:
            here = []
            for device, share in run.way.shares:
                if sharers is None:
                    others = loads[device] - share
                else:
                    others = _beside(run, share, sharers[device])
                times = 1.0 + share * others
                taken[device] += share / times
                here.append((device, times))
            slowed.append(here)
        for run, here in zip(running, slowed, strict=True):
            beside = max([times * max(1.0, taken[device]) for device, times in here])
            run.stretch = self._slowdown * beside
            run.ends = now + run.left * run.stretch

    def result(self) -> Served:
        """What came of all, once it is over."""
        latencies = np.array(self.latencies)
        served = np.array(self._served, dtype=bool)
        deadlines = np.array(self._deadlines)[self._offered.services]
        devices = len(self._loads)
        return Served(
            latencies,
            served,
            ~served | (latencies > deadlines),
            self._offered.services,
            np.sum([way.useful for way in self._done], axis=0) + np.zeros(devices),
            self._slowdown * np.sum([way.busy for way in self._done], axis=0) + np.zeros(devices),
            self._offered.seconds,
        )


class World(Desk):
    """Requests being served on virtual time."""

    _come = 0  # Requests so far.

    def run(self, allocator: Allocator, arrivals: int | None = None) -> bool:
        """Until all is over, or until so many requests have come; whether it is not over yet."""
        moment = self.moment
        times = self._times
        running = moment.running
        until = len(times) if arrivals is None else arrivals
        while self._come < until:
            ends = min([run.ends for run in running], default=inf)
            comes = times[self._come]
            if comes < ends:
                self.pass_to(comes)
                self.take_in(self._come)
                self._come += 1
            elif running:
                self.pass_to(ends)
                self.finish([run for run in running if run.ends <= ends])
            elif any(moment.waiting):
                # Nobody comes or goes any more, and the allocator lets them wait: they give up.
                moment.now = min(line[0].until for line in moment.waiting if line)
            else:
                return False
            self.give_up()
            self.decide(allocator)
        return True


def _sharers(running: Sequence[Running]) -> dict[int, list[tuple[float, float]]]:
    """By device: (share, weight) of all who use it."""
    found: dict[int, list[tuple[float, float]]] = {}
    for run in running:
        for device, share in run.way.shares:
            found.setdefault(device, []).append((share, run.weight))
    return found


def _beside(run: Running, own: float, sharers: Sequence[tuple[float, float]]) -> float:
    """Seconds that others compute on a device in every second that this one does, which itself is
    busy there for a share ``own`` of its time."""
    total = -own  # It is among those who share, and of its own weight.
    for share, weight in sharers:
        more = weight / run.weight
        total += more * share / (share + more * (1.0 - share))
    return total

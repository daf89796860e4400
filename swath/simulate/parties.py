"""Who acts: devices' processors, the workers and the coordinators on them.

They do what `swath.runtime.worker` and `swath.runtime.coordinator` do, on virtual time. A worker
runs one step after the other; between two steps it takes in what has arrived; flows of requests
take turns, and of each the oldest request that can go on goes first. A coordinator is a process of
its own on the same CPU: its work does not wait for a running tile, it delays it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from swath.cost import Cooling
from swath.plan.turns import Turns
from swath.simulate.events import Events
from swath.simulate.network import Connection, Network
from swath.simulate.quota import Ration
from swath.simulate.script import Script
from swath.trace.trace import Lane, Span


@dataclass(eq=False, slots=True)
class Flight:
    """A request on its way. ``flow``, ``weight``: how it shares devices; ``connections``: by
    message; ``parties``: names by part, then the coordinator's (as place -1); ``runs``: by part,
    once heard of; ``missing``: messages that the coordinator still waits for."""

    number: int
    flow: int
    weight: float
    script: Script
    connections: Sequence[Connection]
    parties: Sequence[str]
    coordinator: Coordinator
    runs: list[Run | None]
    missing: int

    def sender(self, message: int) -> str:
        return self.parties[self.script.senders[message]]

    def receiver(self, message: int) -> str:
        return self.parties[self.script.receivers[message]]


Told = tuple[Flight, int]
"""A message of a request, by its place in the script."""


class Run:
    """One part of a script, for one request. ``missing``: by step, messages that are not there."""

    __slots__ = ("flight", "missing", "part", "place", "position", "seconds", "sends", "writing")

    def __init__(self, flight: Flight, place: int) -> None:
        self.flight = flight
        self.place = place
        self.part = part = flight.script.parts[place]
        self.seconds = part.seconds
        self.sends = part.sends
        self.writing = part.writing
        self.missing = list(part.awaits)
        self.position = 0


class Processor:
    """The CPU of one device: one thing at a time, the coordinator's before the worker's.

    ``worker_until``, ``coordinator_until``: when either is done with all that it has begun, as far
    as known. ``started``: when the worker's latest piece of work began.
    """

    __slots__ = (
        "_cold", "_cooling", "_used", "coordinator_until", "ration", "started", "worker_until",
    )  # fmt: skip

    def __init__(self, ration: Ration | None, cooling: Cooling) -> None:
        self.ration = ration
        self._cooling = cooling
        self._cold = 0.0
        self._used = 0.0
        self.worker_until = 0.0
        self.coordinator_until = 0.0
        self.started = 0.0

    @property
    def busy(self) -> float:
        """Seconds of CPU used so far."""
        return self._used if self.ration is None else self.ration.used

    def work(self, now: float, seconds: float) -> float:
        """The worker does something next; when it is done."""
        start = self.worker_until
        if start < self.coordinator_until:
            start = self.coordinator_until
        if start < now:
            if self._cooling.waited:
                self._cold = max(self._cold, self._cooling.after_waiting(now - start))
            start = now
        if self._cold:
            seconds += self._warm_up(seconds)
        self._used += seconds
        self.started = start
        if self.ration is None:
            self.worker_until = end = start + seconds
        else:
            self.worker_until = end = self.ration.run(now, start, seconds)
        return end

    def _warm_up(self, seconds: float) -> float:
        """What so much work takes more while caches are cold."""
        paid = self._cold * self._cooling.paid(seconds)
        self._cold -= paid
        return paid

    def coordinate(self, now: float, seconds: float) -> float:
        """The coordinator does something next; when it is done. What the worker is at ends that
        much later."""
        free = max(self.worker_until, self.coordinator_until)
        if free < now:
            self._cold = max(self._cold, self._cooling.after_waiting(now - free))
        if self._cold:
            seconds += self._warm_up(seconds)
        self._used += seconds
        start = max(now, self.coordinator_until)
        delays = self.worker_until > start
        if self.ration is None:
            self.coordinator_until = start + seconds
            if delays:
                self.worker_until += seconds
        elif delays:
            self.worker_until = self.ration.run(now, start, seconds)
            self.coordinator_until = self.ration.after(start, seconds)
        else:
            self.coordinator_until = self.ration.run(now, start, seconds)
        return self.coordinator_until


class Recorder:
    """Takes down who did what when."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def message(self, device: str, lane: Lane, told: Told, start: float, end: float) -> None:
        flight, place = told
        number = flight.script.numbers[place]
        if number is not None:
            other = flight.receiver(place) if lane == "send" else flight.sender(place)
            nbytes = flight.script.nbytes[place]
            self.spans.append(Span(device, lane, other, flight.number, start, end, number, nbytes))

    def tile(self, device: str, run: Run, start: float, end: float) -> None:
        stage = run.part.stages[run.position]
        self.spans.append(Span(device, "compute", stage, run.flight.number, start, end))


class Worker:
    """The worker of one device. ``turns``: None where there is one flow of requests only."""

    __slots__ = (
        "_events", "_inbox", "_is_active", "_network", "_proceeds", "_ready", "_recorder", "_run",
        "_turns", "name", "processor",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        processor: Processor,
        events: Events,
        network: Network,
        recorder: Recorder | None,
        turns: Turns[int] | None,
    ) -> None:
        self.name = name
        self.processor = processor
        self._turns = turns
        self._events = events
        self._network = network
        self._recorder = recorder
        self._inbox: list[Told] = []
        self._ready: list[tuple[int, int, Run]] = []
        self._run: Run | None = None
        self._is_active = False
        self._proceeds = self._proceed  # Bound once, not at every step.

    def arrive(self, told: Told) -> None:
        """A message is there: taken in at once, or when the worker looks next."""
        if self._is_active:
            self._inbox.append(told)
            return
        self._take(told)
        if self._ready:
            self._is_active = True
            self._events.at(self.processor.worker_until, self._proceeds, None)

    def _take(self, told: Told) -> None:
        flight, message = told
        script = flight.script
        end = self.processor.work(self._events.now, script.receiving[message])
        place = script.receivers[message]
        run = flight.runs[place]
        if run is None:
            run = flight.runs[place] = Run(flight, place)
            if run.missing and not run.missing[0]:
                heappush(self._ready, (flight.number, place, run))
        step = script.read_by[message]
        if step >= 0:
            run.missing[step] = left = run.missing[step] - 1
            if not left and step == run.position:
                heappush(self._ready, (flight.number, place, run))
        if self._recorder is not None:
            self._recorder.message(self.name, "receive", told, self.processor.started, end)

    def _proceed(self, _: None) -> None:
        """What the worker was at is done, unless the coordinator came between."""
        events, processor = self._events, self.processor
        now = events.now
        if processor.worker_until > now:
            events.at(processor.worker_until, self._proceeds, None)
            return
        run = self._run
        if run is not None:
            if self._recorder is not None:
                self._record(run, self._recorder)
            flight = run.flight
            position = run.position
            message = run.sends[position]
            if message >= 0:
                nbytes = flight.script.nbytes[message]
                since = now - (now - processor.started) * run.writing[position]
                self._network.send(flight.connections[message], nbytes, (flight, message), since)
            run.position = position = position + 1
            if position < len(run.sends) and not run.missing[position]:
                if run.sends[position] >= 0:
                    # What others wait for leaves before anything else is looked at.
                    self._start(run)
                    return
                heappush(self._ready, (flight.number, run.place, run))
            self._run = None
        if self._inbox:
            for told in self._inbox:
                self._take(told)
            self._inbox.clear()
            if self._ready:
                events.at(processor.worker_until, self._proceeds, None)
            else:
                self._is_active = False
        elif self._ready:
            self._run = run = heappop(self._ready)[2] if self._turns is None else self._next()
            self._start(run)
        else:
            self._is_active = False

    def _next(self) -> Run:
        """Of those that can go on, the oldest of the flow whose turn it is."""
        assert self._turns is not None
        oldest: dict[int, tuple[int, int, Run]] = {}
        for entry in self._ready:
            flow = entry[2].flight.flow
            if flow not in oldest or entry < oldest[flow]:
                oldest[flow] = entry
        chosen = oldest[
            self._turns.choose({flow: entry[2].flight.weight for flow, entry in oldest.items()})
        ]
        self._ready.remove(chosen)
        heapify(self._ready)
        return chosen[2]

    def _start(self, run: Run) -> None:
        events = self._events
        seconds = run.seconds[run.position]
        if self._turns is not None:
            self._turns.pay(run.flight.flow, seconds)
        events.at(self.processor.work(events.now, seconds), self._proceeds, None)

    def _record(self, run: Run, recorder: Recorder) -> None:
        started, now = self.processor.started, self._events.now
        message = run.sends[run.position]
        if message < 0:
            recorder.tile(self.name, run, started, now)
        else:
            told = (run.flight, message)
            recorder.message(self.name, "send", told, started, now)


class Coordinator:
    """The coordinator on a source device."""

    def __init__(
        self,
        name: str,
        processor: Processor,
        events: Events,
        network: Network,
        recorder: Recorder | None,
        over: Callable[[Flight], None],
    ) -> None:
        self.name = name
        self._processor = processor
        self._events = events
        self._network = network
        self._recorder = recorder
        self._over = over

    def begin(self, flight: Flight) -> None:
        """A request's input is there: hand it out."""
        script, processor = flight.script, self._processor
        now = self._events.now
        start = processor.coordinate(now, script.begins)
        for message, seconds, writing in script.scatter:
            told = (flight, message)
            end = processor.coordinate(now, seconds)
            self._events.at(end, self._leave, (told, end - (end - start) * writing))
            if self._recorder is not None:
                self._recorder.message(self.name, "send", told, start, end)
            start = end
        if not script.expected:
            self._events.at(processor.coordinate(now, script.ends), self._over, flight)

    def _leave(self, written: tuple[Told, float]) -> None:
        told, since = written
        flight, message = told
        self._network.send(flight.connections[message], flight.script.nbytes[message], told, since)

    def arrive(self, told: Told) -> None:
        """A part of a result is there; with the last one the request is over."""
        flight, message = told
        now, processor = self._events.now, self._processor
        start = max(now, processor.coordinator_until)
        end = processor.coordinate(now, flight.script.receiving[message])
        if self._recorder is not None:
            self._recorder.message(self.name, "receive", told, start, end)
        flight.missing -= 1
        if not flight.missing:
            self._events.at(processor.coordinate(now, flight.script.ends), self._over, flight)

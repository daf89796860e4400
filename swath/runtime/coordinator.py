"""The coordinator: holds the input, wants the output, tells the workers what to do."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import Answer, Arrival, Change, Event, Fabric
from swath.fabric.frame import ONLY, Frame, Kind, Turn
from swath.graph.graph import Graph
from swath.plan.program import Programs
from swath.runtime.deployment import Deployment
from swath.runtime.inputs import Inputs, Outputs
from swath.runtime.install import COMMIT_TIMEOUT, CONTROL_TIMEOUT, Progress, bring, hear
from swath.runtime.recorder import Recorder, clock
from swath.runtime.recording import collect_recorded, measured_trace, start_recording
from swath.runtime.scatter import Gathering, Scatter
from swath.runtime.worker import Join, Key
from swath.trace.trace import Trace

JOIN_TIMEOUT = 5.0
"""Seconds for a worker to be there when a plan is installed."""


@dataclass(slots=True)
class _Request:
    """One request in flight."""

    gathering: Gathering
    recorder: Recorder | None = None
    error: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.gathering.is_complete


class Coordinator:
    """A coordinator on a fabric. Safe to use from several threads.

    There is no thread of its own: whoever waits for something takes in what arrives, for himself
    and for the others, so that nothing stands between a result and the one who wants it.
    """

    def __init__(self, join: Join) -> None:
        self._requests: dict[Key, _Request] = {}
        self._installed: dict[str, frozenset[str]] = {}
        self._reserved: dict[str, int] = {}
        self._salt = secrets.token_hex(8)
        self._closed = False
        self._numbers = itertools.count(1)
        self._installing = threading.Lock()
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._progressed = threading.Condition()
        self._scatters: dict[str, Scatter] = {}
        self._recorders: dict[str, Recorder] = {}
        self.fabric = join(self._land)

    def close(self) -> None:
        """Leave the cluster; workers drop what was installed for this coordinator. Requests in
        flight in other threads end with FabricError. Safe to call twice."""
        self._closed = True
        self.fabric.wake()
        with self._receiving, self._sending:
            self.fabric.close()

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Who is there

    def workers(self) -> tuple[str, ...]:
        """Names of the workers that are there now, sorted."""
        return tuple(member.name for member in self.fabric.members() if member.role == "worker")

    def wait_for(self, names: tuple[str, ...], timeout: float) -> None:
        """Until all these workers are there; raises FabricError for those that do not come."""
        if not self.wait_until(lambda: set(names) <= set(self.workers()), timeout):
            missing = sorted(set(names) - set(self.workers()))
            raise FabricError(
                f"worker {missing[0]!r} has not come within {timeout:.0f} s; is it running, "
                "and can it reach this machine?"
            )

    def gather(self, timeout: float, quiet: float = 0.3) -> tuple[str, ...]:
        """The workers that are found: waits for a first one, then until no more come."""
        self.wait_until(lambda: bool(self.workers()), timeout)
        found = self.workers()
        while found and self.wait_until(partial(self._differs, found), quiet):
            found = self.workers()
        return found

    def _differs(self, workers: tuple[str, ...]) -> bool:
        return self.workers() != workers

    def hello(self, worker: str) -> dict[str, Any]:
        """What a worker says of itself."""
        return hear(worker, self.fabric.ask(worker, "hello", timeout=CONTROL_TIMEOUT))

    # Installing a plan

    def install(
        self, programs: Programs, graph: Graph, progress: Progress | None = None
    ) -> Deployment:
        """Bring programs, tile models and weights to the workers and have them made ready.

        ``graph`` holds the weights. Raises WorkerError or FabricError; then the workers have
        dropped what they had got.
        """
        version = self._version(programs)
        devices = frozenset(programs.by_device)
        with self._installing:
            if version not in self._installed:
                self.wait_for(tuple(sorted(devices)), JOIN_TIMEOUT)
                try:
                    bring(self.fabric, version, programs, graph, progress)
                except BaseException:
                    self._tell_to_drop(version, devices)
                    raise
                self._scatters[version] = Scatter(programs)
                self._reserved[version] = 1
                self._installed[version] = devices
        return Deployment(self, programs, graph)

    def is_installed(self, programs: Programs) -> bool:
        """Whether requests can be made: False once a worker has gone, or after `drop`."""
        return self._version(programs) in self._installed

    def drop(self, programs: Programs) -> None:
        """Have the workers forget a plan; weights stay with them."""
        version = self._version(programs)
        self._scatters.pop(version, None)
        self._reserved.pop(version, None)
        for answer in self._tell_to_drop(version, self._installed.pop(version, frozenset())):
            answer.result()

    def _version(self, programs: Programs) -> str:
        """The programs as this coordinator has installed them: another one may have the same."""
        return programs.version[:16] + self._salt

    def _tell_to_drop(self, version: str, devices: frozenset[str]) -> list[Answer]:
        text = json.dumps({"version": version}).encode()
        answers = []
        for device in devices:
            with contextlib.suppress(FabricError):  # It has gone, and what it had with it.
                answers.append(self.fabric.ask(device, "drop", text, CONTROL_TIMEOUT))
        return answers

    def reserve(self, programs: Programs, requests: int) -> None:
        """Have the workers make memory for so many requests in flight at once.

        Raises WorkerError where one has not so much, or the plan is not installed, and FabricError.
        """
        version = self._version(programs)
        self._check_installed(version)
        if requests <= self._reserved.get(version, 1):
            return
        text = json.dumps({"version": version, "requests": requests}).encode()
        asked = [
            self.fabric.ask(device, "reserve", text, COMMIT_TIMEOUT)
            for device in programs.by_device
        ]
        for answer in asked:
            answer.result()
        self._reserved[version] = requests

    def _check_installed(self, version: str) -> None:
        if version not in self._installed:
            raise WorkerError(
                "a worker of the plan has gone, or the plan was dropped; install it again"
            )

    # Requests

    def begin(self, programs: Programs, inputs: Inputs, turn: Turn = ONLY) -> int:
        """Send a request's inputs to the workers; its number. Raises WorkerError or FabricError
        where a worker has gone."""
        number = next(self._numbers)
        version = self._version(programs)
        request = _Request(Gathering(programs), self._recorders.get(version))
        self._requests[version, number] = request
        try:
            if request.error is not None:
                raise request.error
            self._check_installed(version)
            with self._sending:
                self._send_inputs(programs, inputs, version, number, turn)
        except BaseException:
            del self._requests[version, number]
            self._cancel(programs, version, number)
            raise
        return number

    def _send_inputs(
        self, programs: Programs, inputs: Inputs, version: str, number: int, turn: Turn
    ) -> None:
        recorder = self._requests[version, number].recorder
        start = 0.0 if recorder is None else clock()
        for outgoing in self._scatters[version].messages(inputs):
            message = outgoing.message
            frame = Frame(Kind.DATA, message.number, number, version, outgoing.nbytes, turn)
            self.fabric.send(message.receiver, frame, outgoing.parts)
            if recorder is not None:
                recorder.sent(message.number, number, outgoing.nbytes, start)
                start = clock()
        for device, program in programs.by_device.items():
            if not program.incoming:
                self.fabric.send(device, Frame(Kind.BEGIN, 0, number, version, 0, turn))

    def is_over(self, programs: Programs, number: int) -> bool:
        """Whether a request that was begun is answered, or has failed: `finish` need not wait."""
        return self._requests[self._version(programs), number].is_over

    def finish(self, programs: Programs, number: int, timeout: float) -> Outputs:
        """The outputs of a request. Raises WorkerError where a worker failed or went away, and
        FabricError where the time is up; the request is then withdrawn everywhere, as it is when
        the wait is interrupted."""
        version = self._version(programs)
        request = self._requests[version, number]
        try:
            in_time = self.wait_until(lambda: request.is_over, timeout)
            if request.error is not None:
                raise request.error
            if not in_time:
                raise FabricError(f"no answer within {timeout:g} s; give more time with --timeout")
            return request.gathering.outputs()
        except BaseException:
            self._cancel(programs, version, number)
            raise
        finally:
            del self._requests[version, number]

    def withdraw(self, programs: Programs, number: int) -> None:
        """Nobody wants the outputs of this request any more."""
        version = self._version(programs)
        if self._requests.pop((version, number), None) is not None:
            self._cancel(programs, version, number)

    def _cancel(self, programs: Programs, version: str, number: int) -> None:
        with self._sending:
            for device in programs.by_device:
                with contextlib.suppress(FabricError):  # It is gone, its part of the request too.
                    self.fabric.send(device, Frame(Kind.CANCEL, 0, number, version, 0))

    def wait_until(self, is_over: Callable[[], bool], timeout: float) -> bool:
        """Take in what arrives until ``is_over()``; False when the time (seconds) is up."""
        deadline = time.monotonic() + timeout
        while not is_over():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._receiving.acquire(blocking=False):
                try:
                    self._check_open()
                    if not is_over():
                        self._handle(self.fabric.receive(left))
                finally:
                    self._receiving.release()
                with self._progressed:
                    self._progressed.notify_all()
            else:
                with self._progressed:
                    # Somebody else receives; he tells of every event, and when he stops.
                    if not is_over() and self._receiving.locked():
                        self._progressed.wait(min(left, 0.1))
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise FabricError("this cluster was closed; make or connect to another one")

    # Recording

    def record(self, programs: Programs, work: Callable[[], object]) -> Trace:
        """What happens on all devices while ``work`` has requests of these programs answered.

        One recording of a plan at a time. Raises what ``work`` raises, WorkerError or FabricError.
        """
        version = self._version(programs)
        devices = tuple(programs.by_device)
        offsets = start_recording(self.fabric, version, devices)
        recorder = self._recorders[version] = Recorder(programs.coordinator)
        try:
            work()
        except BaseException:
            with contextlib.suppress(FabricError, WorkerError):  # What it raised says more.
                collect_recorded(self.fabric, version, offsets)
            raise
        finally:
            del self._recorders[version]
        told = collect_recorded(self.fabric, version, offsets)
        return measured_trace(devices, (*recorder.spans, *told))

    @contextlib.contextmanager
    def taken_over(self) -> Iterator[tuple[Fabric, Callable[[Event], None]]]:
        """The fabric, to send and receive by hand; what else comes in is for the second."""
        with self._receiving, self._sending:
            self._check_open()
            yield self.fabric, self._handle

    # What comes in

    def _land(self, frame: Frame) -> memoryview | None:
        request = self._requests.get((frame.version, frame.request))
        if request is None or frame.kind != Kind.DATA:
            return None
        if request.recorder is not None:
            request.recorder.landing(frame)
        landing = request.gathering.landing(frame.number)
        if landing is not None and len(landing) != frame.nbytes:
            raise ValueError(f"message {frame.number} has {frame.nbytes} bytes, not {len(landing)}")
        return landing

    def _handle(self, event: Event | None) -> None:
        if isinstance(event, Arrival):
            self._take(event)
        elif isinstance(event, Change):
            if not event.came:
                self._lost(event.member.name)
        elif event is not None:
            event.refuse("a coordinator answers no questions")

    def _take(self, arrival: Arrival) -> None:
        frame = arrival.frame
        request = self._requests.get((frame.version, frame.request))
        if request is None:
            return
        try:
            if frame.kind == Kind.ERROR:
                told = json.loads(bytes(arrival.payload))
                request.error = WorkerError(f"worker {told['worker']!r}: {told['reason']}")
            elif frame.kind == Kind.DATA:
                request.gathering.deliver(frame.number, arrival.payload)
                if request.recorder is not None:
                    request.recorder.delivered(frame)
        except (KeyError, TypeError, ValueError) as error:
            request.error = WorkerError(f"a worker sent what is not understood ({error})")

    def _lost(self, name: str) -> None:
        for version, devices in list(self._installed.items()):
            if name in devices:
                self._installed.pop(version, None)
                self._tell_to_drop(version, devices)
        for request in list(self._requests.values()):
            if name in request.gathering.devices and not request.is_over:
                request.error = WorkerError(
                    f"worker {name!r} has gone while it was computing; was it stopped, "
                    "or out of memory?"
                )

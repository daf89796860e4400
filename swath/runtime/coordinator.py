"""The coordinator: holds the input, wants the output, tells the workers what to do."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import CHUNK_BYTES, Address, Answer, Arrival, Change, Event
from swath.fabric.frame import Frame, Kind
from swath.graph.graph import Graph
from swath.graph.weights import WeightSlice
from swath.plan.memory import peak_memory
from swath.plan.program import COORDINATOR, Program, Programs
from swath.plan.transport import program_to_json, weight_to_json
from swath.runtime.blobs import Wanted, chunks
from swath.runtime.inputs import check_inputs
from swath.runtime.scatter import Gathering, scatter
from swath.runtime.worker import Join, Key

CONTROL_TIMEOUT = 30.0
"""Seconds for a worker to answer a question that takes no computing."""

COMMIT_TIMEOUT = 300.0
"""Seconds for a worker to make its sessions."""

WINDOW = 8
"""Chunks of weights under way to one worker."""

Progress = Callable[[str, int, int], None]
"""(worker, bytes sent, bytes in all) while weights travel."""


@dataclass(slots=True)
class _Request:
    """One request in flight."""

    gathering: Gathering
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
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._progressed = threading.Condition()
        self.fabric = join(self._land)

    def close(self) -> None:
        """Leave the cluster; workers drop what was installed for this coordinator."""
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
        if not self._pump(lambda: set(names) <= set(self.workers()), timeout):
            missing = sorted(set(names) - set(self.workers()))
            raise FabricError(
                f"worker {missing[0]!r} has not come within {timeout:.0f} s; is it running, "
                "and can it reach this machine?"
            )

    def gather(self, timeout: float, quiet: float = 0.3) -> tuple[str, ...]:
        """The workers that are found: waits for a first one, then until no more come."""
        self._pump(lambda: bool(self.workers()), timeout)
        found = self.workers()
        while found and self._pump(partial(self._differs, found), quiet):
            found = self.workers()
        return found

    def _differs(self, workers: tuple[str, ...]) -> bool:
        return self.workers() != workers

    def hello(self, worker: str) -> dict[str, Any]:
        """What a worker says of itself."""
        said: dict[str, Any] = json.loads(self.fabric.ask(worker, "hello").result())
        return said

    def time_model(self, worker: str, model: bytes) -> float:
        """Seconds that one run of an ONNX model (float inputs) takes a worker."""
        answer = self.fabric.ask(worker, "time", model, CONTROL_TIMEOUT)
        return float(json.loads(answer.result())["seconds"])

    # Installing a plan

    def install(
        self, programs: Programs, graph: Graph, progress: Progress | None = None
    ) -> Deployment:
        """Bring programs, tile models and weights to the workers and have them made ready.

        ``graph`` holds the weights. Raises WorkerError or FabricError.
        """
        devices = tuple(programs.by_device)
        self.wait_for(devices, CONTROL_TIMEOUT)
        addresses = self._addresses(devices)
        for device in devices:
            self.fabric.reach(addresses[device])
        peaks = peak_memory(programs)
        asked = {
            device: self._ask_install(device, program, programs.version, peaks[device], addresses)
            for device, program in programs.by_device.items()
        }
        wanted = {
            device: Wanted.from_json(json.loads(answer.result()))
            for device, answer in asked.items()
        }
        for device, blobs in wanted.items():
            self._send_blobs(device, blobs, programs, graph, progress)
        version = json.dumps({"version": programs.version}).encode()
        commits = [self.fabric.ask(d, "commit", version, COMMIT_TIMEOUT) for d in devices]
        for commit in commits:
            commit.result()
        return Deployment(self, programs, graph)

    def drop(self, programs: Programs) -> None:
        """Have the workers forget a plan; weights stay with them."""
        version = json.dumps({"version": programs.version}).encode()
        present = self.workers()
        answers = [self.fabric.ask(d, "drop", version) for d in programs.by_device if d in present]
        for answer in answers:
            answer.result()

    def _addresses(self, devices: tuple[str, ...]) -> dict[str, Address]:
        addresses = {COORDINATOR: self.fabric.address}
        for device in devices:
            said = self.hello(device)["address"]
            addresses[device] = Address(device, tuple(said["places"]), said["token"])
        return addresses

    def _ask_install(
        self,
        device: str,
        program: Program,
        version: str,
        peak: int,
        addresses: Mapping[str, Address],
    ) -> Answer:
        peers = [addresses[m] for m in dict.fromkeys(m.receiver for m in program.outgoing)]
        # The coordinator must hear of errors also from those who send it nothing else.
        peers.append(addresses[COORDINATOR])
        text = json.dumps(
            {
                "version": version,
                "coordinator": self.fabric.name,
                "program": program_to_json(program),
                "peak_memory": peak,
                "peers": {peer.name: [peer.places, peer.token] for peer in peers},
            }
        )
        return self.fabric.ask(device, "install", text.encode(), CONTROL_TIMEOUT)

    def _send_blobs(
        self,
        device: str,
        wanted: Wanted,
        programs: Programs,
        graph: Graph,
        progress: Progress | None,
    ) -> None:
        total = sum(weight.nbytes for weight in wanted.weights)
        sent = 0
        window: deque[Answer] = deque()
        for chunk in _blob_chunks(wanted, programs, graph):
            if len(window) == WINDOW:
                window.popleft().result()
            window.append(self.fabric.ask(device, "store", chunk, CONTROL_TIMEOUT))
            sent += len(chunk)
            if progress is not None:
                progress(device, min(sent, total), total)
        for answer in window:
            answer.result()

    # Requests

    def begin(self, programs: Programs, inputs: Mapping[str, np.ndarray]) -> int:
        """Send a request's inputs to the workers; its number."""
        number = next(self._numbers)
        version = programs.version
        self._requests[version, number] = _Request(Gathering(programs))
        with self._sending:
            for outgoing in scatter(programs, inputs):
                message = outgoing.message
                frame = Frame(Kind.DATA, message.number, number, version, outgoing.nbytes)
                self.fabric.send(message.receiver, frame, outgoing.parts)
            for device, program in programs.by_device.items():
                if not program.incoming:
                    self.fabric.send(device, Frame(Kind.BEGIN, 0, number, version, 0))
        return number

    def finish(self, programs: Programs, number: int, timeout: float) -> dict[str, np.ndarray]:
        """The outputs of a request. Raises WorkerError where a worker failed or went away, and
        FabricError where the time is up; the request is then withdrawn everywhere."""
        key = (programs.version, number)
        request = self._requests[key]
        try:
            in_time = self._pump(lambda: request.is_over, timeout)
        finally:
            del self._requests[key]
        if in_time and request.error is None:
            return request.gathering.outputs()
        self._cancel(programs, number)
        if request.error is not None:
            raise request.error
        raise FabricError(f"no answer within {timeout:g} s; give more time with --timeout")

    def _cancel(self, programs: Programs, number: int) -> None:
        with self._sending:
            for device in programs.by_device:
                try:
                    frame = Frame(Kind.CANCEL, 0, number, programs.version, 0)
                    self.fabric.send(device, frame)
                except FabricError:
                    continue  # It is gone, and its part of the request with it.

    def _pump(self, is_over: Callable[[], bool], timeout: float) -> bool:
        """Take in what arrives until ``is_over()``; False when the time is up."""
        deadline = time.monotonic() + timeout
        while not is_over():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._receiving.acquire(blocking=False):
                try:
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

    # What comes in

    def _land(self, frame: Frame) -> memoryview | None:
        request = self._requests.get((frame.version, frame.request))
        if request is None or frame.kind != Kind.DATA:
            return None
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
        if frame.kind == Kind.ERROR:
            told = json.loads(bytes(arrival.payload))
            request.error = WorkerError(f"worker {told['worker']!r}: {told['reason']}")
        elif frame.kind == Kind.DATA:
            request.gathering.deliver(frame.number, arrival.payload)

    def _lost(self, name: str) -> None:
        for request in list(self._requests.values()):
            if name in request.gathering.devices and not request.is_over:
                request.error = WorkerError(
                    f"worker {name!r} has gone while it was computing; was it stopped, "
                    "or out of memory?"
                )


class Deployment:
    """A plan that is installed on the workers, ready for requests from any thread."""

    def __init__(self, coordinator: Coordinator, programs: Programs, graph: Graph) -> None:
        self.programs = programs
        self._coordinator = coordinator
        self._graph = graph

    def run(
        self, inputs: Mapping[str, np.ndarray], timeout: float = 60.0
    ) -> dict[str, np.ndarray]:
        """One request: every output by name.

        ``inputs`` must have the model's names, shapes and types; raises InputError otherwise,
        WorkerError where a worker fails, FabricError after ``timeout`` seconds.
        """
        checked = check_inputs(self._graph, inputs)
        number = self._coordinator.begin(self.programs, checked)
        made = self._coordinator.finish(self.programs, number, timeout)
        return {name: self._output(name, made, checked) for name in self._graph.outputs}

    def timed(
        self, inputs: Mapping[str, np.ndarray], timeout: float = 60.0
    ) -> tuple[dict[str, np.ndarray], float]:
        """`run`, and the seconds from the input arrays to the output arrays."""
        start = time.perf_counter()
        outputs = self.run(inputs, timeout)
        return outputs, time.perf_counter() - start

    def _output(
        self, name: str, made: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """An output that the workers made, or an input or constant handed through."""
        if name in made:
            return made[name]
        if name in inputs:
            return inputs[name].copy()
        data = self._graph.constants[name].data
        assert data is not None
        return data.copy()


def _blob_chunks(wanted: Wanted, programs: Programs, graph: Graph) -> Iterator[bytes]:
    for digest in wanted.models:
        content = memoryview(programs.models[digest])
        yield from chunks({"model": digest}, content, CHUNK_BYTES)
    for weight in wanted.weights:
        yield from chunks({"weight": weight_to_json(weight)}, _content(weight, graph), CHUNK_BYTES)


def _content(weight: WeightSlice, graph: Graph) -> memoryview:
    array = np.ascontiguousarray(graph.weights[weight.digest][weight.region.slices()])
    return memoryview(array.reshape(-1).view(np.uint8))

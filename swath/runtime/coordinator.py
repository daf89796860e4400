"""The coordinator: holds the input, wants the output, tells the workers what to do."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from swath.errors import FabricError, InputError, WorkerError
from swath.fabric.fabric import CHUNK_BYTES, Answer, Fabric, Handlers, Member, Question
from swath.graph.graph import Graph
from swath.graph.weights import WeightSlice
from swath.plan.memory import peak_memory
from swath.plan.program import COORDINATOR, Message, Programs
from swath.plan.wire import (
    BEGIN,
    CANCEL,
    DATA,
    ERROR,
    HEADER_BYTES,
    Header,
    program_to_json,
    read_header,
    weight_to_json,
    write_header,
)
from swath.runtime.blobs import Wanted, chunks
from swath.runtime.executor import Payload
from swath.runtime.scatter import Gathering, scatter
from swath.runtime.worker import Join

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
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Coordinator:
    """A coordinator on a fabric. Safe to use from several threads."""

    def __init__(self, join: Join) -> None:
        self._requests: dict[tuple[str, int], _Request] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._gone: dict[str, Member] = {}
        self._arrived = threading.Condition()
        self.fabric = join(Handlers(self._on_data, self._on_question, self._on_change))

    def close(self) -> None:
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
        with self._arrived:
            if self._arrived.wait_for(lambda: set(names) <= set(self.workers()), timeout):
                return
        missing = sorted(set(names) - set(self.workers()))
        raise FabricError(
            f"worker {missing[0]!r} has not come within {timeout:.0f} s; is it running, "
            "and can it reach this machine?"
        )

    def ask(self, worker: str, verb: str, payload: bytes = b"") -> Answer:
        return self.fabric.ask(worker, verb, payload)

    # Installing a plan

    def install(
        self, programs: Programs, graph: Graph, progress: Progress | None = None
    ) -> Deployment:
        """Bring programs, tile models and weights to the workers and have them made ready.

        ``graph`` holds the weights. Raises WorkerError or FabricError.
        """
        peaks = peak_memory(programs)
        data = {
            constant.digest: constant.data
            for constant in graph.constants.values()
            if not constant.is_parameter and constant.data is not None
        }
        asked = {}
        for device, program in programs.by_device.items():
            text = json.dumps(
                {
                    "version": programs.version,
                    "coordinator": self.fabric.name,
                    "program": program_to_json(program),
                    "peak_memory": peaks[device],
                }
            )
            asked[device] = self.ask(device, "install", text.encode())
        wanted = {
            device: Wanted.from_json(json.loads(answer.result(CONTROL_TIMEOUT)))
            for device, answer in asked.items()
        }
        for device, blobs in wanted.items():
            self._send_blobs(device, blobs, programs, data, progress)
        version = json.dumps({"version": programs.version}).encode()
        commits = [self.ask(device, "commit", version) for device in programs.by_device]
        for commit in commits:
            commit.result(COMMIT_TIMEOUT)
        return Deployment(self, programs, graph)

    def _send_blobs(
        self,
        device: str,
        wanted: Wanted,
        programs: Programs,
        data: Mapping[str, np.ndarray],
        progress: Progress | None,
    ) -> None:
        total = sum(weight.nbytes for weight in wanted.weights)
        sent = 0
        window: deque[Answer] = deque()
        for chunk in _blob_chunks(wanted, programs, data):
            if len(window) == WINDOW:
                window.popleft().result(CONTROL_TIMEOUT)
            window.append(self.ask(device, "store", chunk))
            sent += len(chunk)
            if progress is not None:
                progress(device, min(sent, total), total)
        for answer in window:
            answer.result(CONTROL_TIMEOUT)

    # Requests

    def begin(self, programs: Programs, inputs: Mapping[str, np.ndarray]) -> int:
        """Send a request's inputs to the workers; its number."""
        number = next(self._numbers)
        request = _Request(Gathering(programs))
        self._requests[programs.version, number] = request
        version = programs.version
        composed: list[memoryview] = []

        def allocate(message: Message) -> memoryview:
            memory = self.fabric.allocate(message.receiver, HEADER_BYTES + message.nbytes)
            write_header(memory, Header(DATA, message.number, number, version))
            composed.append(memory)
            return memory[HEADER_BYTES:]

        for outgoing in scatter(programs, inputs, allocate):
            self.fabric.send(outgoing.message.receiver, composed.pop())
        for device, program in programs.by_device.items():
            if not program.incoming:
                self._signal(device, Header(BEGIN, 0, number, version))
        return number

    def finish(self, programs: Programs, number: int, timeout: float) -> dict[str, np.ndarray]:
        """The outputs of a request. Raises WorkerError where a worker failed or went away, and
        FabricError where the time is up; the request is then withdrawn everywhere."""
        key = (programs.version, number)
        request = self._requests[key]
        in_time = request.done.wait(timeout)
        with self._lock:
            del self._requests[key]
        if in_time and request.error is None:
            return request.gathering.outputs()
        for device in programs.by_device:
            if device in self.workers():
                self._signal(device, Header(CANCEL, 0, number, programs.version))
        if request.error is not None:
            raise request.error
        raise FabricError(f"no answer within {timeout:g} s; give more time with --timeout")

    def _signal(self, device: str, header: Header) -> None:
        memory = self.fabric.allocate(device, HEADER_BYTES)
        write_header(memory, header)
        self.fabric.send(device, memory)

    # What comes in (called from the fabric's threads)

    def _on_data(self, message: memoryview) -> None:
        header = read_header(message)
        request = self._requests.get((header.version, header.request))
        if request is None:
            return
        payload: Payload = message[HEADER_BYTES:]
        if header.kind == ERROR:
            told = json.loads(bytes(payload))
            request.error = WorkerError(f"worker {told['worker']!r}: {told['reason']}")
            request.done.set()
            return
        request.gathering.deliver(header.number, payload)
        if request.gathering.is_complete:
            request.done.set()

    def _on_question(self, question: Question) -> None:
        question.refuse("a coordinator answers no questions")

    def _on_change(self, member: Member, came: bool) -> None:
        with self._arrived:
            self._arrived.notify_all()
        if came:
            return
        with self._lock:
            requests = list(self._requests.items())
        for _, request in requests:
            if member.name in request.gathering.devices and not request.done.is_set():
                request.error = WorkerError(
                    f"worker {member.name!r} has gone while it was computing; start it again"
                )
                request.done.set()


class Deployment:
    """A plan that is installed on the workers, ready for requests."""

    def __init__(self, coordinator: Coordinator, programs: Programs, graph: Graph) -> None:
        self.programs = programs
        self._coordinator = coordinator
        self._graph = graph

    def run(
        self, inputs: Mapping[str, np.ndarray], timeout: float = 60.0
    ) -> dict[str, np.ndarray]:
        """One request: every output by name. ``inputs`` must have the model's names, shapes and
        types; raises InputError otherwise."""
        checked = check_inputs(self._graph, inputs)
        number = self._coordinator.begin(self.programs, checked)
        outputs = self._coordinator.finish(self.programs, number, timeout)
        for name in self._graph.outputs:
            if name in checked:
                outputs[name] = checked[name].copy()
            elif name in self._graph.constants:
                data = self._graph.constants[name].data
                assert data is not None
                outputs[name] = data.copy()
        return {name: outputs[name] for name in self._graph.outputs}


def check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs as C-contiguous arrays; raises InputError in one line for what does not fit."""
    for name in inputs:
        if name not in graph.inputs:
            raise InputError(
                f"input {name!r} is not one of the model's: {', '.join(graph.inputs) or 'none'}"
            )
    checked = {}
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(f"input {name!r} is missing; the model needs {', '.join(graph.inputs)}")
        array, tensor = np.asarray(inputs[name]), graph.tensors[name]
        if tensor.shape is not None and array.shape != tensor.shape:
            raise InputError(
                f"input {name!r} has shape {list(array.shape)}, the model needs {list(tensor.shape)}"
            )
        if tensor.dtype and array.dtype.name != tensor.dtype:
            raise InputError(
                f"input {name!r} is of type {array.dtype.name}, the model needs {tensor.dtype}"
            )
        checked[name] = np.ascontiguousarray(array).reshape(array.shape)
    return checked


def _blob_chunks(
    wanted: Wanted, programs: Programs, data: Mapping[str, np.ndarray]
) -> Iterator[bytes]:
    for digest in wanted.models:
        yield from chunks({"model": digest}, memoryview(programs.models[digest]), CHUNK_BYTES)
    for weight in wanted.weights:
        content = _content(weight, data)
        yield from chunks({"weight": weight_to_json(weight)}, content, CHUNK_BYTES)


def _content(weight: WeightSlice, data: Mapping[str, np.ndarray]) -> memoryview:
    array = np.ascontiguousarray(data[weight.digest][weight.region.slices()])
    return memoryview(array.reshape(-1).view(np.uint8)).cast("B")


__all__ = ["COORDINATOR", "Coordinator", "Deployment", "check_inputs"]

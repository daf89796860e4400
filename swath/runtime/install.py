"""Bringing a plan to the workers: programs, tile models, and the weights that they lack."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from swath.errors import WorkerError
from swath.fabric.fabric import CHUNK_BYTES, Address, Answer, Fabric
from swath.graph.graph import Graph
from swath.graph.weights import WeightSlice
from swath.plan.memory import peak_memory
from swath.plan.program import COORDINATOR, Program, Programs
from swath.plan.transport import program_to_json, weight_to_json
from swath.runtime.blobs import Wanted, chunks

CONTROL_TIMEOUT = 30.0
"""Seconds for a worker to answer a question that takes no computing."""

COMMIT_TIMEOUT = 300.0
"""Seconds for a worker to make its sessions."""

WINDOW = 8
"""Chunks of weights under way to one worker."""

Progress = Callable[[str, int, int], None]
"""(worker, bytes sent, bytes in all) while weights travel."""


def bring(
    fabric: Fabric,
    version: str,
    programs: Programs,
    graph: Graph,
    progress: Progress | None = None,
) -> None:
    """Have every worker of the programs ready for requests under ``version``.

    ``graph`` holds the weights. Raises WorkerError or FabricError.
    """
    devices = tuple(programs.by_device)
    addresses = _addresses(fabric, devices)
    for device in devices:
        fabric.reach(addresses[device])
    peaks = peak_memory(programs)
    asked = {}
    for device, program in programs.by_device.items():
        text = _install_question(fabric.name, version, program, peaks[device], addresses)
        asked[device] = fabric.ask(device, "install", text, CONTROL_TIMEOUT)
    wanted = {}
    for device, answer in asked.items():
        said = hear(device, answer)
        with understanding(device):
            wanted[device] = Wanted.from_json(said)
    for device, blobs in wanted.items():
        _send_blobs(fabric, device, blobs, programs, graph, progress)
    text = json.dumps({"version": version}).encode()
    commits = [fabric.ask(device, "commit", text, COMMIT_TIMEOUT) for device in devices]
    for commit in commits:
        commit.result()


def hear(worker: str, answer: Answer) -> dict[str, Any]:
    """A worker's answer, read; raises WorkerError for one that is not JSON."""
    text = answer.result()
    with understanding(worker):
        said: dict[str, Any] = dict(json.loads(text))
    return said


@contextlib.contextmanager
def understanding(worker: str) -> Iterator[None]:
    """What a worker says may be anything; raises WorkerError where it cannot be read."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError(
            f"worker {worker!r} says what is not understood ({type(error).__name__}: {error}); "
            "install the same version of swath on both"
        ) from None


def _addresses(fabric: Fabric, devices: tuple[str, ...]) -> dict[str, Address]:
    """Where everybody takes data, the coordinator included."""
    addresses = {COORDINATOR: fabric.address}
    answers = {device: fabric.ask(device, "hello", timeout=CONTROL_TIMEOUT) for device in devices}
    for device, answer in answers.items():
        said = hear(device, answer)
        with understanding(device):
            places = tuple(str(place) for place in said["address"]["places"])
            addresses[device] = Address(device, places, str(said["address"]["token"]))
    return addresses


def _install_question(
    coordinator: str,
    version: str,
    program: Program,
    peak_memory: int,
    addresses: Mapping[str, Address],
) -> bytes:
    peers = [addresses[name] for name in dict.fromkeys(m.receiver for m in program.outgoing)]
    # The coordinator must hear of errors also from those who send it nothing else.
    peers.append(addresses[COORDINATOR])
    question = {
        "version": version,
        "coordinator": coordinator,
        "program": program_to_json(program),
        "peak_memory": peak_memory,
        "peers": {peer.name: [peer.places, peer.token] for peer in peers},
    }
    return json.dumps(question).encode()


def _send_blobs(
    fabric: Fabric,
    device: str,
    wanted: Wanted,
    programs: Programs,
    graph: Graph,
    progress: Progress | None,
) -> None:
    with understanding(device):
        total = sum(weight.nbytes for weight in wanted.weights)
        total += sum(len(programs.models[digest]) for digest in wanted.models)
    sent = 0
    window: deque[Answer] = deque()
    for chunk in _blob_chunks(device, wanted, programs, graph):
        if len(window) == WINDOW:
            window.popleft().result()
        window.append(fabric.ask(device, "store", chunk, CONTROL_TIMEOUT))
        sent += len(chunk)
        if progress is not None:
            progress(device, min(sent, total), total)
    for answer in window:
        answer.result()


def _blob_chunks(device: str, wanted: Wanted, programs: Programs, graph: Graph) -> Iterator[bytes]:
    for digest in wanted.models:
        yield from chunks({"model": digest}, memoryview(programs.models[digest]), CHUNK_BYTES)
    for weight in wanted.weights:
        with understanding(device):
            content = _content(weight, graph)
        yield from chunks({"weight": weight_to_json(weight)}, content, CHUNK_BYTES)


def _content(weight: WeightSlice, graph: Graph) -> memoryview:
    array = np.ascontiguousarray(graph.weights[weight.digest][weight.region.slices()])
    return array.reshape(-1).view(np.uint8).data

"""A worker: one device's process. Takes programs, weights and messages; computes; sends.

Everything happens on one thread, in the order in which it comes in; the fabric's threads only put
events into the inbox. Between two steps of a program the inbox is emptied, so that a request that
became ready is seen at once; the oldest request that can go on goes first.
"""

from __future__ import annotations

import json
import logging
import os
import queue
from collections.abc import Callable
from dataclasses import dataclass, field

import onnxruntime

from swath.engine.session import Session
from swath.engine.timing import time_model
from swath.errors import SwathError
from swath.fabric.fabric import Fabric, Handlers, Member, Question
from swath.plan.memory import Layout, layout
from swath.plan.program import COORDINATOR, Compute, Message, Program
from swath.plan.wire import (
    BEGIN,
    CANCEL,
    DATA,
    ERROR,
    HEADER_BYTES,
    Header,
    program_from_json,
    read_header,
    write_header,
)
from swath.runtime.blobs import BlobStore
from swath.runtime.executor import Executor, Instance

logger = logging.getLogger(__name__)

Event = memoryview | Question | tuple[Member, bool] | None
"""A data message, a question, a member that came or went, or None: stop."""

Join = Callable[[Handlers], Fabric]


@dataclass(slots=True)
class Installed:
    """A program that is ready to run. ``coordinator``: the fabric's name of who wants the results."""

    program: Program
    coordinator: str
    sessions: dict[int, Session] = field(default_factory=dict)
    layout: Layout | None = None
    idle: list[Instance] = field(default_factory=list)
    newest_done: int = -1


class Worker:
    """A worker on a fabric; `run` returns when it is told to stop."""

    def __init__(self, join: Join, threads: int = 1, memory: int | None = None) -> None:
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._threads = threads
        self._memory = memory
        self._blobs = BlobStore()
        self._sessions: dict[str, Session] = {}
        self._installed: dict[str, Installed] = {}
        self._active: dict[tuple[str, int], tuple[Executor, Instance]] = {}
        self._stopping = False
        self.fabric = join(
            Handlers(
                on_data=self._inbox.put,
                on_question=self._inbox.put,
                on_change=lambda member, came: self._inbox.put((member, came)),
            )
        )

    def stop(self) -> None:
        """Make `run` return; may be called from any thread or signal handler."""
        self._inbox.put(None)

    def run(self) -> None:
        try:
            while not self._stopping:
                self._handle(self._inbox.get())
                while self._step():
                    self._drain()
        finally:
            self.fabric.close()

    def _drain(self) -> None:
        while True:
            try:
                self._handle(self._inbox.get_nowait())
            except queue.Empty:
                return

    def _handle(self, event: Event) -> None:
        if event is None:
            self._stopping = True
        elif isinstance(event, memoryview):
            self._take(event)
        elif isinstance(event, tuple):
            self._member_changed(*event)
        else:
            self._answer(event)

    # Requests

    def _take(self, message: memoryview) -> None:
        try:
            header = read_header(message)
        except ValueError as error:
            logger.warning("ignored %s", error)
            return
        key = (header.version, header.request)
        installed = self._installed.get(header.version)
        if installed is None or header.request <= installed.newest_done and key not in self._active:
            return
        if header.kind == CANCEL:
            self._end(key)
            return
        if key not in self._active:
            self._active[key] = self._begin(installed)
        if header.kind == DATA and header.number in installed.program.messages:
            self._active[key][0].deliver(header.number, message[HEADER_BYTES:])

    def _begin(self, installed: Installed) -> tuple[Executor, Instance]:
        if not installed.idle:
            assert installed.layout is not None
            installed.idle.append(Instance(installed.program, installed.sessions, installed.layout))
        instance = installed.idle.pop()
        return Executor(installed.program, installed.sessions, instance), instance

    def _end(self, key: tuple[str, int]) -> None:
        version, request = key
        installed = self._installed[version]
        installed.newest_done = max(installed.newest_done, request)
        if key in self._active:
            installed.idle.append(self._active.pop(key)[1])

    def _step(self) -> bool:
        """Run one step of the oldest request that can go on; False where none can."""
        for key in sorted(self._active, key=lambda key: key[1]):
            executor, _ = self._active[key]
            if executor.is_ready():
                self._advance(key, executor)
                return True
        return False

    def _advance(self, key: tuple[str, int], executor: Executor) -> None:
        version, request = key
        installed = self._installed[version]

        def address(message: Message) -> str:
            to_coordinator = message.receiver == COORDINATOR
            return installed.coordinator if to_coordinator else message.receiver

        def allocate(message: Message) -> memoryview:
            memory = self.fabric.allocate(address(message), HEADER_BYTES + message.nbytes)
            write_header(memory, Header(DATA, message.number, request, version))
            composed.append(memory)
            return memory[HEADER_BYTES:]

        composed: list[memoryview] = []
        try:
            sent = executor.advance(allocate)
            if sent is not None:
                self.fabric.send(address(sent.message), composed[0] if composed else _loose(
                    self.fabric, address(sent.message), sent.payload,
                    Header(DATA, sent.message.number, request, version)))
        except Exception as error:
            reason = str(error) if isinstance(error, SwathError) else f"{type(error).__name__}: {error}"
            logger.warning("request %d failed: %s", request, reason)
            self._report(installed.coordinator, Header(ERROR, 0, request, version), reason)
            self._end(key)
            return
        if executor.is_done:
            self._end(key)

    def _report(self, coordinator: str, header: Header, reason: str) -> None:
        text = json.dumps({"worker": self.fabric.name, "reason": reason}).encode()
        try:
            self.fabric.send(coordinator, _loose(self.fabric, coordinator, text, header))
        except SwathError:
            logger.warning("nobody there to tell")

    # Members and questions

    def _member_changed(self, member: Member, came: bool) -> None:
        if came or member.role != "coordinator":
            return
        for version, installed in list(self._installed.items()):
            if installed.coordinator == member.name:
                self._drop(version)

    def _answer(self, question: Question) -> None:
        verbs: dict[str, Callable[[bytes], object]] = {
            "hello": self._hello,
            "install": self._install,
            "store": self._blobs.take,
            "commit": self._commit,
            "drop": lambda payload: self._drop(json.loads(payload)["version"]),
            "time": lambda payload: {"seconds": time_model(payload, self._threads)},
            "stop": lambda payload: self.stop(),
        }
        verb = verbs.get(question.verb)
        if verb is None:
            question.refuse(f"the question {question.verb!r} is not known here")
            return
        try:
            result = verb(question.payload)
        except MemoryError:
            question.refuse("out of memory; use more devices or a smaller input")
        except Exception as error:
            logger.debug("refused %s", question.verb, exc_info=True)
            question.refuse(" ".join(str(error).split()) or type(error).__name__)
        else:
            question.answer(json.dumps(result).encode() if result is not None else b"")

    def _hello(self, payload: bytes) -> object:
        import psutil

        return {
            "name": self.fabric.name,
            "pid": os.getpid(),
            "threads": self._threads,
            "cores": len(os.sched_getaffinity(0)),
            "memory": self._memory or psutil.virtual_memory().total,
            "engine": f"onnxruntime {onnxruntime.__version__}",
        }

    def _install(self, payload: bytes) -> object:
        data = json.loads(payload)
        program = program_from_json(data["program"])
        self._check_memory(int(data["peak_memory"]))
        self._installed[data["version"]] = Installed(program, data["coordinator"])
        return self._blobs.want([program]).to_json()

    def _check_memory(self, needed: int) -> None:
        import psutil

        free = psutil.virtual_memory().available
        limit = free if self._memory is None else min(free, self._memory)
        if needed > limit:
            raise MemoryError

    def _commit(self, payload: bytes) -> object:
        installed = self._installed[json.loads(payload)["version"]]
        if self._blobs.lacks():
            raise ValueError(f"blob {self._blobs.lacks()[0]} has not come; install again")
        for index, step in enumerate(installed.program.steps):
            if isinstance(step, Compute):
                installed.sessions[index] = self._session(step)
        installed.layout = layout(installed.program)
        installed.idle.append(Instance(installed.program, installed.sessions, installed.layout))
        return None

    def _session(self, step: Compute) -> Session:
        key = f"{step.model}{sorted((n, w.digest, w.region) for n, w in step.weights.items())}"
        if key not in self._sessions:
            weights = {name: self._blobs.weights.get(w) for name, w in step.weights.items()}
            self._sessions[key] = Session(self._blobs.models[step.model], weights, self._threads)
        return self._sessions[key]

    def _drop(self, version: str) -> None:
        for key in [key for key in self._active if key[0] == version]:
            del self._active[key]
        self._installed.pop(version, None)
        in_use = {id(s) for i in self._installed.values() for s in i.sessions.values()}
        self._sessions = {k: s for k, s in self._sessions.items() if id(s) in in_use}


def _loose(fabric: Fabric, receiver: str, payload: bytes, header: Header) -> memoryview:
    """A message whose size is only known when it is there."""
    memory = fabric.allocate(receiver, HEADER_BYTES + len(payload))
    write_header(memory, header)
    memory[HEADER_BYTES:] = payload
    return memory

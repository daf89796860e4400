"""A worker: one device's process. Takes programs, weights and messages; computes; sends.

Everything happens on one thread, in the order in which it comes in. Between two steps of a program
what has arrived is looked at, so that a request that became ready is seen at once. Flows of
requests take turns (`swath.plan.turns`); of each the oldest request that can go on goes first.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnxruntime

from swath.engine.session import Session
from swath.errors import SwathError
from swath.fabric.fabric import Address, Arrival, Change, Event, Fabric, Land, Member, Question
from swath.fabric.frame import Frame, Kind, Turn
from swath.plan.program import COORDINATOR, Compute, Program
from swath.plan.transport import program_from_json
from swath.plan.turns import Turns
from swath.runtime.blobs import BlobStore
from swath.runtime.executor import Executor, Outgoing
from swath.runtime.instance import Instance, instance_bytes
from swath.runtime.profiling.answers import Answers
from swath.runtime.profiling.machine import machine_to_json
from swath.runtime.recorder import Recorder, boot_id, clock, spans_to_json

if TYPE_CHECKING:
    from swath.runtime.cpu_load import CpuLoad

logger = logging.getLogger(__name__)

Join = Callable[[Land], Fabric]

Key = tuple[str, int]
"""(version of the programs, number of the request)."""

Flow = tuple[str, int]
"""(coordinator, one of its flows of requests)."""

KEPT = 4
"""Requests whose memory stays for those to come, where nobody has reserved more."""

REMEMBERED = 4096
"""Requests that were withdrawn and whose late messages are still recognised."""

MAX_REASON = 500
"""Characters of an error that the coordinator is told; engines can be verbose."""

_OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "BFCArena", "Unable to allocate")
"""How ONNX Runtime and numpy say it."""


@dataclass(slots=True)
class Installed:
    """A program on this device. ``coordinator``: the member who wants the results; ``idle``: memory
    of requests that are over, for the next; ``reserved``: how many may be in flight at once, as far
    as memory was looked after; ``recorder``: notes what happens when, where that was asked for."""

    program: Program
    coordinator: str
    sessions: dict[int, Session] = field(default_factory=dict)
    idle: list[Instance] = field(default_factory=list)
    reserved: int = 1
    recorder: Recorder | None = None

    def receiver_of(self, outgoing: Outgoing) -> str:
        receiver = outgoing.message.receiver
        return self.coordinator if receiver == COORDINATOR else receiver


@dataclass(frozen=True, slots=True)
class Active:
    """A request that was begun here."""

    executor: Executor
    turn: Turn


class Worker:
    """A worker on a fabric; `run` returns when it is told to stop."""

    def __init__(self, join: Join, threads: int = 1, memory: int | None = None) -> None:
        self._threads = threads
        self._memory = memory
        self._blobs = BlobStore()
        self._sessions: dict[str, Session] = {}
        self._installed: dict[str, Installed] = {}
        self._active: dict[Key, Active] = {}
        self._turns: Turns[Flow] = Turns()
        self._withdrawn: dict[Key, None] = {}
        self._resident_at_start = _resident_bytes()
        self._stopping = False
        self._load: CpuLoad | None = None
        self._profiling = Answers(threads, self._handle)
        self._fabric = join(self._land)

    @property
    def fabric(self) -> Fabric:
        return self._fabric

    def stop(self) -> None:
        """Make `run` return; may be called from any thread or a signal handler."""
        self._stopping = True
        self._fabric.wake()

    def run(self) -> None:
        """Serve until `stop`, or until a coordinator says so; leaves the fabric."""
        try:
            while not self._stopping:
                self._handle(self._fabric.receive(None))
                while self._step() and not self._stopping:
                    self._look()
        finally:
            self._fabric.close()

    def _look(self) -> None:
        """Handle what has arrived, without waiting."""
        while True:
            event = self._fabric.receive(0.0)
            if event is None:
                return
            self._handle(event)

    def _handle(self, event: Event | None) -> None:
        try:
            if isinstance(event, Arrival):
                self._take(event)
            elif isinstance(event, Change):
                self._member_changed(event.member, event.came)
            elif event is not None:
                self._answer(event)
        except Exception:
            # Whatever one member sent, the others are still served.
            logger.exception("an event could not be handled")

    # Requests

    def _land(self, frame: Frame) -> memoryview | None:
        """Memory for a message that comes in; raises ValueError for one that nobody waits for."""
        if frame.kind != Kind.DATA:
            return None
        installed = self._installed.get(frame.version)
        if installed is None:
            return self._profiling.landing(frame)
        if frame.number not in installed.program.messages:
            return None
        if installed.recorder is not None:
            installed.recorder.landing(frame)
        key = (frame.version, frame.request)
        try:
            executor = self._executor(installed, key, frame.turn)
        except Exception as error:
            self._fail(installed, key, error)
            return None
        landing = None if executor is None else executor.instance.landing.get(frame.number)
        if landing is not None and len(landing) != frame.nbytes:
            raise ValueError(f"message {frame.number} has {frame.nbytes} bytes, not {len(landing)}")
        return landing

    def _executor(self, installed: Installed, key: Key, turn: Turn) -> Executor | None:
        """The executor of a request, begun with the first that is heard of it; None: withdrawn."""
        active = self._active.get(key)
        if active is None and key not in self._withdrawn:
            instance = installed.idle.pop() if installed.idle else self._instance(installed)
            executor = Executor(installed.program, installed.sessions, instance)
            self._active[key] = Active(executor, turn)
            return executor
        return None if active is None else active.executor

    def _instance(self, installed: Installed) -> Instance:
        return Instance(installed.program, installed.sessions)

    def _take(self, arrival: Arrival) -> None:
        frame = arrival.frame
        installed = self._installed.get(frame.version)
        if installed is None:
            self._profiling.take(self._fabric, frame)
            return
        key = (frame.version, frame.request)
        if frame.kind == Kind.CANCEL:
            self._withdraw(key)
        if frame.kind not in (Kind.DATA, Kind.BEGIN):
            return
        try:
            executor = self._executor(installed, key, frame.turn)
            if executor is not None and frame.kind == Kind.DATA:
                executor.deliver(frame.number, arrival.payload)
                if installed.recorder is not None:
                    installed.recorder.delivered(frame)
        except Exception as error:
            self._fail(installed, key, error)

    def _withdraw(self, key: Key) -> None:
        # Its instance is dropped with it: late messages may still be on their way into its memory.
        self._active.pop(key, None)
        self._withdrawn[key] = None
        if len(self._withdrawn) > REMEMBERED:
            del self._withdrawn[next(iter(self._withdrawn))]

    def _step(self) -> bool:
        """Run one step of the oldest request that can go on, of the flow whose turn it is; False
        where none can."""
        flows: set[Flow] = set()
        oldest: dict[Flow, Key] = {}
        for key, active in self._active.items():
            flow = self._installed[key[0]].coordinator, active.turn.flow
            flows.add(flow)
            if active.executor.is_ready() and (flow not in oldest or key[1] < oldest[flow][1]):
                oldest[flow] = key
        if not oldest:
            return False
        if len(flows) == 1:
            # Looking at a thread's time has the kernel look at its group's quota, too: a device of
            # a tenth of a core was stopped twice as often as by its clock's ticks alone, and every
            # stop costs it its caches.
            self._advance(oldest[flow])
            return True
        flow = self._turns.choose(
            {flow: self._active[key].turn.weight for flow, key in oldest.items()}
        )
        before = time.thread_time()
        self._advance(oldest[flow])
        self._turns.pay(flow, time.thread_time() - before)
        return True

    def _advance(self, key: Key) -> None:
        installed, active = self._installed[key[0]], self._active[key]
        executor = active.executor
        try:
            self._run_step(installed, key, active)
            # What others wait for leaves before anything else is looked at.
            while executor.sends_next():
                self._run_step(installed, key, active)
        except Exception as error:
            self._fail(installed, key, error)
            return
        if executor.is_done:
            del self._active[key]
            if len(installed.idle) < max(KEPT, installed.reserved):
                installed.idle.append(executor.instance)

    def _run_step(self, installed: Installed, key: Key, active: Active) -> None:
        recorder = installed.recorder
        start = 0.0 if recorder is None else clock()
        version, request = key
        sent = active.executor.advance()
        if sent is not None:
            number = sent.message.number
            frame = Frame(Kind.DATA, number, request, version, sent.nbytes, active.turn)
            self._fabric.send(installed.receiver_of(sent), frame, sent.parts)
        if recorder is not None:
            if sent is None:
                recorder.computed(active.executor.position - 1, request, start)
            else:
                recorder.sent(sent.message.number, request, sent.nbytes, start)

    def _fail(self, installed: Installed, key: Key, error: Exception) -> None:
        reason = _reason(error)
        logger.warning("request %d failed: %s", key[1], reason)
        self._withdraw(key)
        text = json.dumps({"worker": self._fabric.name, "reason": reason}).encode()
        frame = Frame(Kind.ERROR, 0, key[1], key[0], len(text))
        try:
            self._fabric.send(installed.coordinator, frame, [text])
        except SwathError:
            logger.warning("the coordinator %r is not there to be told", installed.coordinator)

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
            "reserve": self._reserve,
            "drop": lambda payload: self._drop(json.loads(payload)["version"]),
            "clock": lambda payload: {"seconds": clock()},
            "record": self._record,
            "recorded": self._recorded,
            "measure": lambda payload: self._profiling.answer(self._fabric, payload),
            "stop": lambda payload: self.stop(),
        }
        verb = verbs.get(question.verb)
        if verb is None:
            question.refuse(f"the question {question.verb!r} is not known here")
            return
        try:
            result = verb(question.payload)
            answer = b"" if result is None else json.dumps(result).encode()
        except Exception as error:
            logger.debug("refused %s", question.verb, exc_info=True)
            question.refuse(_reason(error))
        else:
            question.answer(answer)

    def _hello(self, payload: bytes) -> object:
        import psutil

        from swath.runtime.cpu_load import CpuLoad

        if self._load is None:
            self._load = CpuLoad.of_this_device()
        address = self._fabric.address
        return {
            "name": self._fabric.name,
            "pid": os.getpid(),
            "threads": self._threads,
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": self._memory or psutil.virtual_memory().total,
            "engine": f"onnxruntime {onnxruntime.__version__}",
            "machine": machine_to_json(),
            "free_memory_bytes": self._obtainable_memory(),
            "load": self._load.sample(),
            "cpus": self._load.cpus,
            "boot_id": boot_id(),
            "address": {"places": address.places, "token": address.token},
        }

    def _install(self, payload: bytes) -> object:
        """Take a program; say what is missing to run it."""
        data = json.loads(payload)
        version, program = str(data["version"]), program_from_json(data["program"])
        if program.device != self._fabric.name:
            raise ValueError(f"a program of {program.device!r}")
        self._drop(version)
        self._make_room(int(data["peak_memory"]), program)
        for name, (places, token) in data["peers"].items():
            self._fabric.reach(Address(name, tuple(places), token))
        self._installed[version] = Installed(program, data["coordinator"])
        return self._blobs.want(version, program).to_json()

    def _make_room(self, needed: int, program: Program) -> None:
        """Raises MemoryError where the program does not fit, also without what nobody uses."""
        if needed > self._free_memory():
            self._blobs.keep_only([program, *(i.program for i in self._installed.values())])
            free = self._free_memory()
            if needed > free:
                raise MemoryError(f"{needed >> 20} MiB needed, {free >> 20} MiB free")

    def _obtainable_memory(self) -> int:
        """Bytes that a plan could have: what is free, and what is kept though nobody uses it."""
        used = {
            (weight.digest, weight.region): weight.nbytes
            for installed in self._installed.values()
            for step in installed.program.steps
            if isinstance(step, Compute)
            for weight in step.weights.values()
        }
        unused = self._blobs.weights.nbytes - sum(used.values())
        return self._free_memory() + max(0, unused)

    def _free_memory(self) -> int:
        from swath.runtime.free_memory import free_memory

        free = free_memory()
        if self._memory is None:
            return free
        return max(0, min(free, self._memory - (_resident_bytes() - self._resident_at_start)))

    def _commit(self, payload: bytes) -> object:
        """Everything has come: make the sessions and the memory of a first request."""
        version = str(json.loads(payload)["version"])
        installed = self._installed[version]
        try:
            lacks = self._blobs.lacks(version)
            if lacks:
                raise ValueError(f"blob {lacks[0]} has not come; install again")
            for index, step in enumerate(installed.program.steps):
                if isinstance(step, Compute):
                    installed.sessions[index] = self._session(step)
            installed.idle.append(self._instance(installed))
        except BaseException:
            self._drop(version)
            raise
        self._blobs.forget(version)
        return None

    def _reserve(self, payload: bytes) -> None:
        """Make memory for so many requests in flight at once."""
        data = json.loads(payload)
        installed, wanted = self._installed[str(data["version"])], int(data["requests"])
        more = wanted - installed.reserved
        if more <= 0:
            return
        needed, free = more * instance_bytes(installed.program), self._free_memory()
        if needed > free:
            raise MemoryError(
                f"{wanted} requests in flight need {needed >> 20} MiB more, {free >> 20} MiB free"
            )
        while len(installed.idle) < wanted:
            installed.idle.append(self._instance(installed))
        installed.reserved = wanted

    def _session(self, step: Compute) -> Session:
        """The session of a tile; tiles of the same model and weights share one."""
        weights = sorted((n, w.digest, w.region) for n, w in step.weights.items())
        key = f"{step.model}{weights}"
        if key not in self._sessions:
            arrays = {name: self._blobs.weights.get(w) for name, w in step.weights.items()}
            model = self._blobs.models[step.model]
            self._sessions[key] = Session(model, arrays, self._threads, shared_arena=True)
        return self._sessions[key]

    def _record(self, payload: bytes) -> None:
        """Note from now on what happens for a plan that is installed."""
        installed = self._installed[str(json.loads(payload)["version"])]
        installed.recorder = Recorder(installed.program)

    def _recorded(self, payload: bytes) -> object:
        """What was noted since `_record`; nothing more is."""
        installed = self._installed[str(json.loads(payload)["version"])]
        recorder, installed.recorder = installed.recorder, None
        return {"spans": [] if recorder is None else spans_to_json(recorder.spans)}

    def _drop(self, version: str) -> None:
        for key in [key for key in self._active if key[0] == version]:
            self._withdraw(key)
        self._installed.pop(version, None)
        self._blobs.forget(version)
        in_use = {id(s) for i in self._installed.values() for s in i.sessions.values()}
        self._sessions = {k: s for k, s in self._sessions.items() if id(s) in in_use}


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _reason(error: Exception) -> str:
    """An error in one line, for the coordinator."""
    text = " ".join(str(error).split())[:MAX_REASON]
    if isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        detail = f" ({text})" if text else ""
        return f"out of memory{detail}; use more devices or a smaller input"
    return text if isinstance(error, SwathError) and text else f"{type(error).__name__}: {text}"

"""Running a model for real, in turn with plain ONNX Runtime, and what came of it.

One plan may be installed or several, of which one is picked before each request.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from swath.cost import Costs
from swath.plan.plan import Plan
from swath.planners.objective import predicted_seconds
from swath.runtime.deployment import Deployment
from swath.runtime.inputs import Inputs, Outputs
from swath.runtime.knowing import Present
from swath.runtime.plain import Milliseconds, PlainRuntime
from swath.runtime.streaming import (
    Batch,
    StreamReport,
    measured_batch,
    predicted_stream_interval,
    stream_report,
)
from swath.runtime.verify import compare, tolerance
from swath.simulate.steady import steady_requests


@dataclass(frozen=True)
class RunReport:
    """What came of running a model: its outputs, and how long they took.

    ``latency``: from the input array to the output array in the coordinator's memory. ``single``:
    plain ONNX Runtime alone, interleaved with the former; None where it was not asked for, as are
    ``speedup`` and what compares the outputs. ``max_rel_diff``: to the output's largest magnitude.
    ``predicted``: milliseconds that the simulator expected of the plan, on average; None where
    nobody asked it. ``stream``: of several requests in flight, where that was asked for.
    ``present``: what the devices were at when that was expected of it. Where one of several plans
    was taken each time, ``plan`` is the last one that was, ``others`` are the others,
    ``bytes_moved`` is a mean, and the outputs of all are compared.
    """

    outputs: Mapping[str, np.ndarray] = field(repr=False)
    plan: Plan = field(repr=False)
    latency: Milliseconds
    single: Milliseconds | None
    max_abs_diff: float | None
    max_rel_diff: float | None
    bit_exact: bool | None
    bytes_moved: int
    predicted: float | None = None
    stream: StreamReport | None = None
    present: tuple[Present, ...] = ()
    others: tuple[Plan, ...] = field(default=(), repr=False)

    @property
    def speedup(self) -> float | None:
        return None if self.single is None else self.single.median / self.latency.median

    @property
    def within_tolerance(self) -> bool | None:
        if self.max_rel_diff is None:
            return None
        return self.max_rel_diff <= max(map(tolerance, (self.plan, *self.others)))


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A plan that is installed; ``here``: the same with its inputs and outputs where the
    coordinator is. ``costs``: what is expected of it is expected at these."""

    plan: Plan
    here: Plan
    deployment: Deployment
    costs: Costs

    def predicted(self) -> float:
        """Seconds of an inference."""
        return predicted_seconds(self.here, self.deployment.programs, self.costs)

    def predicted_interval(self, in_flight: int) -> float:
        """Seconds from one result to the next with so many in flight."""
        programs = self.deployment.programs
        return predicted_stream_interval(self.here, programs, self.costs, in_flight)


Pick = Callable[[int], Way]
"""The way of the next so many requests."""


@dataclass(frozen=True, slots=True)
class Stream:
    """``in_flight`` requests at once; as many as each of ``batches`` says by one way."""

    in_flight: int
    batches: tuple[int, ...]

    @staticmethod
    def at_a_stretch(in_flight: int, requests: int) -> Stream:
        """At least so many requests, and so many as show the stride."""
        return Stream(in_flight, (max(requests, steady_requests(in_flight)),))

    @staticmethod
    def in_batches(in_flight: int, requests: int) -> Stream:
        """At least so many requests, in batches as small as show the stride."""
        size = steady_requests(in_flight)
        return Stream(in_flight, (size,) * max(1, ceil(requests / size)))


def run_ways(
    ways: Sequence[Way],
    pick: Pick,
    inputs: Inputs,
    plain: PlainRuntime | None,
    *,
    repeat: int,
    timeout: float,
    stream: Stream | None = None,
    present: tuple[Present, ...] = (),
) -> RunReport:
    """What comes of ``repeat`` requests one by one, in turn with ``plain``, and of a stream of
    them, each by the way that is picked. Every way runs once before, to warm up, and what it makes
    is compared too. Raises as `Deployment.run` and `Deployment.stream` do, and what ``pick``
    raises."""
    # First touches, lazy sessions.
    made = [way.deployment.run(inputs, timeout) for way in ways]
    reference = plain.run(inputs) if plain is not None else {}
    split: list[float] = []
    single: list[float] = []
    taken: list[Way] = []
    for _ in range(max(1, repeat)):
        if plain is not None:
            single.append(plain.timed(inputs)[1])
        taken.append(pick(1))
        outputs, seconds = taken[-1].deployment.timed(inputs, timeout)
        split.append(seconds)
    made.append(outputs)
    streamed = None
    if stream is not None:
        made += _warm(ways, inputs, stream.in_flight, timeout)
        streamed = _streamed(pick, inputs, stream, timeout)
    differences = [
        compare(name, arrays[name], reference[name]) for arrays in made for name in reference
    ]
    predicted = {way: way.predicted() for way in dict.fromkeys(taken)}
    return RunReport(
        outputs=outputs,
        plan=taken[-1].plan,
        latency=Milliseconds.of(split),
        single=Milliseconds.of(single) if single else None,
        max_abs_diff=max((d.absolute for d in differences), default=None),
        max_rel_diff=max((d.relative for d in differences), default=None),
        bit_exact=all(d.bit_exact for d in differences) if differences else None,
        bytes_moved=round(statistics.fmean(way.deployment.programs.bytes_moved for way in taken)),
        predicted=statistics.fmean(predicted[way] for way in taken) * 1e3,
        stream=streamed,
        present=present,
        others=tuple(way.plan for way in ways if way.plan is not taken[-1].plan),
    )


def _warm(ways: Sequence[Way], inputs: Inputs, in_flight: int, timeout: float) -> Iterator[Outputs]:
    """Outputs of so many requests at once by each way: their memory is touched for the first time
    before it is measured."""
    for way in ways:
        yield from way.deployment.stream(itertools.repeat(inputs, in_flight), in_flight, timeout)


def _streamed(pick: Pick, inputs: Inputs, stream: Stream, timeout: float) -> StreamReport:
    batches: list[Batch] = []
    taken: list[Way] = []
    for count in stream.batches:
        taken.append(pick(count))
        batches.append(
            measured_batch(taken[-1].deployment, inputs, stream.in_flight, count, timeout)
        )
    predicted = {way: way.predicted_interval(stream.in_flight) for way in dict.fromkeys(taken)}
    return stream_report(stream.in_flight, batches, [predicted[way] for way in taken])

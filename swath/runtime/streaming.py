"""Requests in flight at once: what memory they take, and how fast they come back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.memory import mebibytes, peak_memory
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.runtime.deployment import Deployment
from swath.runtime.inputs import Inputs
from swath.runtime.instance import instance_bytes
from swath.runtime.plain import Milliseconds
from swath.simulate import Request, make_script, simulate
from swath.simulate.steady import steady_interval, steady_requests


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What came of many requests, ``in_flight`` of them at once. Milliseconds.

    ``latency``: of each, from its input array to its output array, the others being under way too;
    ``interval``: from one result to the next; ``predicted_interval``: what the simulator says of
    the latter.
    """

    in_flight: int
    requests: int
    latency: Milliseconds
    interval: float
    predicted_interval: float

    @property
    def requests_per_second(self) -> float:
        return 1e3 / self.interval


def check_stream_memory(plan: Plan, programs: Programs, in_flight: int) -> None:
    """Raises PlanError where a device of the plan has no memory for so many requests at once."""
    peaks = peak_memory(programs)
    for device in plan.devices:
        if device.memory is None or device.name not in programs.by_device:
            continue
        more = (in_flight - 1) * instance_bytes(programs.by_device[device.name])
        need = peaks[device.name] + more
        if need > device.memory:
            raise PlanError(
                f"device {device.name!r} needs {mebibytes(need)} for {in_flight} requests in "
                f"flight but has {mebibytes(device.memory)}; let fewer be in flight"
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests in flight at once: when each began and when it was over, in seconds of one clock."""

    begins: tuple[float, ...]
    ends: tuple[float, ...]


def measured_batch(
    deployment: Deployment, inputs: Inputs, in_flight: int, requests: int, timeout: float
) -> Batch:
    """So many requests, all of the same inputs. Raises as `Deployment.stream` does."""
    begins: list[float] = []

    def taken() -> Iterator[Inputs]:
        for _ in range(requests):
            begins.append(time.perf_counter())
            yield inputs

    ends = [time.perf_counter() for _ in deployment.stream(taken(), in_flight, timeout)]
    return Batch(tuple(begins), tuple(ends))


def predicted_stream_interval(
    plan: Plan, programs: Programs, costs: Costs, in_flight: int
) -> float:
    """Seconds from one result to the next that the simulator expects of so many in flight."""
    requests = [Request(make_script(plan, programs, costs))] * steady_requests(in_flight)
    return steady_interval(simulate(requests, costs, in_flight=in_flight).ends, in_flight)


def stream_report(
    in_flight: int, batches: Sequence[Batch], predicted: Sequence[float]
) -> StreamReport:
    """What came of batches of at least `steady_requests` each; ``predicted``: the interval that was
    to be expected of each, in seconds."""
    latencies = [
        end - begin
        for batch in batches
        for begin, end in zip(batch.begins, batch.ends, strict=True)
    ]
    intervals = [steady_interval(batch.ends, in_flight) for batch in batches]
    return StreamReport(
        in_flight=in_flight,
        requests=len(latencies),
        latency=Milliseconds.of(latencies),
        interval=statistics.fmean(intervals) * 1e3,
        predicted_interval=statistics.fmean(predicted) * 1e3,
    )

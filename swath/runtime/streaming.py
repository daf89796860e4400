"""Requests in flight at once: what memory they take, and how fast they come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.runtime.coordinator import Deployment, Inputs
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
                f"device {device.name!r} needs {need / 2**20:.0f} MiB for {in_flight} requests in "
                f"flight but has {device.memory / 2**20:.0f} MiB; let fewer be in flight"
            )


def measured_stream(
    deployment: Deployment, inputs: Inputs, in_flight: int, requests: int, timeout: float
) -> tuple[list[float], list[float]]:
    """(when each request began, when it was over), in seconds of one clock; all of them of the
    same inputs. Raises as `Deployment.stream` does."""
    begins: list[float] = []

    def taken() -> Iterator[Inputs]:
        for _ in range(requests):
            begins.append(time.perf_counter())
            yield inputs

    ends = [time.perf_counter() for _ in deployment.stream(taken(), in_flight, timeout)]
    return begins, ends


def predicted_stream_interval(
    plan: Plan, programs: Programs, costs: Costs, in_flight: int
) -> float:
    """Seconds from one result to the next that the simulator expects of so many in flight."""
    requests = [Request(make_script(plan, programs, costs))] * steady_requests(in_flight)
    return steady_interval(simulate(requests, costs, in_flight=in_flight).ends, in_flight)


def stream_report(
    deployment: Deployment,
    plan: Plan,
    costs: Costs,
    inputs: Inputs,
    in_flight: int,
    requests: int,
    timeout: float,
) -> StreamReport:
    """Run a stream of at least so many requests, and say beside it what was to be expected."""
    count = max(requests, steady_requests(in_flight))
    begins, ends = measured_stream(deployment, inputs, in_flight, count, timeout)
    return StreamReport(
        in_flight=in_flight,
        requests=count,
        latency=Milliseconds.of([end - begin for begin, end in zip(begins, ends, strict=True)]),
        interval=steady_interval(ends, in_flight) * 1e3,
        predicted_interval=1e3
        * predicted_stream_interval(plan, deployment.programs, costs, in_flight),
    )

"""A plan that is installed, and requests of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from swath.errors import InputError
from swath.fabric.frame import ONLY, Turn
from swath.graph.graph import Graph
from swath.plan.program import Programs
from swath.runtime.inputs import Inputs, Outputs, check_inputs
from swath.trace.trace import Trace

if TYPE_CHECKING:
    from swath.runtime.coordinator import Coordinator


class Deployment:
    """A plan that is installed on the workers, ready for requests from any thread."""

    def __init__(self, coordinator: Coordinator, programs: Programs, graph: Graph) -> None:
        self.programs = programs
        self._coordinator = coordinator
        self._graph = graph

    @property
    def is_installed(self) -> bool:
        """Whether requests can be made: False once one of its workers has gone."""
        return self._coordinator.is_installed(self.programs)

    def begin(self, inputs: Inputs, turn: Turn = ONLY) -> Begun:
        """One request, not waited for: what `run` does, in two parts. ``turn``: how it shares
        devices with others that are under way."""
        checked = check_inputs(self._graph, inputs)
        number = self._coordinator.begin(self.programs, checked, turn)
        return Begun(self._coordinator, self.programs, self._graph, checked, number)

    def run(self, inputs: Inputs, timeout: float = 60.0) -> Outputs:
        """One request: every output by name.

        ``inputs`` must have the model's names, shapes and types; raises InputError otherwise,
        WorkerError where a worker fails, FabricError after ``timeout`` seconds.
        """
        return self.begin(inputs).finish(timeout)

    def stream(
        self, inputs: Iterable[Inputs], in_flight: int, timeout: float = 60.0
    ) -> Iterator[Outputs]:
        """Many requests, at most ``in_flight`` of them at once: their outputs, in their order.

        The next inputs are taken when there is room for them, so that a slow taker of outputs, or a
        slow worker, slows down what is taken in. Errors are those of `run`, ``timeout`` being what
        the next outputs may take; WorkerError too where a worker lacks the memory. After an error,
        or when nobody takes the outputs any more, what is in flight is withdrawn.
        """
        if in_flight < 1:
            raise InputError(f"{in_flight} requests in flight are no stream; give 1 or more")
        self._coordinator.reserve(self.programs, in_flight)
        return self._streamed(iter(inputs), in_flight, timeout)

    def _streamed(
        self, inputs: Iterator[Inputs], in_flight: int, timeout: float
    ) -> Iterator[Outputs]:
        begun: deque[Begun] = deque()
        try:
            for arrays in inputs:
                begun.append(self.begin(arrays))
                if len(begun) == in_flight:
                    yield begun.popleft().finish(timeout)
            while begun:
                yield begun.popleft().finish(timeout)
        finally:
            for each in begun:
                each.withdraw()

    def timed(self, inputs: Inputs, timeout: float = 60.0) -> tuple[Outputs, float]:
        """`run`, and the seconds from the input arrays to the output arrays."""
        start = time.perf_counter()
        outputs = self.run(inputs, timeout)
        return outputs, time.perf_counter() - start

    def record(self, inputs: Inputs, requests: int = 1, timeout: float = 60.0) -> Trace:
        """What happens when on every device during `run`, ``requests`` times, one after another.

        Recording itself takes time, some microseconds per tile and message.
        """

        def work() -> None:
            for _ in range(requests):
                self.run(inputs, timeout)

        return self._coordinator.record(self.programs, work)


class Begun:
    """A request under way."""

    def __init__(
        self,
        coordinator: Coordinator,
        programs: Programs,
        graph: Graph,
        inputs: Inputs,
        number: int,
    ) -> None:
        self._coordinator = coordinator
        self._programs = programs
        self._graph = graph
        self._inputs = inputs
        self._number = number

    @property
    def is_over(self) -> bool:
        """Whether `finish` need not wait; not to be asked after it."""
        return self._coordinator.is_over(self._programs, self._number)

    def finish(self, timeout: float = 60.0) -> Outputs:
        """Its outputs, once. Raises as `Deployment.run` does."""
        made = self._coordinator.finish(self._programs, self._number, timeout)
        return {name: self._output(name, made) for name in self._graph.outputs}

    def withdraw(self) -> None:
        """Nobody wants its outputs any more."""
        self._coordinator.withdraw(self._programs, self._number)

    def _output(self, name: str, made: Outputs) -> np.ndarray:
        """An output that the workers made, or an input or constant handed through."""
        if name in made:
            return made[name]
        if name in self._inputs:
            return self._inputs[name].copy()
        data = self._graph.constants[name].data
        assert data is not None
        return data.copy()

"""Workers and a coordinator in threads of one process, over the in-process fabric."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swath.fabric.inprocess import InProcessHub
from swath.runtime.coordinator import Coordinator
from swath.runtime.worker import Worker


class ThreadCluster:
    """Workers that are threads; they leave when it is closed."""

    def __init__(self) -> None:
        self.hub = InProcessHub()
        self.workers: dict[str, Worker] = {}
        self.coordinators: list[Coordinator] = []
        self._threads: list[threading.Thread] = []
        self._numbers = itertools.count()

    def start(self, *names: str, **options: Any) -> None:
        for name in names:
            worker = Worker(lambda land, n=name: self.hub.join(n, "worker", land), **options)
            thread = threading.Thread(target=worker.run, name=f"worker {name}")
            self.workers[name] = worker
            self._threads.append(thread)
            thread.start()

    def coordinator(self) -> Coordinator:
        name = f"coordinator-{next(self._numbers)}"
        made = Coordinator(lambda land: self.hub.join(name, "coordinator", land))
        self.coordinators.append(made)
        return made

    def close(self) -> None:
        for coordinator in self.coordinators:
            coordinator.close()
        for worker in self.workers.values():
            worker.stop()
        for thread in self._threads:
            thread.join(10.0)


@pytest.fixture
def threads() -> Iterator[Callable[..., ThreadCluster]]:
    """``threads("a", "b", memory=...)``: a cluster of these workers."""
    made: list[ThreadCluster] = []

    def make(*names: str, **options: Any) -> ThreadCluster:
        cluster = ThreadCluster()
        made.append(cluster)
        cluster.start(*names, **options)
        return cluster

    yield make
    for cluster in made:
        cluster.close()

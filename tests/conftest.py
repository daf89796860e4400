"""After every test: nothing that it started or opened is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # A machine may have others to serve.
settings.load_profile("untimed")

GRACE = 3.0
"""Seconds for what is ending to end."""

SPARE_DESCRIPTORS = 8
"""Libraries keep a few for themselves when they are first used."""

LASTING_THREADS = ("pytest_timeout", "asyncio_", "ThreadPoolExecutor", "tqdm", "Dummy-")
"""Beginnings of names of threads that are not ours, or that last by design."""


@dataclass(frozen=True)
class Holdings:
    """What this process holds at one time."""

    children: frozenset[str]
    threads: frozenset[str]
    sockets: frozenset[str]
    shared_memory: frozenset[str]
    descriptors: int

    def grown(self, before: Holdings) -> dict[str, list[str]]:
        found = {
            "child processes": sorted(self.children - before.children),
            "threads": sorted(self.threads - before.threads),
            "sockets": sorted(self.sockets - before.sockets),
            "shared memory": sorted(self.shared_memory - before.shared_memory),
        }
        if self.descriptors > before.descriptors + SPARE_DESCRIPTORS:
            found["file descriptors"] = [f"{before.descriptors} -> {self.descriptors}"]
        return {what: names for what, names in found.items() if names}


def holdings() -> Holdings:
    """Reads /proc, which takes well under a millisecond."""
    links = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{entry}"))
        except OSError:
            continue
    return Holdings(
        children=frozenset(_children()),
        threads=frozenset(
            f"{thread.name} ({thread.ident})"
            for thread in threading.enumerate()
            if not thread.name.startswith(LASTING_THREADS)
        ),
        sockets=frozenset(link for link in links if link.startswith("socket:")),
        shared_memory=frozenset(
            name for name in os.listdir("/dev/shm") if "swath" in name or "zenoh" in name
        ),
        descriptors=len(links),
    )


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        try:
            yield from (task / "children").read_text().split()
        except OSError:
            continue


def assert_no_growth(before: Holdings, deadline: float) -> None:
    while grown := holdings().grown(before):
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {grown}")
        time.sleep(0.02)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept on this machine is kept here: measured once, and never the user's own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind(first_use_is_over: None) -> Iterator[None]:
    before = holdings()
    yield
    assert_no_growth(before, time.monotonic() + GRACE)


@pytest.fixture(autouse=True, scope="session")
def no_process_left_behind() -> Iterator[None]:
    """Also what modules and the whole session share has to end."""
    yield
    deadline = time.monotonic() + GRACE
    while left := list(_children()):
        assert time.monotonic() < deadline, f"processes left behind: {left}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def first_use_is_over() -> None:
    """For folders whose libraries open something for good when they are first used."""


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object], timeout: float = 5.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it has not come to pass"
            time.sleep(0.01)

    return wait

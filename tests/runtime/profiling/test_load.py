"""The load that competes with a device: as large as asked for, and never left running."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from swath.runtime.profiling.load import Load


def test_it_takes_the_share_that_it_is_asked_for():
    with Load() as load:
        with load.at(0.3) as little:
            pass
        with load.at(0.7) as much:
            pass
    assert 0 < little < much <= 1.05


def test_it_is_busy_while_it_is_set_and_idle_after():
    with Load() as load:
        children = psutil.Process().children()
        assert len(children) == len(os.sched_getaffinity(0))
        with load.at(0.5):
            before = used(children)
            time.sleep(0.3)
            assert used(children) > before
        time.sleep(0.05)
        before = used(children)
        time.sleep(0.2)
        assert used(children) - before <= 0.02
    assert not any(child.is_running() for child in children)


def used(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def test_it_ends_with_whoever_started_it(eventually):
    code = (
        "import psutil, time\n"
        "from swath.runtime.profiling.load import Load\n"
        "with Load() as load, load.at(0.2):\n"
        "    print(*[child.pid for child in psutil.Process().children()], flush=True)\n"
        "    time.sleep(60)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pids = [int(pid) for pid in starter.stdout.readline().split()]
    assert pids and all(map(psutil.pid_exists, pids))
    starter.kill()
    starter.communicate()
    eventually(lambda: not any(map(psutil.pid_exists, pids)))


def test_it_loads_nothing_heavy():
    code = "import sys, swath.runtime.profiling.load; print([m for m in ('numpy', 'onnx', "
    code += "'onnxruntime', 'zenoh') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]", loaded

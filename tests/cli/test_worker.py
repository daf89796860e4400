"""`swath worker` and `swath devices`: processes that find each other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from swath.runtime.local import free_port
from tests.cli.conftest import SWATH

SMALL = "zoo:squeezenet@64x64"
READY_SECONDS = 20


def stop(process: subprocess.Popen) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    return process.returncode, errors


def test_workers_are_listed_and_used(worker, swath):
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    cluster = ("--cluster-name", "test")
    first = worker("--name", "one", "--listen", endpoint, *cluster)
    second = worker("--name", "two", "--connect", endpoint, "--memory", "1GiB", *cluster)
    found = swath("devices", "--connect", endpoint, *cluster, "--json").json["devices"]
    assert [device["name"] for device in found] == ["one", "two"]
    assert found[1]["memory_bytes"] == 2**30
    for key in ("cores", "threads", "engine"):
        assert found[0][key]
    table = swath("devices", "--connect", endpoint, *cluster).stdout
    assert "one" in table
    assert "two" in table
    report = swath("run", SMALL, "--connect", endpoint, *cluster, "--planner", "even",
                   "--repeat", 1, "--json").json  # fmt: skip
    assert report["devices"] == ["one", "two"]
    assert report["within_tolerance"]
    assert stop(second) == (0, "")
    assert stop(first) == (0, "")


def test_nobody_is_there(refused):
    line = refused("devices", "--connect", "tcp/127.0.0.1:9", "--timeout", 0.5)
    assert "no worker found" in line
    assert "tried tcp/127.0.0.1:9" in line


def test_a_port_in_use(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("worker", "--listen", f"tcp/127.0.0.1:{port}")
    assert str(port) in line
    assert "choose another" in line


def test_a_name_that_is_taken(worker, refused):
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    worker("--name", "one", "--listen", endpoint)
    assert "'one' is taken" in refused("worker", "--name", "one", "--connect", endpoint)


def test_out_of_memory_is_said_by_the_worker_that_is(worker, refused):
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    worker("--name", "tiny", "--listen", endpoint, "--memory", "1000")
    line = refused("run", SMALL, "--connect", endpoint, "--repeat", 1)
    assert "'tiny'" in line
    assert "memory" in line


def test_an_open_port_is_announced_as_not_protected(worker):
    open_worker = worker("--listen", f"tcp/0.0.0.0:{free_port()}")
    status, errors = stop(open_worker)
    assert status == 0
    assert "not yet protected" in errors
    assert errors.count("\n") == 1
    closed_worker = worker("--listen", f"tcp/127.0.0.1:{free_port()}")
    assert stop(closed_worker) == (0, "")


def test_a_worker_is_small_and_loads_no_command_line(worker):
    process = worker("--listen", f"tcp/127.0.0.1:{free_port()}")
    assert psutil.Process(process.pid).memory_info().rss <= 150e6
    code = "import sys, swath.cli.worker; print([m for m in ('typer', 'rich', 'onnx', 'yaml', "
    code += "'pydantic', 'matplotlib', 'PIL', 'sklearn') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout == "[]\n"


def test_ctrl_c_stops_a_run_and_its_workers(marked, tmp_path):
    process = subprocess.Popen(
        [SWATH, "run", SMALL, "--repeat", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=marked,
        start_new_session=True,
    )
    deadline = time.monotonic() + READY_SECONDS
    while len(psutil.Process(process.pid).children(recursive=True)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in errors


def test_help(swath: Callable) -> None:
    outcome = swath("worker", "--help")
    assert outcome.status == 0
    assert "--listen" in outcome.stdout
    assert Path(SWATH).is_file()

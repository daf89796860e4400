"""The command line as users run it, in a folder of its own: real processes; in this one where only
what it refuses is asked, for starting one takes a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import psutil
import pytest

from swath import zoo
from swath.cli import app

SWATH = str(Path(sys.executable).with_name("swath"))
MARK = "SWATH_TEST_MARK"
TIMEOUT = 300
"""Seconds after which a command hangs: training takes two minutes where others want the machine."""
GRACE = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict:
        """Stdout, which must be one JSON object and nothing else."""
        report = json.loads(self.stdout)
        assert isinstance(report, dict)
        return report


Run = Callable[..., Outcome]


@pytest.fixture
def marked() -> Iterator[dict[str, str]]:
    """An environment by which all processes of a test are known; none of them may be left."""
    mark = uuid.uuid4().hex
    yield {**os.environ, MARK: mark, "COLUMNS": "160"}
    deadline = time.monotonic() + GRACE
    while left := [p.cmdline() for p in psutil.process_iter() if _has_mark(p, mark)]:
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.05)


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture
def swath(marked: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command in the test's folder until it ends."""

    def run(*arguments: object) -> Outcome:
        done = subprocess.run(
            [SWATH, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            cwd=tmp_path,
            env=marked,
            stdin=subprocess.DEVNULL,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def refused(swath: Run) -> Callable[..., str]:
    """Runs a command that must be refused in one line on stderr; the line."""

    def run(*arguments: object) -> str:
        return _the_line(swath(*arguments))

    return run


@pytest.fixture
def refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """The same without a process."""
    monkeypatch.chdir(tmp_path)

    def told(*arguments: object) -> str:
        status = app.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return _the_line(Outcome(status, said.out, said.err))

    return told


def _the_line(outcome: Outcome) -> str:
    assert outcome.status == 2, outcome
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("swath: ")
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    return outcome.stderr.removeprefix("swath: ").strip()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet for 64 x 64 pixels as a file."""
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    onnx.save(zoo.build("squeezenet", 64, 64), path)
    return path


@pytest.fixture
def worker(marked: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a worker and waits until it is ready."""
    running: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [SWATH, "worker", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=marked,
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), process.communicate()
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()

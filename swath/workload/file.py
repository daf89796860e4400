"""Workload files: YAML that a person writes, checked here once and frozen into a `Workload`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from swath.cluster.described import Strict, checked, read_yaml
from swath.cluster.quantities import parse_latency
from swath.errors import WorkloadError
from swath.workload.workload import (
    LONGEST_WAIT,
    MOST_WAITING,
    Arrivals,
    Bursty,
    Diurnal,
    Poisson,
    Recorded,
    Service,
    Workload,
)

_Seconds = Annotated[float, BeforeValidator(parse_latency), Field(gt=0)]


class _PoissonEntry(Strict):
    kind: Literal["poisson"]


class _BurstyEntry(Strict):
    kind: Literal["bursty"]
    on: _Seconds
    off: _Seconds

    @model_validator(mode="before")
    @classmethod
    def _words(cls, data: Any) -> Any:
        """YAML 1.1 takes the keys ``on`` and ``off`` for truth values."""
        said = {True: "on", False: "off"}
        if not isinstance(data, dict):
            return data
        return {said[key] if isinstance(key, bool) else key: of for key, of in data.items()}


class _DiurnalEntry(Strict):
    kind: Literal["diurnal"]
    period: _Seconds
    low: float = Field(default=0.0, ge=0, le=1)


class _RecordedEntry(Strict):
    kind: Literal["recorded"]
    file: str


_KINDS = ("poisson", "bursty", "diurnal", "recorded")


_Arrivals = Annotated[
    _PoissonEntry | _BurstyEntry | _DiurnalEntry | _RecordedEntry, Field(discriminator="kind")
]


class _ServiceEntry(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    model: str
    rate: float | None = Field(default=None, ge=0)
    deadline: _Seconds | None = None
    priority: float = Field(default=1.0, gt=0)
    arrivals: _Arrivals | None = None


class _WorkloadEntry(Strict):
    services: list[_ServiceEntry] = Field(min_length=1)
    longest_wait: _Seconds = LONGEST_WAIT
    most_waiting: int = Field(default=MOST_WAITING, gt=0)


def load_workload(path: str | Path) -> Workload:
    """Read a workload file. Raises WorkloadError in one line that names the file and the key."""
    path = Path(path)
    data = read_yaml(path, "a workload file", WorkloadError)
    return parse_workload(data, str(path), path.parent)


def parse_workload(data: Any, origin: str = "workload", folder: Path = Path()) -> Workload:
    """The workload that a workload file's content describes; ``origin`` names it in errors, paths
    in it are relative to ``folder``."""
    if not isinstance(data, dict):
        raise WorkloadError(f"{origin}: not a workload file; it needs 'services'")
    try:
        entry = checked(_WorkloadEntry, data, {"services": "service"})
        return Workload(_services(entry, folder), entry.longest_wait, entry.most_waiting)
    except ValueError as error:
        raise WorkloadError(f"{origin}: {error}") from None


def _services(entry: _WorkloadEntry, folder: Path) -> tuple[Service, ...]:
    names = [service.name for service in entry.services]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"services: {name!r} is there twice; give each its own name")
    return tuple(_service(service, folder) for service in entry.services)


def _service(entry: _ServiceEntry, folder: Path) -> Service:
    arrivals = _arrivals(entry.arrivals, folder)
    rate = entry.rate
    if rate is None:
        if not isinstance(arrivals, Recorded):
            raise ValueError(f"service {entry.name!r}: rate is missing; give requests per second")
        rate = arrivals.rate
    model = entry.model
    if not model.startswith("zoo:"):
        model = str(folder / model)
    return Service(entry.name, model, rate, entry.deadline, entry.priority, arrivals)


def _arrivals(entry: _Arrivals | None, folder: Path) -> Arrivals:
    if isinstance(entry, _BurstyEntry):
        return Bursty(entry.on, entry.off)
    if isinstance(entry, _DiurnalEntry):
        return Diurnal(entry.period, entry.low)
    if isinstance(entry, _RecordedEntry):
        return load_recorded(folder / entry.file)
    return Poisson()


def load_recorded(path: Path) -> Recorded:
    """A CSV file with the column ``seconds``: when each request came, in ascending order. It lasts
    one mean step longer than to its last request.

    Raises WorkloadError with the line's number for what is no time, and for times out of order.
    """
    times: list[float] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if "seconds" not in (reader.fieldnames or ()):
                raise WorkloadError(
                    f"{path}: column 'seconds' is missing; recorded arrivals are a CSV file with "
                    "the time of each request there"
                )
            for row in reader:
                time = _time(row["seconds"], path, reader.line_num)
                if times and time < times[-1]:
                    raise WorkloadError(
                        f"{path}: line {reader.line_num}: {time:g} s comes after "
                        f"{times[-1]:g} s; sort the rows"
                    )
                times.append(time)
    except OSError as error:
        raise WorkloadError(f"{path}: {error.strerror or error}; name a CSV file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: not a CSV file: {error}") from None
    if len(times) < 2 or times[-1] == times[0]:
        raise WorkloadError(f"{path}: recorded arrivals need two requests at different times")
    lasted = times[-1] - times[0]
    duration = lasted * len(times) / (len(times) - 1)
    return Recorded(tuple(time - times[0] for time in times), duration)


def _time(text: str | None, path: Path, line: int) -> float:
    try:
        time = float(text or "")
        if not math.isfinite(time):
            raise ValueError
    except ValueError:
        raise WorkloadError(
            f"{path}: line {line}: {text or ''!r} is no time; write seconds"
        ) from None
    return time

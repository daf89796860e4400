"""Where the scenarios of a sweep are computed: processes here, or a cluster of Dask or Ray.

All of it is joblib's; Dask and Ray are imported and registered when they are asked for. A planner
is held to its budget where scenarios run in main threads: everywhere but in Dask's workers.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, get_args

from swath.errors import FabricError, PlanError
from swath.planners.sweep.sweeping import Loader, Row, Scenario, run_scenario

Backend = Literal["loky", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)

_PACKAGES: Mapping[Backend, str] = {"dask": "distributed", "ray": "ray"}
"""What must be installed besides."""

_ROUND = 8
"""Scenarios for each of Ray's processes at a time: joblib hands out Ray's results all at once."""


def check_backend(backend: Backend) -> None:
    """Raises PlanError, with the mend, where the package is not installed."""
    package = _PACKAGES.get(backend)
    if package is not None and find_spec(package) is None:
        raise PlanError(
            f"--backend {backend} needs {package}, which is not installed; "
            f"pip install 'swath[{backend}]'"
        )


def sweep(
    scenarios: Sequence[Scenario], load: Loader, jobs: int | None = None, backend: Backend = "loky"
) -> Generator[Row, None, None]:
    """The rows of scenarios as they are done, ``jobs`` at a time (default: one for each core; Dask
    always uses all that it has). What is not done when it is closed is given up.

    Raises what `run_scenario` raises, PlanError for a backend whose package is not installed, and
    FabricError for one that is not there.
    """
    check_backend(backend)
    if not scenarios:
        return
    import joblib

    calls = [joblib.delayed(partial(run_scenario, load=load))(scenario) for scenario in scenarios]
    if backend == "ray":
        yield from _over_ray(calls, jobs)
        return
    with _dask_client() if backend == "dask" else contextlib.nullcontext():
        # Only so does joblib register Dask's backend by itself.
        with joblib.parallel_config(backend=backend), deaf_to_interrupts():
            rows = joblib.Parallel(
                n_jobs=jobs or -1, batch_size=1, return_as="generator_unordered"
            )(calls)
        yield from _closed_silently(rows)


def _closed_silently(rows: Generator[Row, None, None]) -> Iterator[Row]:
    """joblib warns of results that nobody has waited for; here that is what was asked for."""
    try:
        for row in rows:  # noqa: UP028  `yield from` would hand on the closing, too.
            yield row
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.close()


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C to this one, which ends them in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Which new processes inherit.
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _dask_client() -> Any:
    import dask
    import distributed

    address = dask.config.get("scheduler-address", None)
    if address is None:
        raise FabricError(
            "no Dask cluster is named; set DASK_SCHEDULER_ADDRESS, e.g. tcp://10.0.0.7:8786 "
            "('dask scheduler' prints it)"
        )
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Else Ctrl-C is pages of tracebacks.
    try:
        return distributed.Client(address)
    except OSError:
        raise FabricError(
            f"Dask's scheduler at {address} does not answer; start it with 'dask scheduler'"
        ) from None


def _over_ray(calls: Sequence[Any], jobs: int | None) -> Iterator[Row]:
    import joblib
    import ray
    from ray.util.joblib import register_ray

    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except ConnectionError:
        raise FabricError(
            "no Ray cluster answers; start one with 'ray start --head', or set RAY_ADDRESS"
        ) from None
    try:
        register_ray()
        cores = int(ray.cluster_resources()["CPU"])
        workers = min(jobs or cores, cores)  # Ray waits for ever for more.
        with joblib.Parallel(n_jobs=workers, backend="ray", batch_size=1) as parallel:
            for start in range(0, len(calls), _ROUND * workers):
                yield from parallel(calls[start : start + _ROUND * workers])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        ray.shutdown()

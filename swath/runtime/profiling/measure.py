"""Profiles of all devices of a cluster that is up, and of its links, written as they come.

Batch by batch of about a second: progress shows, an interruption is heard, and the next run goes on
where this one stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean

from swath.cluster.profile import DeviceProfile, LinkProfile, Machine, Sample
from swath.cluster.profile_file import LINKS_FILE, profile_path, save_links, save_profile
from swath.cost.fcpm import FCPM
from swath.cost.features import CONVOLUTION, NEAR
from swath.runtime.coordinator import Coordinator
from swath.runtime.profiling.asking import Asker, disappearing
from swath.runtime.profiling.chains import draw_chain
from swath.runtime.profiling.effort import Effort
from swath.runtime.profiling.links import WITHIN, both_ends, measure_links, message_samples
from swath.runtime.profiling.partial import Partial
from swath.runtime.profiling.samples import Timing, rounded
from swath.runtime.profiling.steps import tile_and_request
from swath.runtime.profiling.tiles import draw_tile, sweeps

Progress = Callable[[str, int, int], None]
"""(what is measured, how much of it is done, how much there is)."""


@dataclass(frozen=True)
class Profiled:
    """A device that was profiled. ``seconds``: how long it took, in this run; ``resumed``: batches
    that an earlier one had measured."""

    profile: DeviceProfile
    path: Path
    seconds: float
    resumed: int


@dataclass(frozen=True)
class Profiles:
    """Of a whole cluster; ``links_path`` is None where there is one device only."""

    devices: tuple[Profiled, ...]
    links: tuple[LinkProfile, ...]
    links_path: Path | None


def profile_devices(
    coordinator: Coordinator,
    devices: Sequence[str],
    folder: Path,
    effort: Effort,
    progress: Progress,
    together: bool = False,
) -> Profiles:
    """Measure devices and the links between them; write ``NAME.json`` each and ``links.json``.

    One device after the other, as those on one machine would disturb each other, unless all are to
    be measured ``together``. Raises FabricError where a device disappears: what was finished is
    written, and what was not is kept for the next run.
    """
    asker = Asker(coordinator)
    if together:
        # What is measured at the end takes time of this process too: one after the other.
        finish = partial(_finish, asker, devices, folder, effort)
        found = tuple(map(finish, _together(asker, devices, folder, effort, progress)))
    else:
        measure = partial(profile_device, asker, devices, folder, effort, progress)
        found = tuple(map(measure, devices))
    links = measure_links(asker, devices, effort.rounds, folder, progress)
    links_path = folder / LINKS_FILE if links else None
    if links_path is not None:
        save_links(links, links_path)
    return Profiles(found, links, links_path)


def profile_device(
    asker: Asker,
    devices: Sequence[str],
    folder: Path,
    effort: Effort,
    progress: Progress,
    device: str,
) -> Profiled:
    """Measure one device and write its profile; its messages go to the first other of ``devices``,
    or to this process where there is none. Raises FabricError where a device disappears."""
    measured = _measured(asker, folder, effort, progress, device)
    return _finish(asker, devices, folder, effort, measured)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A device whose operators were timed."""

    device: str
    machine: Machine
    samples: Partial
    seconds: float


def _together(
    asker: Asker, devices: Sequence[str], folder: Path, effort: Effort, progress: Progress
) -> list[_Measured]:
    """Operators of all devices at once; an error or an interruption ends the others' too."""
    lock, over = threading.Lock(), threading.Event()

    def told(what: str, done: int, total: int) -> None:
        if over.is_set():
            raise KeyboardInterrupt
        with lock:
            progress(what, done, total)

    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            return list(pool.map(partial(_measured, asker, folder, effort, told), devices))
        except BaseException:
            over.set()
            raise


def _measured(
    asker: Asker, folder: Path, effort: Effort, progress: Progress, device: str
) -> _Measured:
    """The operators of one device; what was measured is kept whatever happens."""
    start = time.monotonic()
    with disappearing(asker.coordinator, device, kept=folder):
        machine = asker.machine(device)
        samples = Partial(folder, device, machine, effort.kind)
        try:
            _measure_operators(asker, device, effort, samples, partial(progress, device))
        finally:
            samples.save()
    return _Measured(device, machine, samples, time.monotonic() - start)


def _finish(
    asker: Asker, devices: Sequence[str], folder: Path, effort: Effort, measured: _Measured
) -> Profiled:
    """What is measured in a moment, and the profile written."""
    start = time.monotonic()
    device, samples = measured.device, measured.samples
    # With whom it will exchange messages; alone, with this process.
    others = [other for other in devices if other != device]
    with disappearing(asker.coordinator, device, *others[:1], kept=folder):
        here = asker.exchange_here(device, effort.rounds)
        tile, request = tile_and_request(asker.coordinator, device, here)
        there = asker.exchange(others[0], device, effort.rounds) if others else here
        copy = asker.copy(device)
        faster = samples.pace / asker.pace(device)
    messages = message_samples(there.answering, faster)
    if here.is_near:
        messages += message_samples(both_ends(here), faster, WITHIN)
    model = FCPM().fit(samples.samples)
    profile = DeviceProfile(
        device=device,
        machine=measured.machine,
        kind=effort.kind,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        samples=samples.samples,
        messages=messages,
        overhead=rounded(tile * faster),
        copy=rounded(copy * faster),
        request=rounded(request * faster),
        pace=rounded(samples.pace),
        accuracy={family: round(value, 4) for family, value in model.accuracy_.items()},
        chosen=model.chosen_,
    )
    path = profile_path(folder, device)
    save_profile(profile, path)
    samples.discard()
    seconds = measured.seconds + time.monotonic() - start
    return Profiled(profile, path, seconds, samples.resumed)


def _measure_operators(
    asker: Asker,
    device: str,
    effort: Effort,
    measured: Partial,
    progress: Callable[[int, int], None],
) -> None:
    """Chains under load, then kernels, as many as there is time for."""
    total = len(effort.chains) + effort.tiles
    for done, name in enumerate(effort.chains):
        progress(done, total)
        key = f"chain {name}"
        if key not in measured:
            chain = draw_chain(name)
            found, pace, slowdowns = asker.chain(device, chain, effort.chain_seconds, effort.loads)
            measured.add(key, pace, _loaded_samples(found, slowdowns, chain.away(NEAR)))
    deadline = time.monotonic() + (effort.budget or float("inf"))
    for number in range(effort.tiles):
        progress(len(effort.chains) + number, total)
        key = f"tile {number}"
        if key not in measured and time.monotonic() < deadline:
            tile = draw_tile(number, effort.most_flops)
            samples: list[Sample] = []
            paces: list[float] = []
            for swept in sweeps(number, tile):
                found, pace = asker.kernels(device, tile, effort.tile_seconds, swept)
                samples += [timing.sample(away=tile.away(swept)) for timing in found]
                paces.append(pace)
            measured.add(key, fmean(paces), samples)


def _loaded_samples(
    found: Sequence[Timing], slowdowns: Sequence[tuple[float, float]], away: float
) -> Iterator[Sample]:
    """One sample of each shape of a chain, without a load and under each: its kernels share the
    CPU with the load as the chain does."""
    by_shape = {timing.shape: timing for timing in found}
    for timing in by_shape.values():
        yield timing.sample(away=away)
        for load, slowdown in slowdowns:
            yield timing.sample(load, max(1.0, slowdown), away)


def gflops(profile: DeviceProfile) -> float:
    """1e9 FLOP/s of a device on convolutions, nobody else using it; 0 where none were timed."""
    timed = [s for s in profile.samples if s.family == CONVOLUTION and not s.load]
    seconds = sum(sample.seconds for sample in timed)
    return sum(sample.flops for sample in timed) / seconds / 1e9 if seconds else 0.0

"""What was measured so far: kept beside the profiles, so that an interruption costs little."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from swath.cluster.profile import Machine, Sample
from swath.cluster.profile_file import write_whole
from swath.runtime.profiling.samples import rounded

PARTIAL_FORMAT = "swath-partial-profile"
PARTIAL_VERSION = 2

SAVED_EVERY = 1.0
"""Seconds between two writes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples, and the device's pace when they were taken (see `swath.runtime.profiling.pace`)."""

    pace: float
    samples: tuple[Sample, ...]


class Partial:
    """Samples by what was measured, of one device; those of an earlier run that was interrupted,
    if it was the same machine and the same effort."""

    def __init__(self, folder: Path, device: str, machine: Machine, kind: str) -> None:
        self.path = folder / f"{device}.partial.json"
        self._head = {
            "format": PARTIAL_FORMAT,
            "version": PARTIAL_VERSION,
            "device": device,
            "kind": kind,
            "machine": asdict(machine),
        }
        self._batches = self._load()
        self.resumed = len(self._batches)
        """Batches of an earlier run."""
        self._saved = time.monotonic()

    def __contains__(self, key: str) -> bool:
        return key in self._batches

    def add(self, key: str, pace: float, samples: Iterable[Sample]) -> None:
        self._batches[key] = Batch(pace, tuple(samples))
        if time.monotonic() - self._saved > SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Nothing where nothing was measured."""
        if self._batches:
            batches = {key: asdict(batch) for key, batch in self._batches.items()}
            write_whole(self.path, json.dumps({**self._head, "batches": batches}))
        self._saved = time.monotonic()

    def discard(self) -> None:
        """It has become a profile."""
        self.path.unlink(missing_ok=True)

    @property
    def pace(self) -> float:
        """The median of those that samples were taken at."""
        return statistics.median(batch.pace for batch in self._batches.values())

    @property
    def samples(self) -> tuple[Sample, ...]:
        """As they would be at that pace."""
        pace = self.pace
        return tuple(
            replace(sample, seconds=rounded(sample.seconds * pace / batch.pace))
            for batch in self._batches.values()
            for sample in batch.samples
        )

    def _load(self) -> dict[str, Batch]:
        # Whatever is wrong with it: measuring again is all that it costs.
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(self.path.read_text(encoding="utf-8"))
            batches = data.pop("batches")
            if data == self._head:
                return {
                    key: Batch(
                        float(batch["pace"]),
                        tuple(Sample(**sample) for sample in batch["samples"]),
                    )
                    for key, batch in batches.items()
                }
        return {}

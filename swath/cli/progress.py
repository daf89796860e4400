"""A progress display on stderr: only on a terminal, never beside JSON."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text


class _Bytes(DownloadColumn):
    """Nothing for a step whose end is not known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class Display:
    """Says what is being done; a bar per worker while weights travel."""

    def __init__(self, quiet: bool) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Bytes(),
            console=Console(file=sys.stderr, markup=False),
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._workers: dict[str, TaskID] = {}
        self._step: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def rest(self) -> None:
        """Show nothing more: what is measured now must have the processor to itself."""
        self._progress.stop()

    def step(self, text: str) -> None:
        """What is being done now."""
        if self._step is not None:
            self._progress.remove_task(self._step)
        self._step = self._progress.add_task(text, total=None)

    def weights(self, worker: str, sent: int, total: int) -> None:
        """A `swath.runtime.coordinator.Progress`."""
        if worker not in self._workers:
            self._workers[worker] = self._progress.add_task(f"weights to {worker}", total=total)
        self._progress.update(self._workers[worker], completed=sent)
        if sent == total:
            self._progress.update(self._workers[worker], visible=False)

"""A progress display on stderr: only on a terminal, never beside JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

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

Item = TypeVar("Item")


class _Bytes(DownloadColumn):
    """Nothing but for weights that travel."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.fields.get("in_bytes") else Text()


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
        self._subject = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def rest(self) -> None:
        """Show nothing more: what is measured now must have the processor to itself."""
        self._progress.stop()

    @contextlib.contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """Every step inside is one of this."""
        self._subject = f"{subject}: "
        try:
            yield
        finally:
            self._subject = ""

    def step(self, text: str) -> None:
        """What is being done now."""
        self._show(text, moving=True)

    def hold(self, text: str) -> None:
        """The same, drawn once: what is measured now must have the processor to itself."""
        self._show(text, moving=False)

    def count(self, text: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The items, one by one, of which there are so many; a bar says how far they have come."""
        task = self._show(text, moving=True)
        self._progress.update(task, total=total)
        for item in items:
            yield item
            self._progress.advance(task)

    def amount(self, text: str, done: int, total: int) -> None:
        """What is being done now, and how much of it is."""
        task = self._show(text, moving=True)
        self._progress.update(task, total=total, completed=done)

    def _show(self, text: str, moving: bool) -> TaskID:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._workers.clear()
        if self._progress.live.auto_refresh != moving:
            self._progress.stop()
            self._progress.live.auto_refresh = moving
            self._progress.start()
        return self._progress.add_task(f"{self._subject}{text}", total=None)

    def weights(self, worker: str, sent: int, total: int) -> None:
        """A `swath.runtime.coordinator.Progress`."""
        if worker not in self._workers:
            self._workers[worker] = self._progress.add_task(
                f"weights to {worker}", total=total, in_bytes=True
            )
        self._progress.update(self._workers[worker], completed=sent)
        if sent == total:
            self._progress.update(self._workers[worker], visible=False)

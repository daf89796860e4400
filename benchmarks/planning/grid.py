"""The grid's sweep, which goes on where it was stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import swath.api
from benchmarks.planning.results import load_results, results, save_results
from benchmarks.planning.scenarios import scenarios_of, settings
from swath.planners.sweep.backends import sweep
from swath.planners.sweep.file import load_rows, save_rows
from swath.planners.sweep.sweeping import Row, Scenario, remaining

SAVE_EVERY = 10.0
"""Seconds."""


def run_grid(
    kept: Path, table: Path, part: tuple[int, int], jobs: int | None, again: Collection[str]
) -> None:
    """Sweep a part of the grid into ``table``, the sweep's own file, and add to ``kept`` a line for
    every scenario that is done.

    ``part``: (i, n): every nth scenario from the ith on; ``again``: planners whose rows are made
    anew. Whatever ends it, what is done is not done again: neither a row of the table nor a
    scenario that ``kept`` has.
    """
    print("making the clusters", flush=True)
    posed = [scenarios_of(setting) for setting in settings()]
    place, parts = part
    known = load_results(kept)
    done = {result.problem_id for result in known}
    asked = [
        scenario
        for own in posed[place - 1 :: parts]
        for scenario in own
        if scenario.problem_id not in done or scenario.planner in again
    ]
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = _swept(asked, table, jobs, again)
    save_results(results(rows, [own[0].problem_id for own in posed], known), kept)


def _swept(
    asked: Sequence[Scenario], table: Path, jobs: int | None, again: Collection[str]
) -> list[Row]:
    """All rows of the table once those asked for are there."""
    anew = {scenario.key for scenario in asked if scenario.planner in again}
    finished = {key: row for key, row in load_rows(table).items() if key not in anew}
    todo = remaining(asked, finished)
    saved = time.monotonic()
    try:
        with contextlib.closing(sweep(todo, swath.api.load, jobs)) as rows:
            for done, row in enumerate(rows, 1):
                finished[row.key] = row
                if time.monotonic() - saved > SAVE_EVERY:
                    save_rows(finished.values(), table)
                    saved = time.monotonic()
                    print(f"{done} of {len(todo)}: {row.planner} on {row.model}, {row.cluster}, "
                          f"{row.network}", flush=True)  # fmt: skip
    finally:
        save_rows(finished.values(), table)
    return list(finished.values())

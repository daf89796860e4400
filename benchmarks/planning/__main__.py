"""`auto` against every other planner, how near it is to the bound, and how long it plans.

    python -m benchmarks.planning [--grid [--part 1/8] [--again auto]] [--time [--series devices]]

The grid is simulated: it may run beside other things, and goes on where it was stopped (its rows
are kept in --table, scenarios that are done beside the page). Planning time is measured, and wants
a machine with nothing else to do. The page is written from the files beside it: a line for each
scenario, and every timing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.planning import findings, timing
from benchmarks.planning.grid import run_grid
from benchmarks.planning.results import load_results
from benchmarks.planning.scenarios import planners


def document(kept: Path, timings: Path) -> str:
    """The page; draws its pictures."""
    found, timed = load_results(kept), timing.load_timings(timings)
    heads: list[str] = []
    body: list[str] = []
    if any(result.saving is not None for result in found):
        picture = kept.with_suffix(".png")
        findings.draw(found, picture)
        heads += findings.target_lines(found)
        body += findings.section(found, picture.name)
    if timed:
        picture = timings.with_suffix(".png")
        timing.draw(timed, picture)
        heads += timing.target_lines(timed)
        body += timing.section(timings, picture.name)
    lines = [
        "# Planning",
        "",
        f"`python -m benchmarks.planning`, written on {time.strftime('%Y-%m-%d')}. Every scenario: "
        f"[{kept.name}]({kept.name}); every timing: [{timings.name}]({timings.name}).",
        "",
        "| what | must | strive for | found |",
        "| --- | ---: | ---: | --- |",
        *heads,
        "",
        *body,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _part(text: str) -> tuple[int, int]:
    place, _, parts = text.partition("/")
    if not 1 <= int(place) <= int(parts):
        raise ValueError
    return int(place), int(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--grid", action="store_true", help="the comparison only")
    parser.add_argument("--time", action="store_true", help="planning time only")
    parser.add_argument("--page", action="store_true", help="the page only, from what is there")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N",
                        help="every Nth scenario, from the Ith on")  # fmt: skip
    parser.add_argument("--again", action="append", default=[], choices=planners(),
                        metavar="PLANNER", help="whose rows are made anew")  # fmt: skip
    parser.add_argument("--jobs", type=int, metavar="N", help="default: one for each core")
    parser.add_argument("--table", type=Path, default=Path("swath-out/planning-grid.csv"),
                        metavar="FILE", help="the sweep's own rows")  # fmt: skip
    parser.add_argument("--series", action="append", choices=timing.SERIES,
                        help="of planning time, these only")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/planning.md"))
    options = parser.parse_args()
    kept = options.output.with_name(f"{options.output.stem}-grid.csv")
    timings = options.output.with_name(f"{options.output.stem}-time.json")
    is_all = not (options.grid or options.time or options.page)
    if options.time or is_all:
        timing.measure(options.series or list(timing.SERIES), timings)
    if options.grid or is_all:
        run_grid(kept, options.table, options.part, options.jobs, options.again)
    options.output.write_text(document(kept, timings), encoding="utf-8")
    print("\n".join(line for line in options.output.read_text().splitlines() if "**" in line))


if __name__ == "__main__":
    main()

"""`swath offload --sweep`: what is asked, and what commands print, draw and write down of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

from rich.table import Table

from swath.cli.output import MBIT
from swath.cli.ways import cuts_phrase, format_offer, offer_rows, way_keys, way_label
from swath.errors import InputError
from swath.planners.comparing import Refusal
from swath.planners.methods.offload.reading import OffloadedWay
from swath.planners.sweep.file import write_csv
from swath.planners.sweep.uplinks import Offer, UplinkPoint, changes, log_spaced
from swath.trace.curves import Mark, draw_marked_curves

POINTS = 13
"""Rates of a sweep unless told otherwise: four for each tenfold of 1:1000."""

MOST_POINTS = 1000

COLUMNS = (
    "uplink_mbit", "planner", "predicted_ms", "block", "layers", "paths", "order",
    "layers_before_cut", "servers", "rest_on", "reason",
)  # fmt: skip
"""Of the table that is written."""

_EXAMPLE = "write bandwidth=FROM:TO or bandwidth=FROM:TO:POINTS in Mbit/s, e.g. bandwidth=1:1000:20"


def parse_sweep(text: str) -> list[float]:
    """The rates (bytes/s) of a ``--sweep bandwidth=1:1000:20``; raises InputError in one line."""
    name, _, values = text.partition("=")
    if name.strip() != "bandwidth" or not values:
        raise InputError(f"--sweep {text!r} is not understood; {_EXAMPLE}")
    numbers = values.split(":")
    if len(numbers) not in (2, 3):
        raise InputError(f"--sweep {text!r}: that is no range; {_EXAMPLE}")
    try:
        least, most = float(numbers[0]), float(numbers[1])
        count = int(numbers[2]) if len(numbers) == 3 else POINTS
    except ValueError:
        raise InputError(f"--sweep {text!r}: these are no numbers; {_EXAMPLE}") from None
    if not 0 < least < inf:
        raise InputError(
            f"--sweep {text!r}: over an uplink of {least:g} Mbit/s nothing is sent; "
            "begin with a rate above 0"
        )
    if not least < most < inf:
        raise InputError(f"--sweep {text!r}: the second rate must be above the first; {_EXAMPLE}")
    if not 2 <= count <= MOST_POINTS:
        raise InputError(
            f"--sweep {text!r}: {count} points are no curve that one can wait for; "
            f"take 2 to {MOST_POINTS}"
        )
    return log_spaced(least * MBIT, most * MBIT, count)


def sweep_keys(points: Sequence[UplinkPoint], planner: str) -> dict[str, Any]:
    """A sweep as JSON."""
    return {
        "parameter": "bandwidth",
        "points": [
            {"uplink_mbit": point.rate / MBIT, "rows": offer_rows(point.offers)} for point in points
        ],
        "changes": [
            {
                "uplink_mbit": change.rate / MBIT,
                "of": "cuts or order" if change.is_small else "block, paths or rest",
                "way": way_keys(change.way),
            }
            for change in changes(points, planner)
        ],
    }


def save_table(points: Sequence[UplinkPoint], path: Path) -> None:
    """Write a sweep as CSV, a row for each rate and planner."""
    rows = [
        {"uplink_mbit": point.rate / MBIT, **_flat(planner, found)}
        for point in points
        for planner, found in point.offers.items()
    ]
    write_csv(rows, COLUMNS, path)


def _flat(planner: str, found: Offer | Refusal) -> dict[str, Any]:
    """What a planner offers as cells; of paths, in the order of their turns."""
    if isinstance(found, Refusal):
        return {"planner": planner, "reason": found.reason}
    way = found.way
    return {
        "planner": planner,
        "predicted_ms": found.predicted * 1e3,
        "block": way.block,
        "layers": way.layers,
        "paths": len(way.paths),
        "order": " ".join(map(str, way.order)),
        "layers_before_cut": " ".join(str(path.layers) for path in way.paths),
        "servers": " ".join(path.server or "-" for path in way.paths),
        "rest_on": way.rest,
    }


def draw_sweep(
    points: Sequence[UplinkPoint], planner: str, bound: float, path: Path, title: str
) -> None:
    """Draw latency against the uplink, a line for each planner, the lower ``bound`` (seconds), and
    marks where the planner's way changes."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name in points[0].offers:
        own = [
            (point.rate / MBIT, found.predicted * 1e3)
            for point in points
            if isinstance(found := point.offers[name], Offer)
        ]
        if own:
            lines[name] = own
    marks = [
        Mark(change.rate / MBIT, "" if change.is_small else way_label(change.way))
        for change in changes(points, planner)
    ]
    first = points[0].offers[planner]
    if isinstance(first, Offer):
        marks.insert(0, Mark(points[0].rate / MBIT, way_label(first.way)))
    least = ("lower bound", bound * 1e3)
    labels = ("uplink, Mbit/s", "ms per inference, predicted")
    draw_marked_curves(lines, least, marks, path, title, *labels)


def sweep_table(points: Sequence[UplinkPoint], planner: str) -> Table:
    """Latencies at each rate, and the planner's way where it is not the one of the rate before."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("uplink", justify="right")
    for name in points[0].offers:
        table.add_column(name, justify="right")
    table.add_column(f"the way of {planner}")
    table.add_column("path:layers before cut")
    before: OffloadedWay | None = None
    for point in points:
        found = point.offers[planner]
        way = found.way if isinstance(found, Offer) else None
        said = ("", "") if way is None else (way_label(way), cuts_phrase(way))
        table.add_row(
            f"{point.rate / MBIT:.4g} Mbit/s",
            *(format_offer(each) for each in point.offers.values()),
            *(("as above", "") if way is not None and way == before else said),
        )
        before = way
    return table

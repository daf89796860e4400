"""Ways to offload, what becomes of their paths, and who offers which: as commands print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from swath.cli.output import format_bytes, format_ms
from swath.planners.comparing import Refusal
from swath.planners.methods.offload.reading import Leg, OffloadedWay, Path
from swath.planners.sweep.uplinks import Offer, Offers


def way_keys(way: OffloadedWay) -> dict[str, Any]:
    """A way as JSON, its paths in the order of their turns."""
    return {
        "block": {"last_layer": way.block, "layers": way.layers},
        "order": list(way.order),
        "rest_on": way.rest,
        "paths": [
            {
                "path": path.number,
                "rows": path.rows,
                "rows_of": path.height,
                "cut_after": path.cut,
                "layers_before_cut": path.layers,
                "server": path.server,
            }
            for path in way.paths
        ],
    }


def leg_keys(leg: Leg) -> dict[str, Any]:
    """What becomes of a path, as JSON."""
    return {
        "sent_to": leg.to,
        "sent_bytes": leg.nbytes,
        "computed_ms": None if leg.computed is None else leg.computed * 1e3,
        "received_ms": None if leg.received is None else leg.received * 1e3,
        "finished_ms": leg.finished * 1e3,
    }


def way_phrase(way: OffloadedWay) -> str:
    """Who computes what, in a few words: of several paths not where each is cut."""
    if len(way.paths) > 1:
        behind = "" if way.rest is None else f", then {way.rest}"
        return f"{len(way.paths)} paths to {way.block}{behind}"
    (path,) = way.paths
    stations: list[tuple[str, str | None]] = []
    if path.cut is not None:
        stations.append((way.source, path.cut))
    if path.server is not None:
        stations.append((path.server, way.block))
    if way.rest is not None:
        if stations and stations[-1][0] == way.rest:
            stations.pop()
        stations.append((way.rest, None))
    if len(stations) == 1:
        return f"all on {stations[0][0]}"
    *begun, (last, _) = stations
    return ", ".join([*(f"{device} to {layer}" for device, layer in begun), f"then {last}"])


def way_label(way: OffloadedWay) -> str:
    """The same in fewer words: a block is so many layers."""
    if len(way.paths) > 1:
        behind = "" if way.rest is None else f", then {way.rest}"
        return f"{len(way.paths)} paths of {way.layers} layers{behind}"
    return way_phrase(way)


def cuts_phrase(way: OffloadedWay) -> str:
    """Path by path in the order of turns: its number, after how many layers it is sent, to whom."""
    return " ".join(f"{path.number}:{path.layers}{_away(path, way)}" for path in way.paths)


def _away(path: Path, way: OffloadedWay) -> str:
    several = len({other.server for other in way.paths if other.server is not None}) > 1
    return f">{path.server}" if several and path.server is not None else ""


def path_table(way: OffloadedWay, legs: Sequence[Leg]) -> Table:
    """Where each path goes, and when, in the order of turns."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("path")
    table.add_column("rows")
    table.add_column(f"{way.source} computes up to")
    for title in ("sends", "to"):
        table.add_column(title)
    for title in ("computed", "received", "block done"):
        table.add_column(title, justify="right")
    for path, leg in zip(way.paths, legs, strict=True):
        table.add_row(
            str(path.number),
            "all" if path.rows is None else f"{path.rows[0]}:{path.rows[1]} of {path.height}",
            "nothing" if path.cut is None else f"{path.cut} ({path.layers} of {way.layers})",
            "" if leg.to is None else format_bytes(leg.nbytes),
            leg.to or "",
            _moment(leg.computed),
            _moment(leg.received),
            _moment(leg.finished),
        )
    return table


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else format_ms(seconds * 1e3)


def offer_rows(offers: Offers) -> list[dict[str, Any]]:
    """What planners offer as JSON, a row each; a refusal has a reason instead of a way."""
    return [
        {"planner": planner, "predicted_ms": None, "reason": found.reason}
        if isinstance(found, Refusal)
        else {"planner": planner, "predicted_ms": found.predicted * 1e3, **way_keys(found.way)}
        for planner, found in offers.items()
    ]


def offer_table(offers: Offers, chosen: float) -> Table:
    """Latencies of offers beside those of the one that was chosen (seconds)."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("instead")
    table.add_column("predicted", justify="right")
    table.add_column("times as long", justify="right")
    table.add_column("way")
    for planner, found in offers.items():
        if isinstance(found, Refusal):
            table.add_row(planner, "-", "", found.reason)
        else:
            ratio = f"{found.predicted / chosen:.2f}"
            table.add_row(planner, format_offer(found), ratio, way_phrase(found.way))
    return table


def format_offer(found: Offer | Refusal) -> str:
    """How long it takes, for people."""
    return "-" if isinstance(found, Refusal) else format_ms(found.predicted * 1e3)

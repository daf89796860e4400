"""What `swath allocate` prints and draws of what allocators made of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from swath.cli.output import format_ms
from swath.trace.curves import Panel, draw_curves
from swath.workload.comparing import Row
from swath.workload.metrics import Figures


def figure_keys(found: Figures) -> dict[str, float]:
    return {
        "requests": found.requests,
        "mean_ms": found.mean,
        "p50_ms": found.p50,
        "p95_ms": found.p95,
        "p99_ms": found.p99,
        "missed_share": found.missed,
        "throughput": found.throughput,
    }


def row_keys(row: Row) -> dict[str, Any]:
    return {
        "allocator": row.allocator,
        "load": row.load,
        **figure_keys(row.figures),
        "mean_interval_ms": row.interval,
        "utilisation": row.utilisation.total,
    }


def draw_rows(rows: Sequence[Row], path: Path) -> None:
    """Latencies, misses and use against load, a line for each allocator."""
    draw_curves(
        [
            [_panel("mean latency", rows, "mean"), _panel("95th percentile", rows, "p95")],
            [_panel("missed", rows, "missed"), _panel("useful FLOPs", rows, "useful")],
        ],
        path,
        "ms",
        "share",
    )


def _panel(title: str, rows: Sequence[Row], figure: str) -> Panel:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        value = row.utilisation.total if figure == "useful" else getattr(row.figures, figure)
        lines.setdefault(row.allocator, []).append((row.load, value))
    return Panel(title, "load", {name: sorted(points) for name, points in lines.items()})


_TITLES = ("mean", "median", "95%", "99%", "missed", "a second")


def _latencies(found: Figures) -> list[str]:
    if not found.requests:
        return [""] * len(_TITLES)
    return [
        *(format_ms(value) for value in (found.mean, found.p50, found.p95, found.p99)),
        f"{found.missed:.1%}",
        f"{found.throughput:.3g}",
    ]


def service_table(services: Mapping[str, Figures]) -> Table:
    table = _table("service", "requests", *_TITLES)
    for name, found in services.items():
        table.add_row(name, f"{found.requests:.0f}", *_latencies(found))
    return table


def live_table(services: Mapping[str, tuple[Figures, Figures]]) -> Table:
    """What was measured, and what was to be expected."""
    table = _table("service", "requests", *_TITLES[:4], "missed", "predicted", "95%", "missed")
    for name, (found, expected) in services.items():
        told = [*_latencies(found)[:5], *(_latencies(expected)[place] for place in (0, 2, 4))]
        table.add_row(name, f"{found.requests:.0f}", *told)
    return table


def device_table(names: Sequence[str], row: Row) -> Table:
    table = _table("device", "useful", "busy")
    use = row.utilisation
    for name, useful, busy in zip(names, use.useful, use.busy, strict=True):
        table.add_row(name, f"{useful:.1%}", f"{busy:.1%}")
    return table


def comparison(rows: Sequence[Row]) -> Table:
    table = _table("allocator", "load", *_TITLES, "useful")
    for row in rows:
        mean, *others = _latencies(row.figures)
        if row.interval is not None:
            mean = f"{mean} ± {row.interval:.0f}"
        table.add_row(row.allocator, f"{row.load:g}", mean, *others, f"{row.utilisation.total:.1%}")
    return table


def _table(first: str, *titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for title in titles:
        table.add_column(title, justify="right")
    return table

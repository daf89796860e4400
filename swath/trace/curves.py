"""Curves: how one figure changes with another, a panel for each setting, a line for each thing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.trace.pictures import PALETTE, PICTURE_STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_WIDTH, _HEIGHT, _LEGEND = 2.5, 2.3, 1.3
"""Inches: of a panel, and of what stands beside them."""

_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
"""Which tell lines apart once all colours have been used."""


@dataclass(frozen=True, slots=True)
class Panel:
    """``lines``: points (x, y) by name, in the order of x, which is more than 0."""

    title: str
    x_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw_curves(rows: Sequence[Sequence[Panel]], path: str | os.PathLike[str], unit: str) -> None:
    """Draw rows of panels into a ``.png`` or ``.svg`` file; all panels of a row share the scale of
    y, from 0 on, x is logarithmic. ``unit``: what y is."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in rows for panel in row for name in panel.lines))
    columns = max(len(row) for row in rows)
    with mpl.rc_context(PICTURE_STYLE):
        size = (_WIDTH * columns + _LEGEND, _HEIGHT * len(rows))
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        grid = figure.subplots(len(rows), columns, sharey="row", squeeze=False)
        handles: dict[str, Line2D] = {}
        for axes_of_row, row in zip(grid, rows, strict=True):
            for axes in axes_of_row[len(row) :]:
                axes.set_axis_off()
            axes_of_row[0].set_ylabel(unit)
            for axes, panel in zip(axes_of_row, row, strict=False):
                handles.update(_draw_panel(axes, panel, names))
            axes_of_row[0].set_ylim(bottom=0)  # Only now: it ends the search for the top.
        figure.legend([handles[name] for name in names], names, loc="outside right upper",
                      frameon=False)  # fmt: skip
        figure.savefig(path)


def _draw_panel(axes: Axes, panel: Panel, names: Sequence[str]) -> dict[str, Line2D]:
    """The lines by name, in the style that each name has in every panel."""
    from matplotlib.ticker import NullLocator

    drawn = {}
    for name, points in panel.lines.items():
        turn, colour = divmod(names.index(name), len(PALETTE))
        (drawn[name],) = axes.plot(
            *zip(*points, strict=True),
            color=PALETTE[colour],
            linestyle=_LINES[turn % len(_LINES)],
            marker=_MARKERS[turn % len(_MARKERS)],
            markersize=3,
            linewidth=1.1,
        )
    ticks = sorted({x for points in panel.lines.values() for x, _ in points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(panel.x_label)
    axes.set_title(panel.title, loc="left", fontsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn

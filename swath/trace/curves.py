"""Curves: how one figure changes with another, a panel for each setting, a line for each thing;
or one large panel with marks where something else changes."""

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

_FAINT = "#777777"

_LARGE = (7.6, 4.6)
"""Inches: of a picture of one panel."""

_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
"""Which tell lines apart once all colours have been used."""


@dataclass(frozen=True, slots=True)
class Panel:
    """``lines``: points (x, y) by name, in the order of x, which is more than 0."""

    title: str
    x_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something is otherwise from ``x`` on: what it is now, or nothing where that is a trifle."""

    x: float
    text: str = ""


def draw_curves(rows: Sequence[Sequence[Panel]], path: str | os.PathLike[str], *units: str) -> None:
    """Draw rows of panels into a ``.png`` or ``.svg`` file; all panels of a row share the scale of
    y, from 0 on, x is logarithmic. ``units``: what y is, in all rows or row by row."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in rows for panel in row for name in panel.lines))
    columns = max(len(row) for row in rows)
    with mpl.rc_context(PICTURE_STYLE):
        size = (_WIDTH * columns + _LEGEND, _HEIGHT * len(rows))
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        grid = figure.subplots(len(rows), columns, sharey="row", squeeze=False)
        handles: dict[str, Line2D] = {}
        labels = units if len(units) == len(rows) else units * len(rows)
        for axes_of_row, row, unit in zip(grid, rows, labels, strict=True):
            for axes in axes_of_row[len(row) :]:
                axes.set_axis_off()
            axes_of_row[0].set_ylabel(unit)
            for axes, panel in zip(axes_of_row, row, strict=False):
                handles.update(_draw_panel(axes, panel, names))
            axes_of_row[0].set_ylim(bottom=0)  # Only now: it ends the search for the top.
        figure.legend([handles[name] for name in names], names, loc="outside right upper",
                      frameon=False)  # fmt: skip
        figure.savefig(path)


def draw_marked_curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    least: tuple[str, float],
    marks: Sequence[Mark],
    path: str | os.PathLike[str],
    title: str,
    x_label: str,
    y_label: str,
) -> None:
    """Draw lines, both axes logarithmic, into a ``.png`` or ``.svg`` file: points (x, y) by name,
    in the order of x, all more than 0; where some coincide, the first ones show around the others.
    ``least``: a name and the y below which nothing is. Each mark with a text is a line from top to
    bottom, others are short ones at the bottom."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=_LARGE, dpi=150, layout="constrained")
        axes = figure.add_subplot()
        for line, width in zip(
            _draw_lines(axes, lines, list(lines)).values(), _nested(len(lines)), strict=True
        ):
            line.set(linewidth=width, markersize=2 + width)
        name, bound = least
        axes.axhline(bound, label=name, color=_FAINT, linestyle=":", linewidth=1.0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
        for mark in marks:
            _draw_mark(axes, mark)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(title, x=0.01, ha="left", size=9)
        figure.legend(loc="outside right upper", frameon=False)
        figure.savefig(path)


def _nested(lines: int) -> list[float]:
    """Widths of lines that are drawn one upon the other."""
    return [1.0 + 0.7 * above for above in range(lines - 1, -1, -1)]


def _draw_mark(axes: Axes, mark: Mark) -> None:
    up = axes.get_xaxis_transform()
    if not mark.text:
        axes.plot([mark.x] * 2, [0, 0.03], transform=up, color=_FAINT, linewidth=0.8)
        return
    axes.axvline(mark.x, color=_FAINT, linestyle=(0, (4, 3)), linewidth=0.7, zorder=0)
    axes.annotate(mark.text, (mark.x, 1.0), xycoords=up, xytext=(0, 2), rotation=35, size=6,
                  textcoords="offset points", ha="left", va="bottom", color="#555555",
                  rotation_mode="anchor")  # fmt: skip


def _draw_panel(axes: Axes, panel: Panel, names: Sequence[str]) -> dict[str, Line2D]:
    """The lines by name."""
    from matplotlib.ticker import NullLocator

    drawn = _draw_lines(axes, panel.lines, names)
    ticks = sorted({x for points in panel.lines.values() for x, _ in points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(panel.x_label)
    axes.set_title(panel.title, loc="left", fontsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _draw_lines(
    axes: Axes, lines: Mapping[str, Sequence[tuple[float, float]]], names: Sequence[str]
) -> dict[str, Line2D]:
    """The lines by name, in the style that each name has in every panel."""
    drawn = {}
    for name, points in lines.items():
        turn, colour = divmod(names.index(name), len(PALETTE))
        (drawn[name],) = axes.plot(
            *zip(*points, strict=True),
            color=PALETTE[colour],
            linestyle=_LINES[turn % len(_LINES)],
            marker=_MARKERS[turn % len(_MARKERS)],
            markersize=3,
            linewidth=1.1,
            label=name,
        )
    return drawn

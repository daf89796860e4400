"""Pictures of plans: who computes which rows (columns, channels, features) of which layer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.plan.plan import Plan
from swath.trace.plan_columns import Column, PlanView, Span, plan_view

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#999999",
)  # fmt: skip
"""Okabe and Ito's colours, which the colour-blind can tell apart (yellow and black replaced)."""

_INK, _FAINT, _PALE = "#222222", "#777777", "#e4e4e4"

_LEFT, _RIGHT, _HEAD, _FOOT = 0.62, 0.25, 0.72, 0.42
"""Margins, in inches."""

_ROW, _LABELS = 2.3, 1.05
"""Inches: height of a row of stages, and of what is written over and under it."""

_BAR_PITCH, _MAP_PITCH = 0.86, 2.3
"""Inches from one stage to the next; wider where a map is drawn as such (a grid)."""

_LONGEST_ROW = 12.9
"""Inches; more stages than fit go on in a further row."""

_INPUT, _MAP = (0.04, 0.30), (0.30, 0.92)
"""Where in a column the needed input opens into what is made, and where that is."""

_HATCH = "//////"

PICTURE_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 7.5,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "swath",
    "text.color": _INK,
}


def draw_plan(plan: Plan, path: str | os.PathLike[str], title: str | None = None) -> None:
    """Draw a plan into a ``.png`` or ``.svg`` file.

    Stages from left to right, the split axis of what each makes from top to bottom, a colour per
    device. On the left of each stage, lighter, what a device needs of the stage's input; hatched,
    what of it lies beyond its own share (halo): fetched from others, and computed twice in between.
    Of a grid the map itself is drawn; dashed frames are the needed inputs.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    view = plan_view(plan)
    with matplotlib.rc_context(PICTURE_STYLE):
        figure = Figure(facecolor="white")
        FigureCanvasAgg(figure)
        _draw(figure, view, title or plan.graph.name, plan.planner)
        metadata = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _draw(figure: Figure, view: PlanView, title: str, planner: str) -> None:
    pitch = _MAP_PITCH if any(len(c.axes) == 2 for c in view.columns) else _BAR_PITCH
    rows = max(1, ceil(len(view.columns) * pitch / _LONGEST_ROW))
    per_row = max(1, ceil(len(view.columns) / rows))
    width = max(6.4, _LEFT + _RIGHT + pitch * per_row)
    height = _HEAD + rows * (_ROW + _LABELS) + _FOOT
    figure.set_size_inches(width, height)
    colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(view.devices)}
    for row in range(rows):
        bottom = height - _HEAD - row * (_ROW + _LABELS) - 0.2 - _ROW
        axes = figure.add_axes(
            (_LEFT / width, bottom / height, pitch * per_row / width, _ROW / height)
        )
        _draw_row(axes, view.columns[row * per_row : (row + 1) * per_row], per_row, colours)
    _write_title(figure, view, title, planner)
    _write_legend(figure, view, colours)


def _draw_row(
    axes: Axes, columns: Sequence[Column], places: int, colours: Mapping[str, str]
) -> None:
    for place, column in enumerate(columns):
        if len(column.axes) == 2:
            _draw_map(axes, place, column, colours)
        else:
            _draw_bars(axes, place, column, colours)
        _write_label(axes, place, column)
    axes.set_xlim(0, places)
    axes.set_ylim(1.0, 0.0)
    axes.set_xticks([])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"], color=_FAINT)
    axes.set_ylabel("of the split axis", color=_FAINT, fontsize=7)
    axes.tick_params(length=0, pad=2)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_bars(axes: Axes, place: int, column: Column, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Rectangle

    _draw_input(axes, place, column, colours)
    lanes = max((bar.lane for bar in column.bars), default=0) + 1
    step = (_MAP[1] - _MAP[0]) / lanes
    for index, bar in enumerate(column.bars):
        top, bottom = bar.made[0]
        corner = (place + _MAP[0] + bar.lane * step, top)
        patch = Rectangle(corner, step, bottom - top, facecolor=colours[bar.device])
        _add_tile(axes, patch, column, index)


def _add_tile(axes: Axes, patch: Rectangle, column: Column, index: int) -> None:
    patch.set(edgecolor="white", linewidth=0.8)
    patch.set_gid(f"tile-{column.number}-{index}")
    axes.add_patch(patch)


def _draw_input(axes: Axes, place: int, column: Column, colours: Mapping[str, str]) -> None:
    """What each device needs of the input, as it narrows to what is made of it."""
    from matplotlib.patches import Polygon, Rectangle

    near, far = place + _MAP[0], place + _INPUT[0]
    spans = {
        device: (_hull(bar.made[0] for bar in bars), _hull(bar.needed[0] for bar in bars))
        for device in colours
        if (bars := [bar for bar in column.bars if bar.device == device])
    }
    if len(spans) > 1 and all(needed == (0.0, 1.0) for _, needed in spans.values()):
        axes.add_patch(Rectangle((far, 0), near - far, 1, facecolor=_PALE, linewidth=0))
        return
    for device, ((made_top, made_bottom), (top, bottom)) in spans.items():
        outline = [(far, top), (near, made_top), (near, made_bottom), (far, bottom)]
        colour = colours[device]
        axes.add_patch(Polygon(outline, closed=True, facecolor=colour, alpha=0.22, linewidth=0))
        halos = []
        if top < made_top:
            halos.append([(far, top), (near, made_top), (far, made_top)])
        if bottom > made_bottom:
            halos.append([(far, bottom), (near, made_bottom), (far, made_bottom)])
        for halo in halos:
            axes.add_patch(
                Polygon(halo, closed=True, fill=False, hatch=_HATCH, edgecolor=colour, linewidth=0)
            )


def _hull(spans: Iterable[Span]) -> Span:
    tops, bottoms = zip(*spans, strict=True)
    return min(tops), max(bottoms)


def _draw_map(axes: Axes, place: int, column: Column, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Rectangle

    left, width = place + 0.06, 0.88

    def box(spans: Sequence[Span]) -> tuple[tuple[float, float], float, float]:
        (top, bottom), (first, last) = spans
        return (left + first * width, top), (last - first) * width, bottom - top

    for index, bar in enumerate(column.bars):
        patch = Rectangle(*box(bar.made), facecolor=colours[bar.device])
        _add_tile(axes, patch, column, index)
    for bar in column.bars:
        colour = colours[bar.device]
        for edge, dashes in (("white", "solid"), (colour, (0, (3, 2)))):
            axes.add_patch(
                Rectangle(*box(bar.needed), fill=False, ec=edge, linewidth=1.1, linestyle=dashes)
            )


def _write_label(axes: Axes, place: int, column: Column) -> None:
    first, last = column.positions
    nodes = f"op {first}" if first == last else f"ops {first}–{last}"
    shape = column.shape[1:] if len(column.shape) > 1 and column.shape[0] == 1 else column.shape
    operators = list(column.operators)
    if len(operators) > 3:
        operators = [*operators[:2], "…"]
    middle = place + (0.5 if len(column.axes) == 2 else (_INPUT[0] + _MAP[1]) / 2)
    axes.text(
        middle, 1.03, " × ".join(column.axes) or "whole",
        ha="center", va="top", fontsize=7, fontweight="bold",
    )  # fmt: skip
    lines = ["×".join(map(str, shape)), *operators]
    axes.text(middle, 1.10, "\n".join(lines), ha="center", va="top", fontsize=6.5, linespacing=1.35)
    axes.text(middle, -0.02, nodes, ha="center", va="bottom", fontsize=6.5, color=_FAINT)


def _write_title(figure: Figure, view: PlanView, title: str, planner: str) -> None:
    width, height = figure.get_size_inches()
    left = _LEFT / width
    figure.text(left, 1 - 0.22 / height, title, fontsize=12, fontweight="bold", va="center")
    stages = len(view.columns)
    facts = [f"planner {planner}", f"{stages} stage{'s' if stages != 1 else ''}"]
    if len(view.devices) > 1:
        twice = f"{view.recomputed:.1%}" if view.recomputed >= 5e-4 else "nothing"
        facts.append(
            f"{twice} of the FLOPs computed twice".replace("nothing of the FLOPs", "nothing")
        )
    figure.text(left, 1 - 0.45 / height, " · ".join(facts), fontsize=8, color=_FAINT, va="center")


def _write_legend(figure: Figure, view: PlanView, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches()
    handles = [
        Patch(facecolor=colours[name], label=f"{name} · {view.work[name]:.0%} of the FLOPs")
        for name in view.devices
    ]
    bars = [column for column in view.columns if len(column.axes) == 1]
    if bars:
        handles.append(Patch(facecolor="white", edgecolor=_FAINT, hatch=_HATCH, label="halo"))
        handles.append(Patch(facecolor=_PALE, label="all of the input"))
    if len(bars) < len(view.columns) and len(view.devices) > 1:
        handles.append(
            Patch(facecolor="white", edgecolor=_FAINT, linestyle=(0, (3, 2)), label="needed input")
        )
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(_LEFT / width, 0.12 / height),
        bbox_transform=figure.transFigure,
        ncols=min(len(handles), max(2, int((width - _LEFT) / 1.75))),
        frameon=False,
        fontsize=8,
        handlelength=1.2,
        borderpad=0.0,
        borderaxespad=0.0,
        columnspacing=1.6,
    )

"""Gantt pictures of traces: who computes, sends and receives what, and when."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.errors import InputError
from swath.trace.gantt_view import MESSAGE_COLOURS, GanttView, gantt_view
from swath.trace.lanes import shown
from swath.trace.pictures import PICTURE_STYLE
from swath.trace.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_SUFFIXES = (".png", ".svg", ".html")

_FAINT, _STRIPE = "#777777", "#f4f4f4"

_WIDTH, _RIGHT, _FOOT, _TITLE, _MARK = 12.0, 0.3, 0.78, 0.62, 0.17
"""Inches: of the whole, and of its margins; ``_MARK`` for the latencies of each trace."""

_ROW, _TALLEST = 0.26, 60.0
"""Inches: of a row, and of all rows together, where there are very many."""

_CHARACTER = 0.075
"""Inches that a character of a label takes, at most."""

_MOST_ARROWS = 120
"""More would hide what they join."""

_MOST_LABELS = 14
"""Stages that the legend names; of more, every second, third ..."""

_LINES = ((0, (4, 2)), "solid")


def draw_gantt(
    traces: Sequence[Trace],
    path: str | os.PathLike[str],
    title: str | None = None,
    part: str = "stage",
) -> None:
    """Draw traces into a ``.png``, ``.svg`` or ``.html`` file; raises InputError for another.

    For each device, the traces in the order given one under the other (predicted above measured,
    say): above its computing, in a colour per stage (or what else ``part`` says that tiles are
    named by), then thin what it sends (dark) and receives (pale). Thin lines join a message's two
    ends, where they are not too many. The HTML page needs nothing but itself: the wheel zooms,
    dragging moves, and pointing at a bar tells what it is.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise InputError(f"{path}: a Gantt picture is a {', '.join(PICTURE_SUFFIXES)} file")
    view = gantt_view(traces)
    if suffix == ".html":
        Path(path).write_text(_page(view, title or "Trace", part), encoding="utf-8")
        return
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(PICTURE_STYLE):
        figure = Figure(facecolor="white")
        FigureCanvasAgg(figure)
        _draw(figure, view, title or "Trace", part)
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _draw(figure: Figure, view: GanttView, title: str, part: str) -> None:
    rows = min(_TALLEST, max(1.2, view.height * _ROW))
    head = _TITLE + _MARK * len(view.origins)
    height = head + rows + _FOOT
    left = 0.35 + _CHARACTER * max(
        (len(strip.device) + (10 if len(view.origins) > 1 else 0) for strip in view.strips),
        default=0,
    )
    figure.set_size_inches(_WIDTH, height)
    axes = figure.add_axes(
        (left / _WIDTH, _FOOT / height, (_WIDTH - left - _RIGHT) / _WIDTH, rows / height)
    )
    axes.set_xlim(0, view.end * 1.01 or 1.0)
    axes.set_ylim(view.height + 0.2, -0.2)
    _draw_ground(axes, view)
    _draw_bars(axes, view)
    _draw_arrows(axes, view)
    _draw_marks(axes, view, rows)
    axes.set_xlabel("ms", color=_FAINT, labelpad=1)
    axes.tick_params(axis="x", length=2, pad=2, labelcolor=_FAINT, color=_FAINT)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.text(left / _WIDTH, 1 - 0.22 / height, title, size=12, weight="bold", va="center")
    figure.text(
        left / _WIDTH, 1 - 0.45 / height, _facts(view, part), size=8, color=_FAINT, va="center"
    )
    _draw_legend(figure, view, left)


def _facts(view: GanttView, part: str) -> str:
    """In a few words, what the picture shows."""

    def counted(number: int, what: str) -> str:
        return f"{number} {what}{'' if number == 1 else 's'}"

    tiles = [sum(b.trace == t and b.span.lane == "compute" for b in view.bars)
             for t in range(len(view.origins))]  # fmt: skip
    busy = len({bar.span.device for bar in view.bars if bar.span.lane == "compute"})
    parts = [counted(busy, "device"), counted(len(view.stages), part)]
    parts += [f"{counted(n, 'tile')} {o}" for n, o in zip(tiles, view.origins, strict=True)]
    return " · ".join(parts)


def _draw_ground(axes: Axes, view: GanttView) -> None:
    """Stripes behind the devices, and their names."""
    for index, (top, bottom) in enumerate(view.devices.values()):
        if index % 2 == 0:
            axes.axhspan(top - 0.2, bottom + 0.2, color=_STRIPE, linewidth=0, zorder=0)
    outside: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "ha": "right",
    }
    several = len(view.origins) > 1
    for device, (top, bottom) in view.devices.items():
        x = -0.006 - (0.066 if several else 0.0)
        axes.text(x, (top + bottom) / 2, device, weight="bold", size=8, **outside)
    if several:
        for strip in view.strips:
            middle = (strip.top + strip.bottom) / 2
            origin = view.origins[strip.trace]
            axes.text(-0.006, middle, origin, color=_FAINT, size=6.5, **outside)
    axes.set_yticks([])
    axes.grid(axis="x", color="#e2e2e2", linewidth=0.5, zorder=0.5)
    axes.set_axisbelow(True)


def _draw_bars(axes: Axes, view: GanttView) -> None:
    from matplotlib.collections import PolyCollection

    corners = [
        [(b.start, b.top), (b.end, b.top), (b.end, b.top + b.height), (b.start, b.top + b.height)]
        for b in view.bars
    ]
    colours = [bar.colour for bar in view.bars]
    # The edge keeps bars visible that are narrower than a dot.
    bars = PolyCollection(corners, facecolors=colours, edgecolors=colours, linewidths=0.35)
    bars.set(gid="bars", zorder=2)
    axes.add_collection(bars, autolim=False)
    left, right = axes.get_position().intervalx * _WIDTH
    per_ms = (right - left) / axes.get_xlim()[1]
    for bar in view.bars:
        name = bar.span.name
        if bar.span.lane == "compute" and (bar.end - bar.start) * per_ms > 0.07 * len(name) + 0.06:
            place = ((bar.start + bar.end) / 2, bar.middle)
            axes.text(*place, name, size=5.5, color="white", ha="center", va="center", zorder=4)


def _draw_arrows(axes: Axes, view: GanttView) -> None:
    from matplotlib.collections import LineCollection

    if len(view.arrows) > _MOST_ARROWS:
        return
    ends = [(view.bars[send], view.bars[receive]) for send, receive in view.arrows]
    lines = [[(send.start, send.middle), (receive.end, receive.middle)] for send, receive in ends]
    joined = LineCollection(lines, colors="#333333", linewidths=0.45, alpha=0.45, zorder=3)
    joined.set_gid("arrows")
    axes.add_collection(joined, autolim=False)


def _draw_marks(axes: Axes, view: GanttView, rows: float) -> None:
    """A line where each request is over; its latency above, a line of text per trace."""
    above = axes.get_xaxis_transform()
    for mark in view.marks:
        line = _LINES[1 if view.origins[mark.trace] == "measured" else 0]
        height = 1 + (0.09 + _MARK * (len(view.origins) - 1 - mark.trace)) / rows
        axes.plot([mark.at] * 2, [0, height], transform=above, color="#222222", linewidth=0.8,
                  linestyle=line, clip_on=False, zorder=5)  # fmt: skip
        text = f"{view.origins[mark.trace]} {mark.latency:.4g} ms"
        axes.annotate(text, (mark.at, height), xycoords=above, xytext=(-4, 0), zorder=6,
                      textcoords="offset points", size=7.5, ha="right", va="center",
                      bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6})  # fmt: skip


def _draw_legend(figure: Figure, view: GanttView, left: float) -> None:
    from matplotlib.patches import Patch

    names = list(view.stages)
    step = -(-len(names) // _MOST_LABELS) if names else 1
    handles = [Patch(facecolor=view.stages[name], label=name) for name in names[::step]]
    handles += [Patch(facecolor=colour, label=lane) for lane, colour in MESSAGE_COLOURS.items()]
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(left / width, 0.08 / height),
        bbox_transform=figure.transFigure,
        ncols=min(len(handles), 8),
        frameon=False,
        fontsize=7,
        handlelength=1.0,
        borderpad=0.0,
        borderaxespad=0.0,
        columnspacing=1.4,
        labelspacing=0.3,
    )


def _page(view: GanttView, title: str, part: str) -> str:
    """The view as data in a page that draws itself."""
    data: dict[str, Any] = {
        "title": title,
        "facts": _facts(view, part),
        "origins": view.origins,
        "end": view.end,
        "height": view.height,
        "stages": view.stages,
        "lanes": MESSAGE_COLOURS,
        "devices": [[name, *place] for name, place in view.devices.items()],
        "strips": [[strip.trace, strip.top, strip.bottom] for strip in view.strips],
        "marks": [[mark.trace, mark.at, mark.latency] for mark in view.marks],
        "arrows": view.arrows,
        "bars": [
            [
                shown(bar.span.device), bar.trace, bar.span.lane,
                bar.span.name if bar.span.lane == "compute" else shown(bar.span.name),
                bar.span.request, bar.span.message, bar.span.nbytes,
                bar.start, bar.end, bar.top, bar.height, bar.colour,
            ]
            for bar in view.bars
        ],
    }  # fmt: skip
    # "<" could end the script that holds it.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    template = files("swath.trace").joinpath("gantt_page.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", text)

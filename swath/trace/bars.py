"""Bars: one figure of several things, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping

from swath.trace.pictures import PALETTE, PICTURE_STYLE

_WIDTH, _ROW, _REST = 6.4, 0.26, 0.75
"""Inches: of the picture, of a bar, and of what is written above and below them."""

_LEGEND = 0.25
"""Inches: of what tells several bars of one thing apart."""

_FILLED = 0.7
"""Share of a thing's place that its bars fill."""


def draw_bars(
    series: Mapping[str, Mapping[str, float]],
    path: str | os.PathLike[str],
    title: str,
    unit: str,
) -> None:
    """Draw figures by name into a ``.png`` or ``.svg`` file, those on top that are smallest in the
    first series; of several series, by what they are called, every name has a bar each."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    first = next(iter(series.values()))
    names = sorted(first, key=lambda name: first[name])
    thickness = _FILLED / len(series)
    with mpl.rc_context(PICTURE_STYLE):
        height = _REST + _ROW * len(names) * len(series) + _LEGEND * (len(series) > 1)
        figure = Figure(figsize=(_WIDTH, height), dpi=200, layout="constrained")
        axes = figure.add_subplot()
        for number, (what, figures) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * thickness
            places = {row + offset: name for row, name in enumerate(names) if name in figures}
            lengths = [figures[name] for name in places.values()]
            bars = axes.barh(
                list(places), lengths, color=PALETTE[number], height=thickness, label=what
            )
            axes.bar_label(bars, fmt="%.1f", padding=3)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(unit)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            figure.legend(loc="outside upper right", ncols=len(series), frameon=False)
        figure.savefig(path)

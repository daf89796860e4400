"""Bars: one figure of several things, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping

from swath.trace.pictures import PALETTE, PICTURE_STYLE

_WIDTH, _ROW, _REST = 6.4, 0.26, 0.75
"""Inches: of the picture, of a bar, and of what is written above and below them."""


def draw_bars(
    figures: Mapping[str, float], path: str | os.PathLike[str], title: str, unit: str
) -> None:
    """Draw figures by name into a ``.png`` or ``.svg`` file, the smallest on top."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = sorted(figures, key=lambda name: figures[name])
    with mpl.rc_context(PICTURE_STYLE):
        height = _REST + _ROW * len(names)
        figure = Figure(figsize=(_WIDTH, height), dpi=200, layout="constrained")
        axes = figure.add_subplot()
        bars = axes.barh(names, [figures[name] for name in names], color=PALETTE[0], height=0.7)
        axes.bar_label(bars, fmt="%.1f", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(unit)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)

"""Shares: how many of several trials are over by when, a line for each plan."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from swath.trace.pictures import PALETTE, PICTURE_STYLE

_SIZE = (6.4, 3.4)
"""Inches."""

_LINES = ("-", "--", ":", "-.")
"""Which tell lines apart once all colours have been used."""

_BANDS = 3
"""Lines that may have bands around them; those of more would hide each other."""

_FURTHER = 0.05
"""How far lines go on beyond their last point, as a share of the axis."""

_BEYOND = 2.0
"""Times the mark, from where on lines are of no interest."""


@dataclass(frozen=True)
class Steps:
    """From ``x[i]`` on the share is ``y[i]``, and surely between ``low[i]`` and ``high[i]``;
    arrays of equal length, ``x`` ascending."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def draw_shares(
    lines: Mapping[str, Steps],
    path: str | os.PathLike[str],
    title: str,
    x_label: str,
    y_label: str,
    mark: float | None = None,
) -> None:
    """Draw shares, from 0 to 1, into a ``.png`` or ``.svg`` file. ``mark``: an x of interest."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    left, right = _range(lines.values(), mark)
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=_SIZE, dpi=200, layout="constrained")
        axes = figure.add_subplot()
        for number, (name, steps) in enumerate(lines.items()):
            turn, colour = divmod(number, len(PALETTE))
            x = np.concatenate(([min(left, steps.x[0])], steps.x, [max(right, steps.x[-1])]))
            axes.step(
                x, _around(steps.y), where="post", label=name, color=PALETTE[colour],
                linestyle=_LINES[turn % len(_LINES)], linewidth=1.2,
            )  # fmt: skip
            if len(lines) <= _BANDS:
                axes.fill_between(
                    x[1:], _around(steps.low)[1:], _around(steps.high)[1:], step="post",
                    color=PALETTE[colour], alpha=0.2, linewidth=0,
                )  # fmt: skip
        if mark is not None:
            axes.axvline(mark, color="#777777", linestyle=(0, (4, 3)), linewidth=0.9)
        axes.set_xlim(left, right)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        if len(lines) > 1:
            figure.legend(loc="outside right upper", frameon=False)
        figure.savefig(path)


def _range(lines: Collection[Steps], mark: float | None) -> tuple[float, float]:
    """Of x: all lines; where there is a mark, those far beyond it only as far as is of interest."""
    firsts, lasts = [steps.x[0] for steps in lines], [steps.x[-1] for steps in lines]
    left, right = min(firsts), max(lasts)
    if mark is not None:
        right = max(mark, min(lasts), min(right, _BEYOND * mark))
        left = min(left, mark)
    margin = _FURTHER * (right - left or right)
    return max(0.0, left - margin), right + margin


def _around(values: np.ndarray) -> np.ndarray:
    """Nothing before the first point, the last value after the last one."""
    return np.concatenate(([0.0], values, values[-1:]))

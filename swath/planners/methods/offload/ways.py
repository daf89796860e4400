"""Ways to offload: which block, in how many paths, each cut where, sent to whom, in which turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """One a row. By row: the ``block``, how many ``paths``, and who computes what is behind it
    (``rest``: a server, or -1: the source). By row and path: the place of its ``cut``, its
    ``server``; by row and turn: which path it is (``order``); absent paths come last.
    """

    block: np.ndarray
    paths: np.ndarray
    rest: np.ndarray
    cut: np.ndarray
    server: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.block)

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))

    def take(self, rows: np.ndarray | Sequence[int]) -> Ways:
        return Ways(*(values[rows] for values in self.columns))

    def key(self, row: int) -> tuple[int, ...]:
        """Equal for equal ways."""
        return tuple(int(value) for values in self.columns for value in np.ravel(values[row]))


def joined(ways: Iterable[Ways]) -> Ways:
    """All rows, one set below the other."""
    return Ways(
        *(np.concatenate(values) for values in zip(*(w.columns for w in ways), strict=True))
    )


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The rows, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]

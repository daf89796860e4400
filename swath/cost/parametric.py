"""The physically sane law of an operator's time, and what regressors may see beside it.

    seconds = (alpha * FLOPs + beta * bytes + gamma * weights + ... + t0) / (1 - felt)
    felt = delta * load / (1 + fairness * load)

with nothing negative, so that more work never takes less time, also far from every sample. It is
the parametric fallback of FCPM (Shen 2023; OfpCNN, Yang et al., TPDS 2023), where ``t0`` stands
outside the quotient and ``fairness`` is not. Here ``t0`` is CPU time as well, which others' load
stretches alike. Fairness: whoever is busy for a share L of the time while nobody competes gets half
of the CPU while somebody does, and is busy for twice as long. In a period 1 + L, as long as its
work and its pauses last then, L is left besides 1 - L: work takes 1 + L times as long, which is the
law with both at 1. Against a load that always comes first it takes 1 / (1 - L): fairness 0.

What FLOPs and bytes do not tell is how well an engine can use a core: vector kernels make blocks
of output channels, a few blocks at a time, read a few input channels badly, treat the columns at a
border one by one, lose what they read to their own writes where channels lie whole pages apart, and
meet slower memory as data grow. Each is one more term, also not negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Self

import numpy as np

from swath.cost.features import CHANNEL_BLOCK, FAR, NEAR, Features

BLOCKS_AT_ONCE = 4
QUARTER = CHANNEL_BLOCK // 4
"""The least that is moved at once."""

WAYS = 8
PAGE = 4096
"""Lines that a set of a core's first cache holds, at the least, and bytes after which its sets come
again."""

CACHE_SIZES = tuple(2.0**power for power in range(17, 24))
"""Bytes that caches may hold. What is moved beyond one comes from a slower memory, all of it
where it is twice as much."""

DISTANCES = tuple(NEAR * 2**power for power in range(int(np.log2(FAR / NEAR))))
"""Bytes read between two uses of the same weights that may make these come from slower memory."""

SAMPLES_PER_TERM = 1
"""With fewer, only FLOPs, bytes, weights and the constant are fitted."""

FASTER = 1.25
"""How much faster than the fastest sample FLOPs may be."""

_ROUNDS = 4
_FLOOR = 0.02
_COLUMNS = len(fields(Features))
HIGHEST_LOAD = 0.98


def matrix(features: Sequence[Features]) -> np.ndarray:
    """One row per part: the fields of `Features` in their order."""
    return np.array([astuple(f) for f in features], dtype=float).reshape(len(features), _COLUMNS)


def _derived(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries written, height (times batch) of what is written, input channels of an entry."""
    flops, _, written, _, kernel, channels, width, _ = rows.T
    entries = np.maximum(1.0, written / 4)
    heights = np.maximum(1.0, entries / (channels * width))
    inputs = np.maximum(1.0, flops / (2 * entries * kernel))
    return entries, heights, inputs


def _meeting(rows: np.ndarray) -> np.ndarray:
    """How many channels of a block have their same entry in one set of the first cache: all where
    channels begin whole pages apart, fewer the less their distance has in common with a page."""
    channels = rows.T[5]
    _, heights, _ = _derived(rows)
    apart = np.rint(heights * rows.T[6]).astype(np.int64)
    return np.asarray(np.minimum(channels, CHANNEL_BLOCK) * np.gcd(apart, PAGE // 4) / (PAGE // 4))


def basic_terms(rows: np.ndarray) -> np.ndarray:
    """FLOPs, bytes of maps, bytes of weights, one: the published law."""
    flops, read, written, weights = rows.T[:4]
    return np.stack([flops, read + written, weights, np.ones(len(rows))], axis=1)


def all_terms(rows: np.ndarray) -> np.ndarray:
    """Everything that time may grow with; of two that may be alike in all samples, first the one to
    believe elsewhere."""
    flops, read, written, weights, kernel, channels, width, away = rows.T
    entries, heights, inputs = _derived(rows)
    blocks = np.ceil(channels / CHANNEL_BLOCK)
    rest = blocks % BLOCKS_AT_ONCE
    in_blocks = flops * CHANNEL_BLOCK / channels  # of one block of channels
    moved = np.maximum(1.0, read + written + weights)
    terms = [
        flops,
        np.ones(len(rows)),
        in_blocks * (blocks - rest),
        *(in_blocks * rest * (rest == count) for count in range(1, BLOCKS_AT_ONCE)),
        flops * np.minimum(1.0, (np.sqrt(kernel) - 1) / width),  # columns at the border
        flops / (heights * width),  # weights read again for few entries
        flops * (kernel == 1),
        entries * kernel,
        entries * kernel * (inputs < CHANNEL_BLOCK),
        read,
        written,
        weights,
        entries / width,  # once a row of a channel
        heights,
        entries / (heights * width),  # once a channel
        entries * (channels % CHANNEL_BLOCK > 0),  # a block that is not full
        entries * (channels % QUARTER > 0),
        entries * (heights * width % CHANNEL_BLOCK > 0),  # channels that begin amid a cache line
        entries * (heights * width % QUARTER > 0),
        np.minimum(read, written) * (_meeting(rows) > WAYS),
        *(moved * np.clip(np.log2(moved / size), 0.0, 1.0) for size in CACHE_SIZES),
        *(weights * np.clip(np.log2(away / size), 0.0, 1.0) for size in DISTANCES),
    ]
    return np.stack(terms, axis=1)


def learning_features(rows: np.ndarray) -> np.ndarray:
    """What regressors see: logarithms of sizes and shapes, how full blocks are. Not the load: what
    it does is the same for all, and few shapes are timed under one."""
    flops, read, written, weights, kernel, channels, width, away = rows.T
    _, heights, inputs = _derived(rows)
    blocks = np.ceil(channels / CHANNEL_BLOCK)
    columns = [
        np.log(np.maximum(1.0, flops)),
        np.log(np.maximum(1.0, read + written + weights)),
        np.log(np.maximum(1.0, weights)),
        np.log(np.clip(away, NEAR, FAR) / NEAR),
        np.log(np.maximum(1.0, read) / np.maximum(1.0, written)),
        np.log(kernel),
        np.log(channels),
        np.log(width),
        np.log(heights),
        np.log(inputs),
        np.log(blocks * CHANNEL_BLOCK / channels),
        np.log(np.ceil(blocks / BLOCKS_AT_ONCE) * BLOCKS_AT_ONCE / blocks),
        1 / width,
        1 / heights,
        channels % CHANNEL_BLOCK > 0,
        channels % QUARTER > 0,
        heights * width % CHANNEL_BLOCK > 0,
        heights * width % QUARTER > 0,
        np.log2(np.maximum(1.0, _meeting(rows))),
    ]
    return np.stack(columns, axis=1)


def relative_fit(
    terms: np.ndarray, target: np.ndarray, known: np.ndarray | float = 0.0
) -> np.ndarray:
    """Coefficients >= 0 of ``target ~ known + terms @ coefficients``, small in mean absolute
    relative error (non-negative least squares, reweighted towards absolute errors)."""
    from scipy.optimize import nnls

    scale = np.maximum(terms.max(axis=0), np.finfo(float).tiny)
    relative = terms / scale / target[:, None]
    rest = 1 - known / target
    weight = np.ones(len(target))
    coefficients = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        coefficients, _ = nnls(relative * weight[:, None], rest * weight)
        error = np.abs(relative @ coefficients - rest)
        weight = 1 / np.sqrt(np.maximum(error, _FLOOR))
    return np.asarray(coefficients / scale)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How others' load makes work last longer: see the law above."""

    delta: float
    fairness: float

    def of(self, load: np.ndarray | float) -> np.ndarray:
        """Factor on the time of an idle device; ``load`` at most `HIGHEST_LOAD`."""
        return np.asarray(1 / (1 - self.delta * load / (1 + self.fairness * load)))


FAIR = Stretch(1.0, 1.0)
_STRETCHES = tuple(
    Stretch(float(delta), float(fairness))
    for fairness in np.linspace(1.0, 0.0, 5)
    for delta in np.linspace(1.0, 0.0, 41)
)


class Parametric:
    """The law above, fitted to samples of one family.

    ``coefficients_``: seconds per unit of each term; ``stretch_``: what load does.
    """

    coefficients_: np.ndarray
    stretch_: Stretch

    def fit(
        self, rows: np.ndarray, load: np.ndarray, seconds: np.ndarray, stretch: Stretch
    ) -> Self:
        """``rows``: as `matrix` gives; ``load`` and ``seconds``: one per row; ``stretch``: what
        load does."""
        self._terms = _affordable_terms(len(rows))
        self.stretch_ = stretch
        self.coefficients_ = _fit(self._terms(rows), seconds / stretch.of(load))
        return self

    def predict(self, rows: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Seconds, above zero."""
        alone = self._terms(rows) @ self.coefficients_
        return np.asarray(np.maximum(alone * self.stretch_.of(load), 1e-9))


def _fit(terms: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Coefficients of terms whose first is FLOPs. However much larger a part is than all that was
    seen, it is not computed much faster than the fastest of these. A term that no sample tells from
    an earlier one gets none: elsewhere the two differ, by a thousand times perhaps."""
    flops = terms[:, 0]
    computing = flops > 0
    fastest = np.min(seconds[computing] / flops[computing], initial=np.inf)
    least = float(fastest) / FASTER if computing.any() else 0.0
    found = np.zeros(terms.shape[1])
    told_apart = _told_apart(terms)
    found[told_apart] = relative_fit(terms[:, told_apart], seconds, least * flops)
    found[0] += least
    return found


def _told_apart(terms: np.ndarray) -> list[int]:
    """The columns that are no multiple of an earlier one."""
    first: dict[bytes, int] = {}
    for place, column in enumerate(terms.T):
        largest = column.max()
        shape = np.round(column / largest, 9).tobytes() if largest > 0 else b""
        first.setdefault(shape, place)
    return sorted(first.values())


_TERMS = all_terms(np.ones((1, _COLUMNS))).shape[1]


def _affordable_terms(samples: int) -> Callable[[np.ndarray], np.ndarray]:
    return all_terms if samples >= _TERMS * SAMPLES_PER_TERM else basic_terms


def stretch_of_ratios(load: np.ndarray, ratios: np.ndarray) -> Stretch:
    """What makes work last longer by these ratios under these loads, best in mean relative
    error."""
    return min(_STRETCHES, key=lambda stretch: float(np.abs(stretch.of(load) / ratios - 1).mean()))

"""The physically sane law of an operator's time, and what regressors may see beside it.

    seconds = (alpha * FLOPs + beta * bytes + gamma * weights + ... + t0) / (1 - felt)
    felt = min(delta * load, most)

with nothing negative, so that more work never takes less time, also far from every sample. It is
the parametric fallback of FCPM (Shen 2023; OfpCNN, Yang et al., TPDS 2023), where ``t0`` stands
outside the quotient and ``most`` is not. Here ``t0`` is CPU time as well, which others' load
stretches alike; and ``most`` is there because a fair scheduler leaves a thread its share, however
much others want (half of a core against one other thread).

What FLOPs and bytes do not tell is how well an engine can use a core: vector kernels make blocks
of output channels, a few blocks at a time, read a few input channels badly, treat the columns at a
border one by one, and meet slower memory as data grow. Each is one more term, also not negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from swath.cost.features import Features

CHANNEL_BLOCK = 16
"""Output channels that one vector of a current core holds, or a small multiple of it."""

BLOCKS_AT_ONCE = 4
CACHE_SIZES = tuple(2.0**power for power in range(18, 24))
"""Bytes from which on a byte may cost more: the hinges at the sizes that caches have."""

SAMPLES_PER_TERM = 3
"""With fewer, only FLOPs, bytes, weights and the constant are fitted."""

_ROUNDS = 6
_FLOOR = 0.02
_ALTERNATIONS = 2
_CALM = 0.02
HIGHEST_LOAD = 0.98


def matrix(features: Sequence[Features]) -> np.ndarray:
    """One row per part: the fields of `Features` in their order."""
    return np.array(
        [
            (f.flops, f.read, f.written, f.weights, f.kernel, f.channels, f.width)
            for f in features
        ],
        dtype=float,
    ).reshape(len(features), 7)  # fmt: skip


def _derived(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries written, height (times batch) of what is written, input channels of an entry."""
    flops, _, written, _, kernel, channels, width = rows.T
    entries = np.maximum(1.0, written / 4)
    heights = np.maximum(1.0, entries / (channels * width))
    inputs = np.maximum(1.0, flops / (2 * entries * kernel))
    return entries, heights, inputs


def basic_terms(rows: np.ndarray) -> np.ndarray:
    """FLOPs, bytes of maps, bytes of weights, one: the published law."""
    flops, read, written, weights = rows.T[:4]
    return np.stack([flops, read + written, weights, np.ones(len(rows))], axis=1)


def all_terms(rows: np.ndarray) -> np.ndarray:
    """Everything that time may grow with."""
    flops, read, written, weights, kernel, channels, width = rows.T
    entries, heights, inputs = _derived(rows)
    blocks = np.ceil(channels / CHANNEL_BLOCK)
    rest = blocks % BLOCKS_AT_ONCE
    in_blocks = flops * CHANNEL_BLOCK / channels  # of one block of channels
    moved = read + written + weights
    terms = [
        flops,
        in_blocks * (blocks - rest),
        *(in_blocks * rest * (rest == count) for count in range(1, BLOCKS_AT_ONCE)),
        flops * np.minimum(1.0, (np.sqrt(kernel) - 1) / width),  # columns at the border
        flops / (heights * width),  # weights read again for few entries
        flops * (kernel == 1),
        entries * kernel * (inputs < CHANNEL_BLOCK),
        read,
        written,
        weights,
        entries / width,  # once a row of a channel
        heights,
        np.ones(len(rows)),
        *(np.maximum(0.0, moved - size) for size in CACHE_SIZES),
    ]
    return np.stack(terms, axis=1)


def learning_features(rows: np.ndarray, load: np.ndarray) -> np.ndarray:
    """What regressors see: logarithms of sizes and shapes, how full blocks are, the load."""
    flops, read, written, weights, kernel, channels, width = rows.T
    _, heights, inputs = _derived(rows)
    blocks = np.ceil(channels / CHANNEL_BLOCK)
    columns = [
        np.log(np.maximum(1.0, flops)),
        np.log(np.maximum(1.0, read + written + weights)),
        np.log(np.maximum(1.0, weights)),
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
        load,
        -np.log(1 - load),
    ]
    return np.stack(columns, axis=1)


def relative_fit(terms: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients >= 0 of ``target ~ terms @ coefficients``, small in mean absolute relative error
    (non-negative least squares, reweighted towards absolute errors)."""
    from sklearn.linear_model import LinearRegression

    scale = np.maximum(terms.max(axis=0), np.finfo(float).tiny)
    relative = terms / scale / target[:, None]
    weight = np.ones(len(target))
    coefficients = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        model = LinearRegression(positive=True, fit_intercept=False)
        model.fit(relative * weight[:, None], weight)
        coefficients = np.asarray(model.coef_)
        error = np.abs(relative @ coefficients - 1)
        weight = 1 / np.sqrt(np.maximum(error, _FLOOR))
    return np.asarray(coefficients / scale)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How others' load makes work last longer: see the law above."""

    delta: float
    most: float

    def of(self, load: np.ndarray) -> np.ndarray:
        """Factor on the time of an idle device."""
        return np.asarray(1 / (1 - np.minimum(self.delta * load, self.most)))


NO_STRETCH = Stretch(0.0, 0.0)
_STRETCHES = tuple(
    Stretch(float(delta), most)
    for most in (HIGHEST_LOAD, 0.75, 2 / 3, 0.5)
    for delta in np.linspace(1.0, 0.0, 41)
)


class Parametric:
    """The law above, fitted to samples of one family.

    ``coefficients_``: seconds per unit of each term; ``stretch_``: what load does.
    """

    coefficients_: np.ndarray
    stretch_: Stretch

    def fit(self, rows: np.ndarray, load: np.ndarray, seconds: np.ndarray) -> Self:
        """``rows``: as `matrix` gives; ``load`` and ``seconds``: one per row."""
        self.stretch_ = _stretch_of(rows, load, seconds)
        self._terms = _affordable_terms(len(rows))
        terms = self._terms(rows)
        for _ in range(_ALTERNATIONS):
            self.coefficients_ = relative_fit(terms, seconds / self.stretch_.of(load))
            if load.max() == 0:
                break
            self.stretch_ = _best_stretch(terms @ self.coefficients_, load, seconds)
        return self

    def predict(self, rows: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Seconds, above zero."""
        alone = self._terms(rows) @ self.coefficients_
        return np.asarray(np.maximum(alone * self.stretch_.of(load), 1e-9))


_TERMS = all_terms(np.ones((1, 7))).shape[1]


def _affordable_terms(samples: int) -> Callable[[np.ndarray], np.ndarray]:
    return all_terms if samples >= _TERMS * SAMPLES_PER_TERM else basic_terms


def _stretch_of(rows: np.ndarray, load: np.ndarray, seconds: np.ndarray) -> Stretch:
    """A first guess: how much longer loaded samples take than a fit to the calmest says."""
    if load.max() == 0:
        return NO_STRETCH
    calm = load <= load.min() + _CALM
    terms = _affordable_terms(int(calm.sum()))
    alone = relative_fit(terms(rows[calm]), seconds[calm])
    return _best_stretch(terms(rows) @ alone, load, seconds)


def _best_stretch(alone: np.ndarray, load: np.ndarray, seconds: np.ndarray) -> Stretch:
    """What makes of times on an idle device the measured ones, best in mean relative error."""
    return min(
        _STRETCHES,
        key=lambda stretch: float(np.abs(alone * stretch.of(load) / seconds - 1).mean()),
    )

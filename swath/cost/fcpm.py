"""FCPM: the time of a layer from its FLOPs and the CPU load, one set of models per device.

"Layer latency from FLOPs and CPU load, one set per device, common regression algorithms compared"
(Shen 2023; OfpCNN, Yang et al., TPDS 2023). The published candidates are here; how features are
transformed is ours. Each regressor learns the logarithm of how far the parametric law
(`swath.cost.parametric`) is off, so that it is as sane as the law where it has seen nothing.

Nothing fitted is ever stored: samples are, and models are fitted again when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from swath.cluster.profile import Sample
from swath.cost.features import Features
from swath.cost.parametric import (
    FAIR,
    HIGHEST_LOAD,
    Parametric,
    Stretch,
    learning_features,
    matrix,
    stretch_of_ratios,
)
from swath.errors import ClusterError

PARAMETRIC = "parametric"
FEW_SHAPES = 12
"""With fewer shapes of a family nothing but the parametric law is tried."""


FINALISTS = 3
"""Candidates that are tried in more than the first fold."""

CLEAR = 0.001
"""Accuracy by which a candidate must surpass those named before it, which are simpler."""


class Regressor(Protocol):
    """What is used of scikit-learn's."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any: ...

    def predict(self, x: np.ndarray) -> np.ndarray: ...


def _scaled(*steps: Any) -> Regressor:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline: Regressor = make_pipeline(StandardScaler(), *steps)
    return pipeline


def _linear(seed: int) -> Regressor:
    from sklearn.linear_model import LinearRegression

    return _scaled(LinearRegression())


def _polynomial(seed: int) -> Regressor:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import PolynomialFeatures

    # Squares and products outnumber the samples of small families: a little shrinking.
    return _scaled(PolynomialFeatures(degree=2, include_bias=False), Ridge(alpha=3.0))


def _ridge(seed: int) -> Regressor:
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(alpha=1.0))


def _nearest_neighbours(seed: int) -> Regressor:
    from sklearn.neighbors import KNeighborsRegressor

    return _scaled(KNeighborsRegressor(n_neighbors=5, weights="distance", algorithm="brute"))


def _support_vector(seed: int) -> Regressor:
    from sklearn.svm import SVR

    return _scaled(SVR(C=3.0, epsilon=0.03, gamma=0.03))


def _random_forest(seed: int) -> Regressor:
    from sklearn.ensemble import RandomForestRegressor

    forest: Regressor = RandomForestRegressor(
        n_estimators=20, min_samples_leaf=2, max_features=0.5, random_state=seed
    )
    return forest


def _gradient_boosting(seed: int) -> Regressor:
    from sklearn.ensemble import GradientBoostingRegressor

    boosting: Regressor = GradientBoostingRegressor(
        n_estimators=50, learning_rate=0.12, max_depth=4, subsample=0.7, max_features=0.5,
        min_samples_leaf=4, random_state=seed,
    )  # fmt: skip
    return boosting


REGRESSORS: Mapping[str, Callable[[int], Regressor]] = {
    "linear": _linear,
    "polynomial": _polynomial,
    "ridge": _ridge,
    "nearest_neighbours": _nearest_neighbours,
    "support_vector": _support_vector,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
}
"""By name: a fresh regressor from a seed."""

CANDIDATES = (PARAMETRIC, *REGRESSORS)


class FamilyModel:
    """The law of one family, and a regressor of its error (None: the law alone)."""

    def __init__(self, law: Parametric, correction: Regressor | None, seen: np.ndarray) -> None:
        """``seen``: least and most of each of `learning_features`, and of the law's error."""
        self.law = law
        self._correction = correction
        self._seen = seen

    def predict(self, rows: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Seconds of each row of `matrix`."""
        seconds = self.law.predict(rows, load)
        if self._correction is None:
            return seconds
        # Beyond what was ever seen there is no reason to believe a correction: what was seen last
        # is corrected, and the law says the rest.
        features = np.clip(learning_features(rows), *self._seen[:, :-1])
        correction = self._correction.predict(features)
        return np.asarray(seconds * np.exp(np.clip(correction, *self._seen[:, -1])))


class FCPM:
    """Time models of one device, one per operator family.

    ``candidates``: names from `CANDIDATES`, the simpler first; ``folds`` of the cross-validation
    that chooses among them; ``chosen``: names by family, known from an earlier fit to the same
    samples, where nothing needs to be tried. After `fit`, by family: ``models_``, ``chosen_`` (the
    name), ``accuracy_``: 1 - mean absolute percentage error on shapes that the model was not
    trained on (missing where there is but one shape). ``stretch_``: what load does to all of them
    (`FAIR` where no shape was timed both with and without a load).
    """

    models_: dict[str, FamilyModel]
    chosen_: dict[str, str]
    accuracy_: dict[str, float]
    stretch_: Stretch

    def __init__(
        self,
        candidates: Sequence[str] = CANDIDATES,
        folds: int = 4,
        random_state: int = 0,
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        self.candidates = candidates
        self.folds = folds
        self.random_state = random_state
        self.chosen = chosen

    def fit(self, samples: Sequence[Sample]) -> Self:
        """Choose and fit a model for each family that has samples.

        Raises ClusterError where there is no sample at all.
        """
        if not samples:
            raise ClusterError("a profile holds no samples; measure it again with swath profile")
        from threadpoolctl import threadpool_limits

        self.models_, self.chosen_, self.accuracy_ = {}, {}, {}
        self.stretch_ = _stretch(samples)
        # Small matrices: several threads cost more than they bring, most of all on busy cores.
        with threadpool_limits(limits=1):
            # A family without samples of its own is told from what all operators share.
            law = Parametric().fit(*_Data.of(samples), self.stretch_)
            self._any = FamilyModel(law, None, np.zeros((2, 1)))
            for family in sorted({sample.family for sample in samples}):
                self._fit_family(family, [s for s in samples if s.family == family])
        return self

    def predict(self, family: str, features: Sequence[Features], load: float = 0.0) -> np.ndarray:
        """Seconds of parts of operators of one family while others use ``load`` of the CPU."""
        rows = matrix(features)
        model = self.models_.get(family, self._any)
        return model.predict(rows, np.full(len(rows), min(load, HIGHEST_LOAD)))

    def _fit_family(self, family: str, samples: Sequence[Sample]) -> None:
        data = _Data.of(samples)
        known = (self.chosen or {}).get(family, "")
        if known in self.candidates:
            self._take(family, known, data)
            return
        shapes = len({sample.shape for sample in samples})
        names = [PARAMETRIC] if shapes < FEW_SHAPES else list(self.candidates)
        accuracy = self._cross_validated(data, [s.shape for s in samples], names)
        chosen = names[0]
        if accuracy:
            best = max(accuracy.values())
            chosen = next(name for name in accuracy if accuracy[name] >= best - CLEAR)
            self.accuracy_[family] = accuracy[chosen]
        self._take(family, chosen, data)

    def _take(self, family: str, chosen: str, data: _Data) -> None:
        self.chosen_[family] = chosen
        self.models_[family] = _fitted(data, [chosen], self.random_state, self.stretch_)[chosen]

    def _cross_validated(
        self, data: _Data, shapes: Sequence[str], names: Sequence[str]
    ) -> dict[str, float]:
        """Accuracy by candidate, of those that are among the best after the first fold; a shape is
        never in both halves. Empty for a single shape."""
        errors: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for train, test in _grouped_folds(shapes, self.folds, self.random_state):
            models = _fitted(data.only(train), list(errors), self.random_state, self.stretch_)
            held_out = data.only(test)
            for name, model in models.items():
                predicted = model.predict(held_out.rows, held_out.load)
                errors[name].append(np.abs(predicted / held_out.seconds - 1))
            best = sorted(errors, key=lambda name: float(np.concatenate(errors[name]).mean()))
            errors = {name: of for name, of in errors.items() if name in best[:FINALISTS]}
        return {
            name: float(1 - np.concatenate(found).mean()) for name, found in errors.items() if found
        }


def features_of(sample: Sample) -> Features:
    """What was computed where a sample was taken."""
    return Features(**{field.name: getattr(sample, field.name) for field in fields(Features)})


class _Data(NamedTuple):
    """Rows of `matrix`, loads and seconds of some samples."""

    rows: np.ndarray
    load: np.ndarray
    seconds: np.ndarray

    @staticmethod
    def of(samples: Sequence[Sample]) -> _Data:
        features = [features_of(sample) for sample in samples]
        load = np.array([min(s.load, HIGHEST_LOAD) for s in samples])
        return _Data(matrix(features), load, np.array([s.seconds for s in samples]))

    def only(self, chosen: np.ndarray) -> _Data:
        return _Data(self.rows[chosen], self.load[chosen], self.seconds[chosen])


def _stretch(samples: Sequence[Sample]) -> Stretch:
    """What load does, from shapes that were timed with and without; where there are none, what a
    fair scheduler lets it do."""
    alone = {(s.family, s.shape): s.seconds for s in samples if not s.load}
    loaded = [s for s in samples if s.load and (s.family, s.shape) in alone]
    if not loaded:
        return FAIR
    ratios = np.array([s.seconds / alone[s.family, s.shape] for s in loaded])
    return stretch_of_ratios(np.array([min(s.load, HIGHEST_LOAD) for s in loaded]), ratios)


def _fitted(
    data: _Data, names: Sequence[str], seed: int, stretch: Stretch
) -> dict[str, FamilyModel]:
    """Every named candidate, fitted; they share the law."""
    law = Parametric().fit(*data, stretch)
    error = np.log(data.seconds / law.predict(data.rows, data.load))
    features = learning_features(data.rows)
    everything = np.column_stack([features, error])
    seen = np.stack([everything.min(axis=0), everything.max(axis=0)])
    models = {}
    for name in names:
        correction = None if name == PARAMETRIC else REGRESSORS[name](seed)
        if correction is not None:
            correction.fit(features, error)
        models[name] = FamilyModel(law, correction, seen)
    return models


def _grouped_folds(
    groups: Sequence[str], folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(train, test) positions; all members of a group lie on the same side."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[place]: index % folds for index, place in enumerate(order)}
    found = np.array([fold_of[group] for group in groups])
    for fold in range(min(folds, len(names))):
        train, test = np.flatnonzero(found != fold), np.flatnonzero(found == fold)
        if len(train) and len(test):
            yield train, test


@lru_cache(maxsize=64)
def fitted(samples: tuple[Sample, ...], chosen: tuple[tuple[str, str], ...] = ()) -> FCPM:
    """The models of these samples; fitted once, however many devices share them. ``chosen``: as in
    `FCPM`, pairs of family and name."""
    return FCPM(chosen=dict(chosen)).fit(samples)

"""FCPM finds the law behind samples, chooses by what it was not trained on, and stays sane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from swath.cluster.profile import Sample
from swath.cost.fcpm import CANDIDATES, FCPM, PARAMETRIC, REGRESSORS, features_of
from swath.cost.features import FAR, NEAR
from swath.cost.parametric import FAIR, Parametric, matrix
from swath.errors import ClusterError
from tests.cost.laws import (
    BYTES_PER_SECOND,
    FIXED,
    GFLOPS,
    convolutions,
    loaded,
    matrices,
    moving,
    plain_law,
)


def test_a_few_samples_give_the_published_law_back() -> None:
    samples = convolutions(10)
    rows = matrix([features_of(sample) for sample in samples])
    seconds = np.array([sample.seconds for sample in samples])
    law = Parametric().fit(rows, np.zeros(10), seconds, FAIR)
    assert law.coefficients_ == pytest.approx(
        [1 / GFLOPS, 1 / BYTES_PER_SECOND, 1 / BYTES_PER_SECOND, FIXED], rel=1e-3
    )
    assert (law.coefficients_ >= 0).all()


def test_load_stretches_as_a_fair_scheduler_lets_it() -> None:
    alone = convolutions(60)
    busy = [s for load in (0.2, 0.4, 0.6, 0.8) for s in loaded(alone[:10], load, 1 + load)]
    model = FCPM(candidates=[PARAMETRIC]).fit([*alone, *busy])
    assert model.stretch_ == model.models_["convolution"].law.stretch_ == FAIR
    one = [features_of(convolutions(1)[0])]
    idle, half, most = (model.predict("convolution", one, load)[0] for load in (0.0, 0.4, 0.8))
    assert half / idle == pytest.approx(1.4, rel=0.02)
    assert most / idle == pytest.approx(1.8, rel=0.02)


def test_what_is_large_is_no_faster_than_what_was_seen() -> None:
    """A few small samples whose time follows from their bytes as well as from their FLOPs."""
    small = [replace(s, seconds=s.flops / GFLOPS) for s in convolutions(8)]
    law = FCPM(candidates=[PARAMETRIC]).fit(small)
    large = features_of(replace(small[0], flops=1e12, kernel=9.0))
    assert law.predict("convolution", [large])[0] > 0.7 * 1e12 / GFLOPS


def test_what_is_the_same_in_all_samples_does_not_grow_elsewhere() -> None:
    """All samples make one row. What each takes besides its FLOPs and bytes may be so much a row or
    so much in all; thousands of rows of three columns are as little work either way."""
    law = FCPM(candidates=[PARAMETRIC]).fit(matrices(200))
    rows = replace(
        matrices(1)[0], flops=64512.0, read=84.0, written=43008.0, weights=18432.0, channels=3.0
    )
    assert law.predict("dense", [features_of(rows)])[0] < 4 * plain_law(rows)


def test_channels_whole_pages_apart_get_in_each_others_way() -> None:
    """Maps of 32 x 32 entries are whole pages. Those of 64 x 64 are, too, but nobody timed them."""

    def timed(channels: int, side: int) -> Sample:
        nbytes = 4.0 * channels * side * side
        pace = 3e-10 if side % 32 == 0 else 1e-10
        return Sample(
            "unblocking", f"{channels}x{side}", 0.0, nbytes, nbytes, 0.0, 1.0, channels, side, NEAR,
            0.0, 2e-6 + nbytes * pace,
        )  # fmt: skip

    known = [timed(channels, side) for channels in (16, 64, 256) for side in range(20, 60, 2)]
    model = FCPM(candidates=[PARAMETRIC]).fit(known)
    for sample in (timed(64, 64), timed(64, 63)):
        predicted = model.predict("unblocking", [features_of(sample)])[0]
        assert predicted == pytest.approx(sample.seconds, rel=0.15)


def test_few_shapes_are_left_to_the_law() -> None:
    model = FCPM().fit(convolutions(11))
    assert model.chosen_ == {"convolution": PARAMETRIC}


def test_the_candidate_that_knows_the_law_is_chosen() -> None:
    exact = FCPM(candidates=[PARAMETRIC, "nearest_neighbours"]).fit(convolutions(120))
    assert exact.chosen_ == {"convolution": PARAMETRIC}
    assert exact.accuracy_["convolution"] > 0.99


def test_what_the_law_lacks_is_left_to_a_regressor() -> None:
    """The law is off by a power of the channels, which is a line in logarithms."""

    def skewed(sample: Sample) -> float:
        return plain_law(sample) * (sample.channels / 64) ** 0.4

    samples = convolutions(120, skewed)
    model = FCPM(candidates=[PARAMETRIC, "linear"]).fit(samples)
    alone = FCPM(candidates=[PARAMETRIC]).fit(samples)
    assert model.chosen_ == {"convolution": "linear"}
    assert model.accuracy_["convolution"] > alone.accuracy_["convolution"] + 0.05


@pytest.mark.parametrize("name", REGRESSORS)
def test_every_regressor_mends_what_the_law_misses(name: str) -> None:
    def skewed(sample: Sample) -> float:
        return plain_law(sample) * (2.0 if sample.kernel == 1 else 1.0) * sample.width**-0.4

    train, test = convolutions(160, skewed)[:120], convolutions(160, skewed)[120:]
    model = FCPM(candidates=[name]).fit(train)
    measured = np.array([sample.seconds for sample in test])
    predicted = model.predict("convolution", [features_of(sample) for sample in test])
    assert 1 - np.abs(predicted / measured - 1).mean() > 0.85


def test_what_was_chosen_before_is_fitted_alone() -> None:
    samples = convolutions(40)
    again = FCPM(chosen={"convolution": "ridge", "softmax": "linear"}).fit(samples)
    assert again.chosen_ == {"convolution": "ridge"}
    assert again.accuracy_ == {}, "nothing was tried"
    stranger = FCPM(chosen={"convolution": "an older version's"}).fit(samples)
    assert stranger.chosen_["convolution"] in CANDIDATES


def test_a_sample_that_no_candidate_can_tell_does_not_end_the_fit() -> None:
    first, *others = convolutions(40)
    model = FCPM().fit([replace(first, seconds=1e-12), *others])
    assert model.accuracy_["convolution"] < 0
    assert model.chosen_["convolution"] in CANDIDATES


def test_accuracy_is_of_shapes_that_were_held_out() -> None:
    """Noise by shape: whoever saw a shape knows its noise, so only then could one be exact."""
    samples = [
        sample
        for number, one in enumerate(convolutions(60))
        for sample in [_scaled(one, 2.0 if number % 2 else 0.5)] * 3
    ]
    model = FCPM(candidates=["nearest_neighbours"]).fit(samples)
    seen = model.predict("convolution", [features_of(sample) for sample in samples])
    assert np.abs(seen / [sample.seconds for sample in samples] - 1).mean() < 0.01
    assert model.accuracy_["convolution"] < 0.7


def _scaled(sample: Sample, factor: float) -> Sample:
    return Sample(
        *(getattr(sample, name) for name in sample.__slots__[:-1]), sample.seconds * factor
    )


def test_fitting_again_gives_the_same_model() -> None:
    rng = np.random.default_rng(3)
    samples = convolutions(60, lambda sample: plain_law(sample) * rng.uniform(0.8, 1.2))
    first, second = FCPM().fit(samples), FCPM().fit(samples)
    probe = [features_of(sample) for sample in convolutions(5)]
    assert first.chosen_ == second.chosen_
    assert first.accuracy_ == second.accuracy_
    assert (first.predict("convolution", probe) == second.predict("convolution", probe)).all()


def test_regressors_clone_as_scikit_learn_wants() -> None:
    assert (PARAMETRIC, *REGRESSORS) == CANDIDATES
    for make in REGRESSORS.values():
        assert repr(clone(make(0))) == repr(make(0))


def test_far_from_every_sample_it_stays_sane() -> None:
    model = FCPM(candidates=["polynomial"]).fit(convolutions(40))
    small = features_of(convolutions(1)[0])
    huge = replace(
        small, flops=small.flops * 1e4, read=small.read * 1e2, written=small.written * 1e2,
        weights=small.weights * 1e2,
    )  # fmt: skip
    one, other = model.predict("convolution", [small, huge])
    assert one * 1e2 < other < one * 1e5


def test_weights_from_afar_take_longer() -> None:
    """As long as a byte that comes from slower memory takes, and no longer the farther it is."""

    def far(sample: Sample) -> float:
        return plain_law(sample) + sample.weights * (2e-10 if sample.away > 2 * NEAR else 0.0)

    samples = [replace(s, away=FAR) if n % 2 else s for n, s in enumerate(convolutions(200))]
    samples = [replace(sample, seconds=far(sample)) for sample in samples]
    model = FCPM(candidates=[PARAMETRIC]).fit(samples)
    sample = convolutions(1)[0]
    near, away, beyond = model.predict(
        "convolution", [replace(features_of(sample), away=away) for away in (NEAR, FAR, 8 * FAR)]
    )
    assert away - near == pytest.approx(sample.weights * 2e-10, rel=0.05)
    assert beyond == away


def test_what_load_does_is_learnt_from_shapes_timed_with_and_without() -> None:
    """Here it always comes first."""
    alone = convolutions(40)
    model = FCPM().fit([*alone, *loaded(alone[:5], 0.5, 2.0)])
    assert model.stretch_.of(0.5) == pytest.approx(2, rel=0.02)


def test_where_no_shape_was_timed_with_a_load_a_scheduler_is_fair() -> None:
    samples = convolutions(40)
    model = FCPM().fit(samples)
    features = [features_of(sample) for sample in samples]
    idle, busy = (model.predict("convolution", features, load) for load in (0.0, 0.5))
    assert busy / idle == pytest.approx(1.5)
    unknown = [features_of(sample) for sample in moving("softmax", 3, 1e-10)]
    idle, busy = (model.predict("softmax", unknown, load) for load in (0.0, 0.5))
    assert busy / idle == pytest.approx(1.5), "a family without samples too"


def test_a_family_without_samples_is_told_from_the_others() -> None:
    model = FCPM().fit(convolutions(30) + moving("elementwise", 30, 1e-10))
    found = model.predict("softmax", [features_of(moving("softmax", 1, 0.0)[0])])
    assert 0 < found[0] < 1


def test_a_profile_without_samples_is_refused() -> None:
    with pytest.raises(ClusterError, match="no samples"):
        FCPM().fit([])

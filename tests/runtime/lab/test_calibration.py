"""What pauses cost is found again where it is known."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from swath.cluster import Cluster, Device, Link
from swath.cluster.profile import DeviceProfile
from swath.cost import Cooling, ProfiledCosts, Quota, costs_for
from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.runtime.lab.calibration import (
    HALF,
    NOTHING,
    USUAL,
    WARM,
    Setting,
    Take,
    alone,
    kept_cooling,
    together,
)
from swath.simulate import Request, make_script, simulate
from tests.cost.laws import convolutions, moving, profile

CLUSTER = Cluster((Device("a"), Device("b")), source="a", default_link=Link(10e9, 0.0))
SHARE = 0.25
QUOTAS = dict.fromkeys("ab", Quota(SHARE, 4.4e-3, 4e-3))
TRUTH = Cooling(waited=300e-6, half=HALF, warm=WARM, refill=20e-12, fresh=500e-6)
SLOWER = 1.2
"""What devices really take, as a multiple of what their profile says."""


@pytest.fixture(scope="module")
def known() -> DeviceProfile:
    return profile(convolutions(40) + moving("elementwise", 20, 1e-10))


def priced(known: DeviceProfile, cooling: Cooling, rationed: bool) -> ProfiledCosts:
    quotas = QUOTAS if rationed else None
    coolings = dict.fromkeys("ab", cooling)
    return costs_for(CLUSTER, dict.fromkeys("ab", known), quotas=quotas, coolings=coolings)


def seconds(plan: Plan, costs: ProfiledCosts) -> float:
    script = make_script(plan, compile_plan(plan), costs)
    return SLOWER * statistics.fmean(simulate([Request(script)] * 20, costs).latencies)


def engine_seconds(graph: Graph, costs: ProfiledCosts) -> float:
    outputs = {name: graph.tensors[name].whole for name in graph.outputs}
    geometry = tile_geometry(graph, range(len(graph.nodes)), outputs)
    return SLOWER * costs.tile("a", graph, geometry)


def taken(known: DeviceProfile, truth: Cooling) -> Take:
    """Measuring devices of which everything is known."""

    def take(graph: Graph, plan: Plan, settings: Sequence[Setting]) -> list[float]:
        by_setting = {
            "engine": engine_seconds(graph, priced(known, truth, False)),
            "free": seconds(plan, priced(known, truth, False)),
            "rationed": seconds(plan, priced(known, truth, True)),
            "in force": seconds(plan, priced(known, truth, True)),
        }
        return [by_setting[setting] for setting in settings]

    return take


@pytest.mark.slow
def test_what_pauses_cost_is_told_from_what_the_profile_misses(known, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs: list[Sequence[Setting]] = []

    def take(graph: Graph, plan: Plan, settings: Sequence[Setting]) -> list[float]:
        runs.append(settings)
        return taken(known, TRUTH)(graph, plan, settings)

    first = kept_cooling(known.machine, [SHARE, SHARE], 43, partial(priced, known), take)
    assert first.refill == pytest.approx(TRUTH.refill, rel=0.2)
    assert first.fresh == pytest.approx(TRUTH.fresh, rel=0.2)
    assert first.waited == pytest.approx(TRUTH.waited, rel=0.2)
    measured = len(runs)
    assert kept_cooling(known.machine, [SHARE, SHARE], 43, partial(priced, known), take) == first
    assert len(runs) == measured, "kept beside the profile"
    (path,) = Path(tmp_path).rglob("*cooling-0.25-0.25.json")
    path.write_text("{")
    assert kept_cooling(known.machine, [SHARE, SHARE], 43, partial(priced, known), take) == first
    assert measured < len(runs) < 2 * measured, "only what is damaged"
    more = len(runs)
    assert kept_cooling(known.machine, [SHARE, SHARE], 1, partial(priced, known), take) == first
    assert more < len(runs) < 2 * more, "small packets cost more, but what stops cost is known"


@pytest.mark.slow
def test_pauses_that_cost_nothing_are_not_made_to(known):
    def take(graph: Graph, plan: Plan, settings: Sequence[Setting]) -> list[float]:
        sooner = {"engine": 1.0, "free": 0.9, "rationed": 0.9, "in force": 0.9}
        found = taken(known, NOTHING)(graph, plan, settings)
        return [sooner[each] * value for each, value in zip(settings, found, strict=True)]

    assert alone(partial(priced, known), take) == NOTHING
    assert together(NOTHING, partial(priced, known), take) == NOTHING


@pytest.mark.slow
def test_what_an_unsteady_machine_cannot_tell_is_taken_to_be_usual(known):
    def take(graph: Graph, plan: Plan, settings: Sequence[Setting]) -> list[float]:
        exact = taken(known, NOTHING)(graph, plan, settings)
        unrest = cycle([3.0, 0.3, 1.0, 2.0, 0.5])
        return [
            value if setting == "engine" else value * next(unrest)
            for setting, value in zip(settings, exact, strict=True)
        ]

    assert together(NOTHING, partial(priced, known), take).waited == pytest.approx(
        USUAL.waited, rel=0.5
    )

"""Offloading in paths: the flow shop is the simulator's, the swarm finds what exhaustion finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations, product
from typing import cast

import numpy as np
import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cluster.cluster import Network
from swath.cost import Costs, MessageCost, Quota, costs_for, nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import Compute, Send
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import Problem, make_planner
from swath.planners.methods.offload.bounds import soonest_ends
from swath.planners.methods.offload.brute_force import soonest
from swath.planners.methods.offload.laying_out import plan_of
from swath.planners.methods.offload.parties import of_use
from swath.planners.methods.offload.psomw import swarmed
from swath.planners.methods.offload.searching import waiting_least
from swath.planners.methods.offload.setting import Setting
from swath.planners.methods.offload.ways import Ways
from swath.planners.objective import predicted_seconds
from swath.runtime.clusters import random_inputs
from swath.runtime.verify import verify_plan

TOLERANCE = 0.01
"""Relative difference between what a way is said to take and what its plan does on virtual time."""

NFL = ("nfl-local", "nfl-remote", "nfl-bestcut")


@cache
def graph_of(model: str) -> Graph:
    return swath.load(f"zoo:{model}")


def cluster(mbit: float, speeds: tuple[float, ...] = (20.0,), source: float | None = 2.0,
            network: str = "switch", **fields: object) -> Cluster:  # fmt: skip
    """A source (a camera where it has no speed) and servers."""
    weak = Device("weak", gflops=source, compute=source is not None)
    servers = tuple(Device(f"s{place}", gflops=speed) for place, speed in enumerate(speeds))
    hub = "s0" if network == "star" else None
    link = Link(mbit * 125e3, 1e-3)
    return Cluster(
        (weak, *servers), "weak", cast(Network, network), link, dict(fields.get("links", {})), hub
    )  # fmt: skip


class Networked(Costs):
    """A network takes much of the CPU, memory that processes of one device share nothing."""

    def sending(self, device: str, receiver: str | None = None) -> MessageCost:
        return MessageCost(0.0, 0.0) if receiver == device else MessageCost(2e-3, 3e-8)

    def receiving(self, device: str, sender: str | None = None) -> MessageCost:
        return MessageCost(0.0, 0.0) if sender == device else MessageCost(1e-3, 1e-8)


def setting_of(model: str, described: Cluster, paths: int | None = None,
               costs: Callable[[Cluster], Costs] = nominal_costs) -> Setting:  # fmt: skip
    problem = Problem(graph_of(model), costs(described))
    return Setting(problem, paths, [device.name for device in described.workers])


def laid_out(setting: Setting, problem: Problem, way: Ways) -> Plan:
    return plan_of("test", problem, setting.layouts, setting.blocks, setting.parties.names, way)


def simulated(plan: Plan, problem: Problem) -> float:
    return predicted_seconds(plan, compile_plan(plan), problem.costs)


def planned(name: str, problem: Problem, **options: object) -> tuple[Plan, float]:
    plan = make_planner(name, **options).plan(problem)
    return plan, simulated(plan, problem)


# What a way takes

PLACES = {
    "slow": cluster(5),
    "quick": cluster(200),
    "weak server": cluster(50, (4.0,)),
    "two servers": cluster(20, (20.0, 8.0)),
    "uneven links": cluster(
        20, (10.0, 10.0), links={("weak", "s1"): Link(6e6, 1e-3), ("s1", "weak"): Link(1e6, 1e-3)}
    ),
    "star": cluster(20, (20.0, 10.0), network="star"),
    "radio": cluster(20, (20.0,), network="shared"),
    "camera": cluster(20, (20.0, 10.0), source=None),
}


def some_ways(setting: Setting, count: int, seed: int) -> Ways:
    """Any ways, in any order."""
    rng = np.random.default_rng(seed)
    block = rng.integers(len(setting.ends), size=count)
    paths = 1 + (rng.random(count) * setting.blocks.paths[block]).astype(int)
    shape = (count, setting.most)
    cut = (rng.random(shape) * (setting.ends[block][:, None] + 1)).astype(int)
    server = rng.integers(max(1, setting.parties.servers), size=shape)
    rest = rng.choice(setting.rests, count)
    ways = setting.ordered(setting.in_turn(block, paths, rest, cut, server))
    order = ways.order.copy()
    for row in range(0, count, 2):
        rng.shuffle(order[row, : paths[row]])
    return replace(ways, order=order)


def off(
    model: str, place: Cluster, costs: Callable[[Cluster], Costs] = nominal_costs
) -> list[float]:
    """How far what ways are said to take is from what their plans do on virtual time, relative."""
    setting = setting_of(model, place, costs=costs)
    problem = Problem(graph_of(model), costs(place))
    ways = some_ways(setting, 20, seed=len(place.devices))
    found = []
    for row, said in enumerate(setting.seconds(ways)):
        if np.isfinite(said):
            plan = laid_out(setting, problem, ways.take([row]))
            validate_plan(plan)
            found.append(abs(said / simulated(plan, problem) - 1))
    assert len(found) >= 12
    return found


@pytest.mark.parametrize("place", ["slow", "quick", "weak server"])
@pytest.mark.parametrize("model", ["alexnet@96x96", "vgg11@64x64"])
def test_a_way_takes_what_its_plan_does_on_virtual_time(model, place):
    assert max(off(model, PLACES[place])) <= TOLERANCE


@pytest.mark.parametrize("place", ["slow", "quick", "weak server"])
def test_what_stays_on_the_source_takes_no_network(place):
    assert max(off("alexnet@96x96", PLACES[place], Networked)) <= TOLERANCE


def test_ways_in_which_the_source_computes_in_vain_are_never_over():
    """What their neighbours need too may be all that paths need. A request waits for nobody then,
    but the next one does."""
    model, place = "alexnet@96x96", PLACES["slow"]
    setting = setting_of(model, place)
    problem = Problem(graph_of(model), nominal_costs(place))
    ways = some_ways(setting, 60, seed=0)
    is_over = np.isfinite(setting.seconds(ways))
    assert not is_over.all()
    for row in range(len(ways)):
        programs = compile_plan(laid_out(setting, problem, ways.take([row])))
        program = programs.by_device.get(place.source)
        # Behind the last tile on which nobody's input depends, nothing is sent, or computed of it.
        steps = program.steps if program is not None else ()
        tiles = [place for place, step in enumerate(steps) if isinstance(step, Compute)]
        read = {piece.step for step in steps for piece in pieces_of(step)}
        assert is_over[row] == (set(tiles) <= read), row


def pieces_of(step: Compute | Send):
    """What a step of a program reads."""
    return (
        [piece for item in step.inputs for piece in item.pieces]
        if isinstance(step, Compute)
        else step.pieces
    )


@pytest.mark.parametrize("place", ["slow", "quick", "weak server"])
def test_where_shortcuts_cross_a_cut_it_nearly_does(place):
    """Who holds which part of a shortcut's map in the end depends on all paths together."""
    found = off("resnet18@64x64", PLACES[place])
    assert max(found) <= 3 * TOLERANCE
    assert np.median(found) <= TOLERANCE


@pytest.mark.parametrize("place", ["two servers", "uneven links", "star", "radio", "camera"])
def test_where_messages_cross_each_other_most_ways_do(place):
    """That results on their way to a server share its port with paths is not looked at."""
    assert np.median(off("vgg11@64x64", PLACES[place])) <= TOLERANCE


@pytest.mark.parametrize(
    "place",
    [
        place if place in ("slow", "two servers") else pytest.param(place, marks=pytest.mark.slow)
        for place in PLACES
    ],
)
def test_what_is_found_takes_what_it_is_said_to(place):
    model = "vgg11@64x64"
    problem = Problem(graph_of(model), nominal_costs(PLACES[place]))
    setting = setting_of(model, PLACES[place])
    said, _ = swarmed(setting, 0)
    plan, seconds = planned("psomw", problem)
    assert said.min() == said[0] == pytest.approx(seconds, rel=TOLERANCE)
    assert verify_plan(plan, graph_of(model), random_inputs(graph_of(model))).within_tolerance


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("model", ["alexnet@96x96", "resnet18@64x64"])
@pytest.mark.parametrize("costs", [nominal_costs, Networked])
def test_no_way_is_over_before_its_bound(model, place, costs):
    """The planners do not look at what their bounds say is too late."""
    setting = setting_of(model, PLACES[place], costs=costs)
    ways = some_ways(setting, 400, seed=11)
    ends, bounds = setting.seconds(ways), soonest_ends(setting.timing, ways)
    assert np.isfinite(ends).sum() > 300
    assert (bounds <= ends * (1 + 1e-9)).all()
    assert np.median(bounds / ends) > 0.5


# What is found


@dataclass(frozen=True)
class Instance:
    model: str
    place: Cluster
    paths: int

    @property
    def problem(self) -> Problem:
        return Problem(graph_of(self.model), nominal_costs(self.place))


INSTANCES = (
    ("alexnet@96x96", 3), ("tiny_yolov2@96x96", 2), ("vgg11@64x64", 2), ("mobilenet_v2", 4),
    ("vgg16", 4),
)  # fmt: skip


def instances(count: int) -> Iterator[Instance]:
    """Uplinks of 1 to 200 Mbit/s, a server that is 2 to 50 times as quick as the device."""
    rng = np.random.default_rng(5)
    for _ in range(count):
        model, paths = INSTANCES[int(rng.integers(len(INSTANCES)))]
        device = float(np.exp(rng.uniform(np.log(0.5), np.log(10))))
        faster = float(np.exp(rng.uniform(np.log(2), np.log(50))))
        mbit = float(np.exp(rng.uniform(0, np.log(200))))
        yield Instance(model, cluster(mbit, (device * faster,), device), paths)


@pytest.mark.slow
def test_the_swarm_finds_what_exhaustion_finds():
    above = []
    for instance in instances(24):
        ours, best = (
            planned(name, instance.problem, paths=instance.paths)[1]
            for name in ("psomw", "offload-brute-force")
        )
        above.append(ours / best - 1)
    assert np.mean(above) <= 0.0004
    assert max(above) <= 0.01


@pytest.mark.parametrize("place", ["slow", "quick", "two servers", "camera"])
def test_exhaustion_leaves_nothing_out(place):
    """All ways, one by one, of a network with few cuts."""
    model = "alexnet@64x64"
    setting = setting_of(model, PLACES[place], paths=2)
    seconds, _ = soonest(setting, 10**7)
    best = np.inf
    for block, end in enumerate(setting.ends):
        for count in range(1, setting.blocks.paths[block] + 1):
            cuts = range(end + 1)
            pairs = list(product(cuts, range(setting.parties.servers)))
            rows = np.array(list(product(pairs, repeat=count)))
            padded = np.zeros((len(rows), setting.most, 2), dtype=int)
            padded[:, :count] = rows
            every = np.full(len(rows), block)
            ways = setting.with_rests(
                every, np.full(len(rows), count), padded[:, :, 0], padded[:, :, 1]
            )
            for order in permutations(range(count)):
                turns = (*order, *range(count, setting.most))
                ordered = replace(ways, order=np.tile(turns, (len(ways), 1)))
                best = min(best, float(setting.seconds(ordered).min()))
    assert seconds == pytest.approx(best, rel=1e-9)


def test_the_swarm_is_never_later_than_what_it_begins_with():
    for place in PLACES.values():
        setting = setting_of("resnet18@64x64", place)
        found = swarmed(setting, 0)[0].min()
        assert found <= waiting_least(setting)[0].min()
        assert found <= setting.seconds(setting.unfused()).min()


@pytest.mark.parametrize("model", ["alexnet@96x96", "vgg11@64x64", "tiny_yolov2@96x96"])
@pytest.mark.parametrize("mbit", [2, 20, 100])
def test_paths_are_at_most_three_times_as_fast_as_the_best_single_cut(model, mbit):
    """With one device, one link and one server none is done before its own share of the work. So a
    way takes at least the greatest of three sums over its paths p, cut at c(p): of local l, uplink
    u and server e; and that is a third of the sum of l + u + e at least. A path with a share w of
    the rows has at least that share of what one path would take with its cut, as halos come on top:
    l + u + e >= w (L + U + E)(c), and that is the time of a single cut, so w times the best one's
    at least. The shares sum up to 1: a third of the best single cut is left. What comes behind the
    block is added on both sides. (With S servers, a link each, there are 1 + 2 S machines.)

    Less than the best single cut they never are, for that is one of the ways."""
    problem = Problem(graph_of(model), nominal_costs(cluster(mbit)))
    found = {name: planned(name, problem)[1] for name in ("psomw", "mw", *NFL)}
    assert found["nfl-bestcut"] <= 3 * min(found["psomw"], found["mw"])
    assert found["nfl-bestcut"] <= min(found["nfl-local"], found["nfl-remote"]) * (1 + TOLERANCE)
    assert found["psomw"] <= found["nfl-bestcut"] * (1 + TOLERANCE)


@pytest.mark.parametrize("mbit", [5, 20, 100])
@pytest.mark.parametrize("model", ["mobilenet_v1", "mobilenet_v2", "tiny_yolov2@208x208"])
def test_quotas_count_in_less_than_the_long_run_too(model, mbit):
    """The flow shop knows what a quota comes to in the long run; the plan is chosen by what it
    really does, and has paths only where they save what can be measured."""
    quotas = {"weak": Quota(0.1, 10.8e-3, 4e-3)}
    problem = Problem(graph_of(model), costs_for(cluster(mbit, (50.0,), 50.0), {}, quotas=quotas))
    plan, seconds = planned("psomw", problem)
    one_path = min(planned(name, problem)[1] for name in NFL)
    assert seconds <= one_path * (1 + TOLERANCE)
    assert len({tile.path for tile in plan.tiles if tile.path}) <= 1 or seconds < one_path


def test_paths_hide_sending_behind_computing():
    problem = Problem(graph_of("tiny_yolov2@208x208"), nominal_costs(cluster(20)))
    plan, seconds = planned("psomw", problem)
    assert seconds < 0.9 * planned("nfl-bestcut", problem)[1]
    assert len({tile.path for tile in plan.tiles if tile.path}) > 1


def test_two_servers_with_links_of_their_own_are_used():
    problems = [
        Problem(graph_of("vgg11@64x64"), nominal_costs(cluster(200, speeds)))
        for speeds in ((9, 9), (9,))
    ]
    (plan, both), (_, one) = (planned("psomw", problem) for problem in problems)
    assert {"s0", "s1"} <= set(plan.devices_used)
    assert both < one


def test_no_fused_layers():
    problem = Problem(graph_of("vgg11@64x64"), nominal_costs(cluster(20)))
    assert planned("nfl-local", problem)[0].devices_used == ("weak",)
    assert planned("nfl-remote", problem)[0].devices_used == ("s0",)
    assert len(planned("nfl-bestcut", problem)[0].tiles) <= 2


def test_a_seed_is_a_swarm():
    problem = Problem(graph_of("alexnet@96x96"), nominal_costs(cluster(20, (20.0, 8.0))))
    plans = [make_planner("psomw", seed=seed).plan(problem) for seed in (0, 0, 7)]
    assert plans[0] == plans[1]
    validate_plan(plans[2], graph_of("alexnet@96x96"))


def test_a_device_without_the_memory_is_left_out():
    place = cluster(200, (20.0, 19.0))
    small = tuple(
        replace(device, memory=2**20 if device.name == "s0" else 2**34) for device in place.devices
    )
    problem = Problem(graph_of("vgg11@64x64"), nominal_costs(replace(place, devices=small)))
    for name in ("psomw", "nfl-remote"):
        plan, _ = planned(name, problem)
        validate_memory(plan, compile_plan(plan))
        assert "s0" not in plan.devices_used


# Refusals


@pytest.mark.parametrize("name", ["psomw", "mw", "nfl-bestcut", "nfl-remote"])
def test_more_servers_of_a_kind_than_can_be_used_change_nothing(name):
    """Four paths and what is behind their block are for five servers at most."""
    graph = graph_of("alexnet@96x96")
    few, many = (
        planned(name, Problem(graph, nominal_costs(cluster(50, (20.0,) * count))))
        for count in (5, 200)
    )
    assert few[1] == many[1]
    assert few[0].tiles == many[0].tiles


def test_servers_that_differ_are_all_of_use():
    """In speed, or in what joins them to anybody else."""
    every = cluster(50, (20.0,) * 12 + (30.0,))
    slow = Link(1e6, 1e-3)
    odd = {("weak", "s9"): slow, ("s10", "s0"): slow}
    kept = of_use(nominal_costs(replace(every, links=odd)), 4)
    assert kept == ["weak", *(f"s{n}" for n in (0, 1, 2, 3, 4, 5, 9, 10, 12))]


@pytest.mark.parametrize(
    ("name", "options", "place", "message"),
    [
        ("psomw", {}, Cluster((Device("a"),), "a"), "no device besides the source 'a' computes"),
        ("mw", {}, Cluster((Device("a"),), "a"), "add devices that compute"),
        ("nfl-local", {}, cluster(20, source=None), "the source 'weak' computes nothing"),
        ("psomw", {}, cluster(0), "nothing gets from 'weak' to 's0', for the rate is 0"),
        (
            "psomw",
            {},
            cluster(5, links={("s0", "weak"): Link(0.0, 1e-3)}),
            "nothing gets from 's0' to 'weak'",
        ),
        ("mw", {"paths": 99}, cluster(20), "99 paths need as many rows"),
        ("psomw", {"paths": 0}, cluster(20), "paths 0 is not understood"),
        ("psomw", {"seed": "one"}, cluster(20), "seed 'one' is not understood"),
        ("offload-brute-force", {"limit": 100}, cluster(20), "more than its limit of 100 cuts"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, options, place, message):
    problem = Problem(graph_of("alexnet@96x96"), nominal_costs(place))
    with pytest.raises(PlanError, match=message) as error:
        make_planner(name, **options).plan(problem)
    assert "\n" not in str(error.value)

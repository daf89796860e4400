"""What is read from a plan to offload is the way that it was laid out by; its legs add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swath.cost import nominal_costs
from swath.plan.compile import compile_plan
from swath.plan.program import COORDINATOR
from swath.planners import Problem
from swath.planners.methods.offload.reading import legs_of, way_of
from swath.simulate import Request, make_script, simulate
from tests.planners.test_offload import PLACES, graph_of, laid_out, setting_of, some_ways

MODEL = "vgg11@64x64"


@pytest.mark.parametrize("model", [MODEL, "resnet18@64x64", "mobilenet_v3_small@64x64"])
@pytest.mark.parametrize("place", PLACES)
def test_a_plan_tells_its_way(model, place):
    setting = setting_of(model, PLACES[place])
    problem = Problem(graph_of(model), nominal_costs(PLACES[place]))
    names, cuts = setting.parties.names, np.array(setting.blocks.cuts)
    ways = some_ways(setting, 8, seed=3)
    for row in range(len(ways)):
        block, count = ways.block[row], int(ways.paths[row])
        end = cuts[setting.ends[block]]
        read = way_of(laid_out(setting, problem, ways.take([row])))
        assert read.source == "weak"
        assert read.layers == end
        assert read.block == problem.graph.nodes[end - 1].name
        assert read.order == tuple(ways.order[row, :count])
        is_all = end == len(problem.graph.nodes)
        assert read.rest == (None if is_all else names[ways.rest[row]])
        for path in read.paths:
            cut = min(cuts[ways.cut[row, path.number]], end)
            assert path.layers == cut
            assert (path.cut is None) == (cut == 0)
            server = names[ways.server[row, path.number]]
            assert path.server == (server if cut < end else None)


@pytest.mark.parametrize("model", [MODEL, "resnet18@64x64", "mobilenet_v3_small@64x64"])
def test_paths_share_the_rows_of_a_map(model):
    """What a path that is not cut makes of a map of that height is what is said to be its share."""
    place = PLACES["quick"]
    setting = setting_of(model, place)
    problem = Problem(graph_of(model), nominal_costs(place))
    ways = some_ways(setting, 12, seed=5)
    ways = replace(ways, cut=np.zeros_like(ways.cut))
    for row in range(len(ways)):
        plan = laid_out(setting, problem, ways.take([row]))
        for path in way_of(plan).paths:
            (tile,) = (tile for tile in plan.tiles if tile.path == f"path {path.number}")
            shares = [
                (region[2], whole.shape[2])
                for name, region in tile.outputs.items()
                if len(whole := problem.graph.tensors[name].whole) == 4
            ]
            assert (path.rows, path.height) in (shares or [(None, None)])


@pytest.mark.parametrize("place", PLACES)
def test_legs_add_up_to_what_leaves_the_source(place):
    setting = setting_of(MODEL, PLACES[place])
    problem = Problem(graph_of(MODEL), nominal_costs(PLACES[place]))
    ways = some_ways(setting, 8, seed=4)
    for row in range(len(ways)):
        plan = laid_out(setting, problem, ways.take([row]))
        programs = compile_plan(plan)
        request = Request(make_script(plan, programs, problem.costs))
        found = simulate([request], problem.costs, record=True)
        legs = legs_of(plan, programs, found.trace)
        here = ("weak", COORDINATOR)
        leaving = [
            message.nbytes
            for message in programs.messages
            if message.sender in here and message.receiver not in here
        ]
        assert sum(leg.nbytes for leg in legs) == sum(leaving)
        for leg in legs:
            assert (leg.nbytes > 0) == (leg.received is not None)
            times = [leg.computed, leg.received, leg.finished]
            if leg.to is not None and leg.computed is not None and leg.nbytes:
                assert leg.computed < leg.received
            assert 0 < max(time for time in times if time is not None) <= found.latencies[0]

"""How long stages become: by what an exchange costs, the network's part and the CPU's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import Costs, MessageCost
from swath.planners import Problem, make_planner
from swath.planners.building.fusing import candidate_cuts

GRAPH = swath.load("zoo:resnet18@64x64")
DEVICES = tuple(Device(name, gflops=5) for name in "abc")
FREE = MessageCost(0.0, 0.0)
CLUSTER = Cluster(DEVICES, "a", default_link=Link(1e9, 1e-6))


@dataclass(frozen=True)
class Talking(Costs):
    """Costs whose messages take what is given."""

    message: MessageCost = FREE

    def _message(self, device: str) -> MessageCost:
        return self.message


def stages(costs: Costs) -> int:
    return len(make_planner("even", split="rows").plan(Problem(GRAPH, costs)).stages)


def test_the_more_cpu_a_message_takes_the_longer_stages_are():
    found = [stages(Talking(CLUSTER, 1e-6, MessageCost(fixed, 0.0))) for fixed in (0, 1e-4, 2e-3)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] > found[2]


def test_bytes_count_at_both_ends():
    free = stages(Talking(CLUSTER, 1e-6))
    assert stages(Talking(CLUSTER, 1e-6, MessageCost(0.0, 1e-7))) < free


def test_a_star_has_two_links_to_cross():
    link = Link(1e8, 2e-4)
    switch = Talking(replace(CLUSTER, default_link=link), 1e-6)
    star = Talking(replace(switch.cluster, network="star", hub="a"), 1e-6)
    assert star.fetch("b", 1000) == 2 * 2e-4 + 1000 / 1e8
    assert star.fetch("b", 1000) > switch.fetch("b", 1000)
    assert stages(star) <= stages(switch)


def test_on_one_radio_channel_transfers_wait_for_each_other():
    link = Link(2e7, 1e-4)
    switch = Talking(replace(CLUSTER, default_link=link), 1e-6)
    radio = Talking(replace(switch.cluster, network="shared"), 1e-6)
    assert stages(radio) < stages(switch)


def test_a_pool_whose_last_window_holds_one_entry_is_a_place_to_cut():
    """2 x 2 with stride 1, padded at the end, as in Tiny YOLOv2; an activation is none."""
    graph = swath.load("zoo:tiny_yolov2@64x64")
    types = {graph.nodes[cut].type for cut in candidate_cuts(graph)[:-1]}
    at = next(
        position
        for position, node in enumerate(graph.nodes)
        if node.type == "MaxPool" and list(node.attributes.get("strides", (1, 1))) == [1, 1]
    )
    assert at in candidate_cuts(graph)
    assert "LeakyRelu" not in types

"""Another plan when the channel is another one: real workers, every plan exact."""

from __future__ import annotations

import pytest

import swath
import swath.api
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import ClusterError, WorkerError
from swath.planners import Problem
from swath.planners.rate_table import plan_by_rate, ranges_about
from swath.runtime.clusters import LocalCluster
from swath.runtime.uplink_rate import LARGEST, SMALLEST, UplinkRate, message_sizes
from tests.runtime.models import assert_equal, values

GRAPH = swath.load("zoo:squeezenet@64x64")
NAMES = ("a", "b")
DEVICES = (Device("a", gflops=1), Device("b", gflops=4))
TABLE = plan_by_rate(
    Problem(GRAPH, nominal_costs(Cluster(DEVICES, "a", default_link=Link(12.5e6, 1e-3)))),
    ranges_about(12.5e6),
    "neurosurgeon",
)
"""Of slow devices, whatever this machine is: the faster the channel, the less a computes."""


@pytest.fixture(scope="module")
def local():
    with LocalCluster(NAMES) as cluster:
        cluster.costs()
        # Connections are made with the first requests, and stay.
        for deployment in cluster.deploy_by_rate(GRAPH, TABLE):
            deployment.run(values(GRAPH))
        yield cluster


def inside(band):
    """A rate inside a band, far from its edges."""
    return 2 * band.low or band.high / 2


def driven(rates):
    """Says one rate after the other."""
    return iter(rates).__next__


def test_there_is_something_to_choose():
    assert len(TABLE.bands) >= 3
    assert len({band.plan.devices_used for band in TABLE.bands}) >= 2


def test_every_band_s_plan_gives_what_the_unsplit_model_gives(local):
    inputs = values(GRAPH)
    for deployment in local.deploy_by_rate(GRAPH, TABLE):
        assert_equal(GRAPH, deployment.run(inputs), inputs)


def test_a_rate_that_crosses_an_edge_changes_the_plan(local):
    first, second, *_, last = TABLE.bands
    edge = first.high
    rates = [
        edge / 2,
        edge * 1.10,  # Beyond, but not clearly.
        edge * 1.20,
        edge * 0.95,
        edge * 0.80,
        inside(last),
    ]
    report, channel = local.run_by_rate(
        GRAPH, TABLE, rate=driven(rates), repeat=len(rates), compare_with_single=True
    )
    assert [each.band for each in channel.taken] == [0, 0, 1, 1, 0, len(TABLE.bands) - 1]
    assert [each.rate for each in channel.taken] == rates
    assert channel.changes == 3
    assert report.bit_exact
    assert report.plan is last.plan
    assert report.within_tolerance
    assert second.plan in report.others
    assert 0 < channel.slowest_choice < 1
    moved = [local.deploy(GRAPH, TABLE.bands[b].plan).programs.bytes_moved for b in (0, 1)]
    assert min(moved) < report.bytes_moved


def test_what_is_predicted_is_for_the_rates_that_there_were(local):
    rate = inside(TABLE.bands[-1])
    fast, slow = (
        local.run_by_rate(GRAPH, TABLE, rate=lambda r=r: r, repeat=1, compare_with_single=False)
        for r in (10 * rate, rate)
    )
    assert fast[1].taken[0].band == slow[1].taken[0].band
    assert fast[0].predicted < slow[0].predicted


def test_a_stream_takes_a_plan_for_each_batch(local):
    bands = TABLE.bands
    rates = [inside(bands[0])] * 2 + [inside(bands[0]), inside(bands[-1])]
    report, channel = local.run_by_rate(
        GRAPH, TABLE, rate=driven(rates), repeat=2, stream=2, compare_with_single=True
    )
    # Two one by one; then a batch of six, which is more than the two that were asked for.
    assert [(each.band, each.requests) for each in channel.taken] == [(0, 1), (0, 1), (0, 6)]
    assert report.stream.requests == 6
    rates = [inside(bands[0])] * 7 + [inside(bands[0]), inside(bands[-1])]
    report, channel = local.run_by_rate(GRAPH, TABLE, rate=driven(rates), repeat=7, stream=2)
    assert [each.requests for each in channel.taken] == [1] * 7 + [6, 6]
    assert channel.changes == 1
    assert report.stream.requests == 12
    assert report.stream.interval > 0
    assert report.bit_exact


def test_the_link_is_measured_between_requests_and_seldom(local, monkeypatch):
    costs = local.costs()
    table = swath.api.choose_by_rate(GRAPH, costs, "neurosurgeon")
    rate = UplinkRate(local.coordinator, costs.cluster)
    assert rate() > 1e6
    asked = []
    monkeypatch.setattr(rate._asker, "sent_here", lambda *arguments: asked.append(arguments))
    assert rate() > 1e6
    assert not asked, "it is too soon"
    report, channel = local.run_by_rate(GRAPH, table, repeat=3)
    first = channel.taken[0]
    assert table.bands[first.band] is table.choose(first.rate)
    assert all(each.rate > 1e6 for each in channel.taken)
    assert report.within_tolerance


@pytest.mark.parametrize(
    ("rate", "sizes"),
    [
        (1e4, (SMALLEST // 4, SMALLEST)),
        (1.25e6, (SMALLEST // 4, SMALLEST)),
        (12.5e6, (16 << 10, 64 << 10)),
        (1e10, (LARGEST // 4, LARGEST)),
    ],
)
def test_messages_are_as_large_as_the_link_is_fast(rate, sizes):
    assert message_sizes(rate) == sizes


def test_an_uplink_that_ends_where_no_worker_is(local):
    devices = (Device("a"), Device("switch", compute=False), Device("b"))
    star = Cluster(devices, "a", "star", hub="switch")
    with pytest.raises(ClusterError, match="ends at 'switch', which has no worker"):
        UplinkRate(local.coordinator, star)


def test_plans_that_do_not_fit_beside_each_other_are_refused_in_one_line(local, monkeypatch):
    deploy = local.deploy

    def scarce(graph, plan=None, progress=None):
        if plan is TABLE.bands[1].plan:
            raise WorkerError("worker 'b': out of memory; use more devices or a smaller input")
        return deploy(graph, plan, progress)

    monkeypatch.setattr(local, "deploy", scarce)
    with pytest.raises(WorkerError, match=r"^plan 2 of \d+ that must be ready at once: worker 'b'"):
        local.run_by_rate(GRAPH, TABLE, rate=lambda: 1e6)

"""What is known of a cluster that is up: profiles that hold, or are measured once; links; load."""

from __future__ import annotations

from dataclasses import replace

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cluster.profile_file import profile_path, save_profile
from swath.cost import ProfiledCosts
from swath.errors import ClusterError, WorkerError
from swath.runtime import knowing
from swath.runtime.clusters import ClusterSession, LocalCluster
from swath.runtime.knowing import (
    MOST_LOAD,
    Present,
    as_it_is,
    brief_profile,
    felt_load,
    present_links,
    present_state,
)

GRAPH = swath.load("zoo:squeezenet@64x64")


@pytest.fixture(scope="module")
def local():
    with LocalCluster(["a", "b"]) as cluster:
        # Connections are made with the first plan, and stay.
        cluster.run(GRAPH, planner="even")
        yield cluster


def silent(text: str) -> None:
    """Nobody is told."""


def test_equal_workers_are_measured_once_and_kept(local):
    said: list[str] = []
    with LocalCluster(["c", "d"]) as another:
        costs = another.costs(said.append)
    assert isinstance(costs, ProfiledCosts)
    assert costs.speed("c") == costs.speed("d") > 0
    assert another.present[0].load == another.present[1].load
    assert not [text for text in said if "once" in text], "it was kept"
    link = costs.cluster.link("c", "d")
    assert 0 < link.latency < 0.1
    assert link.bandwidth > 1e6


def test_a_run_says_what_was_predicted(local):
    report = local.run(GRAPH, planner="even", repeat=2)
    assert report.predicted > 0
    trace = local.foresee(report.plan)
    assert trace.origin == "predicted"
    # The first request is no slower than those that follow it.
    assert trace.end * 1e3 == pytest.approx(report.predicted, rel=0.2)


def test_a_plan_for_another_source_is_predicted_for_this_one(local):
    plan = local.plan(GRAPH, "whole")
    assert local.foresee(replace(plan, source="elsewhere")) == local.foresee(plan)


def test_a_profile_that_the_cluster_names_must_hold(local, tmp_path):
    profile = brief_profile(local.coordinator, ["a", "b"], silent)
    path = profile_path(tmp_path, "a")
    devices = (Device("a", profile=str(path)), Device("b"))
    described = Cluster(devices, "a")
    save_profile(profile, path)
    session = ClusterSession(local.coordinator, described)
    assert session.costs().speed("a") > 0
    assert set(session.cluster.links) == {("a", "b"), ("b", "a")}, "they are measured"
    save_profile(replace(profile, machine=replace(profile.machine, threads=7)), path)
    with pytest.raises(ClusterError, match=r"a\.json: .* number of threads was 7, now it is 1"):
        ClusterSession(local.coordinator, described).costs()


def test_the_present_is_looked_at_again_when_asked(local, monkeypatch):
    """A load and a lack of memory that are there now are planned with; profiles are not measured
    again."""
    described = Cluster((Device("a", memory=1 << 40), Device("b", memory=30 << 20)), "a")
    session = ClusterSession(local.coordinator, described)
    idle = session.costs()
    assert idle.cluster.device("a").memory == session.present[0].free_memory < 1 << 40
    assert idle.cluster.device("b").memory == 30 << 20
    hello = local.coordinator.hello

    def busy(name):
        said = hello(name)
        if name == "a":
            said |= {"load": 0.5, "cpus": 1.0, "free_memory_bytes": 20 << 20}
        return said

    monkeypatch.setattr(local.coordinator, "hello", busy)
    monkeypatch.setattr(knowing, "known_profiles", None)
    assert session.costs() is idle, "until somebody looks"
    a, b = session.look()
    assert (a.device, a.load, a.free_memory) == ("a", 0.5, 20 << 20)
    costs = session.costs()
    assert costs.speed("a") < 0.9 * costs.speed("b") or b.load > 0
    assert costs.cluster.device("a").memory == 20 << 20
    plan = session.plan(GRAPH, "even", split="rows")
    assert {device.name: device.memory for device in plan.devices}["a"] == 20 << 20


def test_what_a_worker_says_that_is_not_understood(local, monkeypatch):
    monkeypatch.setattr(local.coordinator, "hello", lambda name: {"load": 0.1})
    with pytest.raises(WorkerError, match="worker 'a' says what is not understood"):
        present_state(local.coordinator, ["a"], silent)


def test_links_of_a_file_become_those_of_now_as_far_as_time_goes(local, monkeypatch, eventually):
    slow = Link(1e3, 9.0)
    described = Cluster((Device("a"), Device("b")), "a", default_link=slow)

    def as_now() -> bool:
        said: list[str] = []
        found = present_links(local.coordinator, described, said.append)
        assert said == ["measuring the link between a and b"]
        links = [found.link(*ends) for ends in (("a", "b"), ("b", "a"))]
        return all(link.bandwidth > 1e6 and link.latency < 1.0 for link in links)

    eventually(as_now, timeout=30.0)  # A host may stop the machine while it is measured.
    monkeypatch.setattr(knowing, "LINKS_SECONDS", -1.0)
    assert present_links(local.coordinator, described, silent) == described


def test_a_source_without_a_worker_is_where_the_coordinator_is(local):
    camera = Device("camera", compute=False)
    slow = Link(1e3, 9.0)
    described = Cluster((camera, Device("a")), "camera", default_link=slow)
    found = present_links(local.coordinator, described, silent)
    assert set(found.links) == {("camera", "a"), ("a", "camera")}
    assert found.link("camera", "a").bandwidth > 1e6


def test_in_a_star_only_the_links_of_the_hub_are_there(local):
    said: list[str] = []
    devices = (Device("x"), Device("a"), Device("b"))
    star = Cluster(devices, "x", network="star", hub="b", default_link=Link(1e3, 9.0))
    present_links(local.coordinator, star, said.append)
    assert said == ["measuring the link between x and b", "measuring the link between a and b"]


def test_memory_is_what_is_free_where_that_is_less():
    devices = (Device("a", memory=100), Device("b"), Device("c", memory=10), Device("d", memory=7))
    cluster = as_it_is(Cluster(devices, "a"), [Present(name, 0.0, 50) for name in "abc"])
    assert [device.memory for device in cluster.devices] == [50, 50, 10, 7]


@pytest.mark.parametrize(
    ("share", "cpus", "threads", "felt"),
    [
        (0.0, 1, 1, 0.0),
        (0.5, 1, 1, 0.5),
        (0.5, 2, 1, 0.0),  # One of two is free, and that is all it wants.
        (0.5, 2, 2, 0.5),
        (0.75, 2, 1, 0.5),
        (1.0, 4, 1, MOST_LOAD),
    ],
)
def test_what_a_worker_feels_of_others(share, cpus, threads, felt):
    assert felt_load(share, cpus, threads) == pytest.approx(felt)

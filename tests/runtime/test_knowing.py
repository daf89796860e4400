"""What is known of a cluster that is up: profiles that hold, or are measured once; links; load."""

from __future__ import annotations

from dataclasses import replace

import pytest

import swath
from swath.cluster import Cluster, Device
from swath.cluster.profile_file import profile_path, save_profile
from swath.cost import ProfiledCosts
from swath.errors import ClusterError
from swath.runtime.clusters import ClusterSession, LocalCluster
from swath.runtime.knowing import MOST_LOAD, brief_profile, felt_load

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
    assert costs.speed("c") == costs.speed("d") == local.costs().speed("a")
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
    assert ClusterSession(local.coordinator, described).costs().speed("a") > 0
    save_profile(replace(profile, machine=replace(profile.machine, threads=7)), path)
    with pytest.raises(ClusterError, match=r"a\.json: .* number of threads was 7, now it is 1"):
        ClusterSession(local.coordinator, described).costs()


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

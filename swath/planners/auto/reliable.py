"""The plan that meets a deadline most often, over links that vary.

Looked at are the plans of all planners for latency, and our own for steady links, as fast as these
are at an ordinary, a bad and a very bad moment: who plans for a bad moment waits less in one. They
are tried at the same moments of the same channels, and those that are best in a few trials in more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean

from swath.cluster import Cluster, Link
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.bound import check_reachable, lower_bound
from swath.planners.registry import Problem, known_planners, make_planner
from swath.simulate import Script, make_script
from swath.simulate.distributions import rate_of_chance
from swath.simulate.trials import run_trials

_CHANCES = (0.5, 0.9, 0.99)
"""Of a link being as fast as our plans take it to be."""

_ROUNDS = ((50, 4), (250, 1))
"""Trials of each plan, and how many of the best go on."""

_SEED = 1
"""Of these trials: others than those that judge the plan which is chosen (seed 0), for the best of
many was lucky, too."""


@dataclass(frozen=True, slots=True)
class _Entrant:
    plan: Plan
    script: Script


def most_reliable(problem: Problem) -> Plan:
    """The plan for the problem's deadline. Raises PlanError where no device is fast enough, or
    nobody has a plan."""
    deadline = problem.deadline
    assert deadline is not None
    check_reachable(deadline, lower_bound(problem))
    left, refusal = _entrants(problem)
    if not left:
        assert refusal is not None
        raise refusal
    for count, best in _ROUNDS:
        if len(left) > 1:
            ranks = [_rank(problem, entrant, deadline, count) for entrant in left]
            order = sorted(range(len(left)), key=ranks.__getitem__)
            left = [left[place] for place in order[:best]]
    return left[0].plan


def _entrants(problem: Problem) -> tuple[list[_Entrant], PlanError | None]:
    """All plans that differ and for which there is memory; the last planner's reason for having
    none."""
    found: dict[str, _Entrant] = {}
    refusal = None
    for planner, asked in _asked(problem):
        try:
            plan = make_planner(planner).plan(asked)
            programs = compile_plan(plan)
            if programs.version not in found:
                validate_memory(plan, programs)
                script = make_script(plan, programs, problem.costs)
                found[programs.version] = _Entrant(plan, script)
        except PlanError as error:
            refusal = error
    return list(found.values()), refusal


def _asked(problem: Problem) -> Iterator[tuple[str, Problem]]:
    """Who is asked for a plan for what."""
    soon = replace(problem, objective="latency", deadline=None)
    for info in known_planners():
        # Referees try everything, and take their time; ours comes last.
        is_asked = info.name != "auto" and not info.name.endswith("brute-force")
        if is_asked and "latency" in info.objectives:
            yield info.name, soon
    tried: list[Cluster] = []
    for chance in _CHANCES:
        cluster = _steady(problem.costs.cluster, chance)
        if cluster not in tried:
            tried.append(cluster)
            yield "auto", replace(soon, costs=replace(problem.costs, cluster=cluster))


def _steady(cluster: Cluster, chance: float) -> Cluster:
    """The cluster whose links always have the rate that they have, or exceed, with this chance."""

    def steady(link: Link) -> Link:
        if link.channel is None:
            return link
        rate = rate_of_chance(link.channel, link.bandwidth, chance)
        return replace(link, channel=None, bandwidth=rate)

    links = {ends: steady(link) for ends, link in cluster.links.items()}
    return replace(cluster, default_link=steady(cluster.default_link), links=links)


def _rank(problem: Problem, entrant: _Entrant, deadline: float, count: int) -> tuple[float, float]:
    """(share of the trials that are late, mean seconds): the less the better."""
    try:
        trials = run_trials([entrant.script], problem.costs, count, _SEED)
        latencies = [found.latencies[0] for found in trials]
    except PlanError:
        return inf, inf  # It outlasts what is known of a channel.
    return sum(latency > deadline for latency in latencies) / count, fmean(latencies)

"""Trials: independent requests, each at a moment of its own, over channels of its own.

The moment is drawn from the channels' longest period (a block of rates, or a recording), so a
request meets blocks where it happens to, and a recording anywhere. Trials of the same number and
seed meet the same rates at the same times, whatever the plan: so plans are compared fairly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from swath.cluster.channel import Channel, Recorded
from swath.cluster.cluster import Cluster
from swath.cost import Costs
from swath.errors import PlanError
from swath.simulate.channels import seed_words
from swath.simulate.script import Script
from swath.simulate.simulate import Request, Simulation, simulate

TRIALS = 1000
"""Unless told otherwise: intervals are no wider than 3.1 percent on either side."""

_WORDS = 2**64
"""Values of a seed's word."""


def trial(script: Script, costs: Costs, number: int, seed: int = 0) -> Simulation:
    """The trial of this number."""
    own, moment = seed_words(seed, f"trial {number}")
    begin = _period(costs.cluster) * moment / _WORDS
    return simulate([Request(script, begin)], costs, seed=own)


def run_trials(
    scripts: Sequence[Script], costs: Costs, count: int, seed: int = 0
) -> Iterator[Simulation]:
    """``count`` trials, one by one. Each is of one of the ``scripts`` by chance, as pictures of
    several sizes come in, with a plan for each size.

    Where nothing changes by chance, one simulation stands for all of a script. Raises PlanError
    where a trial lasts longer than what was recorded of a channel that it uses.
    """
    is_certain = not (varies(costs.cluster) or _is_rationed(costs))
    known: dict[int, Simulation] = {}
    recordings = [_shortest_recording(script, costs.cluster) for script in scripts]
    for number in range(count):
        place = seed_words(seed, f"size {number}")[0] % len(scripts)
        found = known.get(place) or trial(scripts[place], costs, number, seed)
        if is_certain:
            known[place] = found
        duration, sender, receiver = recordings[place]
        if found.makespan > duration:
            raise PlanError(
                f"the recorded channel from {sender!r} to {receiver!r} lasts {duration:.3g} s, but "
                f"an inference over it {found.makespan:.3g} s; give a longer recording"
            )
        yield found


def varies(cluster: Cluster) -> bool:
    """Whether the rate of a link changes with time."""
    return bool(_channels(cluster))


def together(trials: Iterable[Simulation]) -> Simulation:
    """Trials as one simulation, as if each began when the one before it was over."""
    latencies: list[float] = []
    ends: list[float] = []
    busy: defaultdict[str, float] = defaultdict(float)
    energy: defaultdict[str, float] = defaultdict(float)
    makespan, nbytes = 0.0, 0
    for found in trials:
        latencies += found.latencies
        ends += [makespan + end for end in found.ends]
        makespan += found.makespan
        nbytes += found.bytes_moved
        for total, shares in ((busy, found.busy), (energy, found.energy)):
            for device, value in shares.items():
                total[device] += value
    return Simulation(
        tuple(latencies), tuple(ends), makespan, dict(busy), nbytes, dict(energy), None
    )


def _channels(cluster: Cluster) -> list[Channel]:
    links = (cluster.default_link, *cluster.links.values())
    return [link.channel for link in links if link.channel is not None]


def _is_rationed(costs: Costs) -> bool:
    quotas = [costs.quota(device.name) for device in costs.cluster.devices]
    return any(quota is not None and quota.share < 1 for quota in quotas)


def _period(cluster: Cluster) -> float:
    """Seconds within which a request may begin, for all that can happen to it."""
    return max(
        (
            channel.duration if isinstance(channel, Recorded) else channel.block or 0.0
            for channel in _channels(cluster)
        ),
        default=0.0,
    )


def _shortest_recording(script: Script, cluster: Cluster) -> tuple[float, str, str]:
    """(seconds, sender, receiver) of what was recorded of the channels that a script uses; infinite
    where none was."""
    hosts = [*(part.device for part in script.parts), script.source]
    shortest = (float("inf"), "", "")
    for sender, receiver in ((hosts[one], hosts[other]) for one, other in script.routes):
        if sender == receiver:
            continue
        for link in cluster.path(sender, receiver):
            if isinstance(link.channel, Recorded):
                shortest = min(shortest, (link.channel.duration, sender, receiver))
    return shortest

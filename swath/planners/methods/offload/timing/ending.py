"""What paths have made is put together, the rest is computed, the coordinator has the result."""

from __future__ import annotations

import numpy as np

from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.timing.turns import Turns
from swath.planners.methods.offload.ways import Ways


def finished(
    parties: Parties, turns: Turns, ways: Ways, free: np.ndarray, came: np.ndarray
) -> np.ndarray:
    """When who computes the rest has all that it needs for it, by row. ``free``: when each party
    has done all its paths; ``came``: when those of others have come, by turn."""
    rest, places = ways.rest, turns.places
    there = free[np.arange(len(rest)), rest]
    is_local = places.is_there & ~places.is_finished
    is_away = np.where(is_local, SOURCE, places.goes_to) != rest[:, None]
    nbytes = np.where(is_local, turns.carried, turns.whole)
    taken = parties.receiving.seconds(rest[:, None], nbytes)
    there = _taken_in(there, came, taken, is_away & places.is_there)
    return np.asarray(there + turns.gathered.sum(1) * parties.copy[rest])


def computed_rest(
    parties: Parties, ways: Ways, there: np.ndarray, rest: np.ndarray, result: int
) -> np.ndarray:
    """When the coordinator has the result. ``rest``: seconds by party and block."""
    who = ways.rest
    there = there + parties.tile[who] + rest[who, ways.block]
    there += _over_idle_link(parties, who, result) + parties.latency[who, SOURCE]
    taken = parties.receiving.seconds(SOURCE, result, who == SOURCE)
    return np.asarray(there + taken + parties.request)


def _over_idle_link(parties: Parties, who: np.ndarray, result: int) -> np.ndarray:
    """Seconds that the result takes to leave over an idle link, by who has it: it is written
    meanwhile."""
    sending = parties.sending.seconds(who, result, who == SOURCE)
    begins = parties.sending.seconds(who, 0, who == SOURCE)
    on_link = begins + result / parties.rates[who, SOURCE]
    return np.asarray(np.maximum(sending, on_link))


def gathered(
    parties: Parties, turns: Turns, ways: Ways, came: np.ndarray, result: int
) -> np.ndarray:
    """When the coordinator has the result, every path having made a part of it."""
    taken = parties.receiving.seconds(SOURCE, turns.whole, turns.is_home)
    there = _taken_in(np.zeros(len(came)), came, taken, turns.returns | turns.is_home)
    copied = np.where(ways.paths > 1, result, 0) * parties.copy[SOURCE]
    return np.asarray(there + copied + parties.request)


def _taken_in(
    there: np.ndarray, came: np.ndarray, taken: np.ndarray, comes: np.ndarray
) -> np.ndarray:
    """Message after message, in the order of turns."""
    for turn in range(came.shape[1]):
        ends = np.maximum(there, came[:, turn]) + taken[:, turn]
        there = np.where(comes[:, turn], ends, there)
    return there

"""The source's coordinator hands out the picture: a message for each who needs some of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.cluster.cluster import LOOPBACK
from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.timing.turns import Turns


@dataclass(frozen=True, slots=True)
class HandedOut:
    """By row and party: when its message ``leaves``, its bytes, the ``first`` turn that needs it
    (the number of turns: none does). By row: when all has been handed out."""

    leaves: np.ndarray
    nbytes: np.ndarray
    first: np.ndarray
    over: np.ndarray


def hand_out(parties: Parties, turns: Turns) -> HandedOut:
    """Messages leave in the order of the turns that need them."""
    places = turns.places
    count = places.path.shape[1]
    to = np.where(places.is_begun, SOURCE, places.goes_to) % len(parties.names)
    gets = to[:, :, None] == np.arange(len(parties.names))
    gets &= (places.is_begun | places.is_raw)[:, :, None]
    nbytes = (gets * turns.picture[:, :, None]).sum(1)
    first = np.where(gets, np.arange(count)[:, None], count).min(1)
    copied = (gets * turns.picked_out[:, :, None]).sum(1) * parties.copy[SOURCE]
    is_own = np.arange(len(parties.names)) == SOURCE % len(parties.names)
    spent = np.where(first < count, parties.sending.seconds(SOURCE, nbytes, is_own) + copied, 0.0)
    is_before = first[:, None, :] <= first[:, :, None]
    leaves = parties.request + (spent[:, None, :] * is_before).sum(2)
    return HandedOut(leaves, nbytes, first, parties.request + spent.sum(1))


def source_begins(parties: Parties, handed: HandedOut) -> np.ndarray:
    """When the source's worker has its part of the picture, if it needs one, by row."""
    there = np.maximum(handed.leaves[:, SOURCE] + LOOPBACK.latency, handed.over)
    taken = parties.receiving.seconds(SOURCE, handed.nbytes[:, SOURCE], True)
    return np.where(handed.nbytes[:, SOURCE] > 0, there + taken, handed.over)

"""The paths of ways in the order of their turns: what each takes, brings and hands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.paths import Paths
from swath.planners.methods.offload.timing.loads import Loads
from swath.planners.methods.offload.timing.places import Places, in_turns
from swath.planners.methods.offload.timing.strips import Parcels, sent_strips, shown_strips
from swath.planners.methods.offload.ways import Ways


@dataclass(frozen=True, slots=True)
class Turns:
    """By row: ``is_last``: whether nothing is behind the block, ``is_vain``: whether the source
    computes a path of which all that is needed was brought by others. All else by row and turn.

    ``is_home``: the source itself makes a part of the result; ``returns``: what a server makes
    leaves it. Seconds by the clock: ``here``: of the source, ``there``: of a server, besides taking
    in the picture. Bytes: ``carried``: that the source sends for it; ``picture``: of the model's
    inputs that are handed out for it, ``picked_out``: of these, that are copied before; ``whole``:
    of what it hands on behind the block, ``gathered``: that are copied where the rest is computed.
    """

    places: Places
    is_last: np.ndarray
    is_vain: np.ndarray
    is_home: np.ndarray
    returns: np.ndarray
    here: np.ndarray
    there: np.ndarray
    carried: np.ndarray
    picture: np.ndarray
    picked_out: np.ndarray
    whole: np.ndarray
    gathered: np.ndarray


def turns_of(paths: Paths, loads: Loads, parties: Parties, ways: Ways) -> Turns:
    """The turns of ways."""
    blocks = paths.blocks
    places = in_turns(blocks, ways)
    is_last = blocks.ends[ways.block] == blocks.last
    is_home = places.is_there & ~places.is_finished & is_last[:, None]
    returns = places.is_finished & (~places.for_rest | is_last[:, None])
    whole = loads.whole.take(places.at) * places.is_there
    sent = sent_strips(paths, places)
    shown = shown_strips(paths, places, np.where(places.is_begun, SOURCE, places.server))
    is_vain = places.is_begun & (places.goes_to >= 0) & (sent.carried == 0)
    return Turns(
        places, is_last, is_vain.any(1), is_home, returns,
        _seconds_here(loads, parties, places, sent, shown)
        + np.where(is_home, parties.sending.seconds(SOURCE, whole, True), 0.0),
        _seconds_there(loads, parties, places, sent, shown)
        + np.where(returns, parties.sending.seconds(places.server, whole), 0.0),
        sent.carried, shown.carried, shown.parts, whole,
        _gathered(loads, places, ways),
    )  # fmt: skip


def _seconds_here(
    loads: Loads, parties: Parties, places: Places, sent: Parcels, shown: Parcels
) -> np.ndarray:
    """Putting its part of the picture together, computing, cutting out what is sent, sending it."""
    computing = loads.local(places)
    copied = np.where(places.is_begun, shown.joined, 0.0) + sent.parts
    sending = np.where(sent.carried > 0, parties.sending.seconds(SOURCE, sent.carried), 0.0)
    return np.asarray(computing + copied * parties.copy[SOURCE] + sending)


def _seconds_there(
    loads: Loads, parties: Parties, places: Places, sent: Parcels, shown: Parcels
) -> np.ndarray:
    """Taking in what is sent, putting it or the picture together, computing."""
    computing = loads.remote(parties, places)
    taken = np.where(sent.carried > 0, parties.receiving.seconds(places.server, sent.carried), 0.0)
    joined = np.where(places.is_raw, shown.joined, sent.joined) * parties.copy[places.server]
    return np.where(places.is_finished, computing + taken + joined, 0.0)


def _gathered(loads: Loads, places: Places, ways: Ways) -> np.ndarray:
    """Bytes that come in pieces to who computes the rest."""
    is_split = places.is_there & (ways.paths > 1)[:, None]
    is_away = (places.server != ways.rest[:, None]) & places.is_finished
    made_here = np.where((ways.rest == SOURCE)[:, None], 0.0, loads.made_here.take(places.at))
    made_there = np.where(is_away, loads.made_there.take(places.at), 0.0)
    return np.where(is_split, loads.cut_out.take(places.own) + made_here + made_there, 0.0)

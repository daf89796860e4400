"""What the source sends travels to servers, which compute one path after the other."""

from __future__ import annotations

import numpy as np

from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.timing.links import Lines, leaving
from swath.planners.methods.offload.timing.picture import HandedOut
from swath.planners.methods.offload.timing.turns import Turns
from swath.planners.methods.offload.ways import Ways


def arrivals(parties: Parties, turns: Turns, handed: HandedOut, computed: np.ndarray) -> np.ndarray:
    """When what a path sends is there, by row and turn; 0 where that is nothing, for others have
    brought it. ``computed``: when it leaves the source's worker. A server has two connections: from
    the coordinator, and from the worker of the source."""
    rows, servers = len(computed), parties.servers
    if not servers:
        return computed
    to = turns.places.goes_to
    links = np.tile(np.arange(servers), 2)
    lines = Lines(
        np.broadcast_to(parties.rates[SOURCE, links], (rows, len(links))), links,
        np.full(rows, parties.out), parties.is_radio,
    )  # fmt: skip
    pictures = np.broadcast_to(np.arange(servers), (rows, servers))
    nbytes = np.concatenate([handed.nbytes[:, :SOURCE], turns.carried], axis=1)
    ends = leaving(
        np.concatenate([handed.leaves[:, :SOURCE], computed], axis=1),
        nbytes,
        parties.sending.writing(SOURCE, nbytes),
        np.concatenate([pictures, servers + to], axis=1),
        lines,
    )
    shown = np.take_along_axis(ends[:, :servers], np.maximum(to, 0), 1)
    is_raw = turns.places.is_raw
    there = np.where(is_raw, shown, ends[:, servers:]) + parties.latency[SOURCE, to]
    return np.where(is_raw | (turns.carried > 0), there, 0.0)


def serve(
    parties: Parties, turns: Turns, handed: HandedOut, arrived: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(when each server has done all its paths, by row; when each path is done and on its way),
    those left out that the source finishes."""
    places = turns.places
    to = places.goes_to
    every = np.arange(len(to))
    is_first = handed.first[every[:, None], to] == np.arange(to.shape[1])
    picture = np.take_along_axis(handed.nbytes, np.maximum(to, 0), 1)
    taken = np.where(places.is_raw & is_first, parties.receiving.seconds(to, picture), 0.0)
    work = turns.there + taken
    free = np.zeros((len(to), parties.servers + 1))
    done = np.zeros_like(arrived)
    for turn in range(to.shape[1]):
        server, is_served = to[:, turn], places.is_finished[:, turn]
        before = free[every, server]
        ends = np.maximum(before, arrived[:, turn]) + work[:, turn]
        done[:, turn] = np.where(is_served, ends, 0.0)
        free[every, server] = np.where(is_served, ends, before)
    return free, done


def come_back(parties: Parties, turns: Turns, ways: Ways, done: np.ndarray) -> np.ndarray:
    """When what servers make is where the rest is computed, by row and turn."""
    if not turns.returns.any():
        return done
    to, rest = turns.places.goes_to, ways.rest
    lines = Lines(
        parties.rates[:SOURCE, rest].T, np.arange(parties.servers), parties.into[rest],
        parties.is_radio,
    )  # fmt: skip
    nbytes = np.where(turns.returns, turns.whole, 0.0)
    ends = leaving(done, nbytes, parties.sending.writing(to, nbytes), to, lines)
    return np.asarray(ends + parties.latency[to, rest[:, None]])

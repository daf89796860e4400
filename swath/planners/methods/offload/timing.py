"""What ways to offload take: the flow shop by the simulator's own rules, many ways at once.

The source's coordinator hands out the picture, all that one device needs of it in one message; the
source computes its parts path by path and sends each what the server lacks; servers compute in the
same order; what they make goes to who computes the rest, and the result home. Every message takes
CPU time at both ends, what comes in pieces is copied together. What is not looked at: CPU quotas
in less than the long run, caches that go cold, rates that vary, the maps that an engine reorders at
the edges of a tile, the coordinator's work while tiles run, results that share a radio channel with
paths still on their way.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from swath.cluster.cluster import LOOPBACK
from swath.planners.methods.offload.links import Lines, leaving
from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.paths import Paths, column
from swath.planners.methods.offload.ways import Ways

_FAR = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class _Turns:
    """The paths of ways in the order of their turns, by row and turn.

    ``is_begun``: the source computes some of it, ``is_finished``: a server the rest; ``goes_to``:
    where it is sent (-1: nowhere). ``local``, ``remote``: seconds of its tiles. ``whole``: bytes of
    what it hands on behind the block, ``needs``: of what the server reads, ``carried``: that are
    sent for it, ``cut_out`` and ``put_together``: that are copied at either end. Of the model's
    inputs: ``picture``: bytes that are handed out for it, ``picked_out`` and ``pieced``: copied
    at either end.
    """

    is_there: np.ndarray
    is_begun: np.ndarray
    is_finished: np.ndarray
    is_raw: np.ndarray
    goes_to: np.ndarray
    local: np.ndarray
    remote: np.ndarray
    whole: np.ndarray
    needs: np.ndarray
    carried: np.ndarray
    cut_out: np.ndarray
    put_together: np.ndarray
    picture: np.ndarray
    picked_out: np.ndarray
    pieced: np.ndarray
    gathered: np.ndarray
    """Bytes copied together of what it hands on, by who computes the rest."""


@dataclass(frozen=True, slots=True)
class _HandedOut:
    """The picture, by row and party: when a party's message leaves, its bytes, the first turn that
    needs it (the number of turns: none does); by row: when all is handed out."""

    leaves: np.ndarray
    nbytes: np.ndarray
    first: np.ndarray
    over: np.ndarray


@dataclass(frozen=True, slots=True)
class Least:
    """What paths take at least, whatever their order, by row and path: seconds of the source, of
    their link, of their server, and from there ``back`` to who computes the rest; the server they
    go ``to`` (-1: none); whether they surely send something. What neighbours need too is counted
    once."""

    local: np.ndarray
    uplink: np.ndarray
    remote: np.ndarray
    back: np.ndarray
    to: np.ndarray
    is_sent: np.ndarray

    def of(self, row: np.ndarray, path: np.ndarray) -> Least:
        """Some of them."""
        return Least(*(getattr(self, each.name)[row, path] for each in fields(self)))

    def machines(self, servers: int, is_radio: bool) -> np.ndarray:
        """Seconds of each machine by row, path and machine: the source, the links (on a radio
        channel all links are one), the servers."""
        there = [self.to == server for server in range(servers)]
        links = [np.ones_like(self.to, dtype=bool)] if is_radio else there
        return np.stack(
            [
                self.local,
                *(np.where(is_there, self.uplink, 0.0) for is_there in links),
                *(np.where(is_there, self.remote, 0.0) for is_there in there),
            ],
            axis=-1,
        )


class Timing:
    """``rest``: seconds by the clock of what is behind each block, by party and block; ``result``:
    bytes of the model's outputs."""

    def __init__(self, paths: Paths, parties: Parties, kinds: np.ndarray, rest: np.ndarray,
                 result: int) -> None:  # fmt: skip
        self.paths = paths
        self.parties = parties
        self._kinds = kinds
        self._rest = rest
        self._result = result
        self._last = len(paths.blocks.cuts) - 1

    def seconds(self, ways: Ways) -> np.ndarray:
        """Until the result is there, by row."""
        parties, turns = self.parties, self._turns(ways)
        handed = self._hand_out(turns, ways)
        sending = np.where(turns.carried > 0, parties.sending.seconds(SOURCE, turns.carried), 0.0)
        is_last = (self.paths.blocks.ends[ways.block] == self._last)[:, None]
        is_home = turns.is_there & ~turns.is_finished & is_last
        sending += np.where(is_home, parties.sending.seconds(SOURCE, turns.whole), 0.0)
        sending += turns.cut_out * parties.copy[SOURCE]
        pieced = np.where(turns.is_begun, turns.pieced, 0.0) * parties.copy[SOURCE]
        computed = self._source_starts(handed)[:, None] + np.cumsum(
            turns.local + pieced + sending, axis=1
        )
        arrived = self._arrivals(turns, handed, computed)
        returns = turns.is_finished & ((turns.goes_to != ways.rest[:, None]) | is_last)
        free, done = self._serve(turns, handed, arrived, returns)
        back = self._return(turns, ways, done, returns)
        came = np.where(is_home, computed + LOOPBACK.latency, back)
        return np.where(
            is_last[:, 0],
            self._gathered(turns, ways, came, returns | is_home),
            self._finished(turns, ways, computed[:, -1], free, np.where(returns, back, arrived)),
        )

    def jobs(self, ways: Ways) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seconds of computing here, of sending and of computing there, by row and path, each path
        taken for itself: the jobs of the flow shop."""
        parties, turns = self.parties, self._turns(_in_order(ways, 1))
        travels = turns.goes_to >= 0
        nbytes = np.where(travels, np.where(turns.is_raw, turns.picture, turns.needs), 0.0)
        there = np.where(travels, parties.receiving.seconds(turns.goes_to, nbytes), 0.0)
        sending = np.where(travels, parties.sending.seconds(SOURCE, nbytes), 0.0)
        rate = np.minimum(parties.rates[SOURCE], parties.out)[turns.goes_to]
        return turns.local + sending, nbytes / rate, turns.remote + there

    def least(self, ways: Ways) -> Least:
        """What paths take at least, all of a way being cut alike."""
        parties, turns = self.parties, self._turns(_in_order(ways, 1))
        reverse = self._turns(_in_order(ways, -1)).carried[:, ::-1]
        to, rest = turns.goes_to, ways.rest[:, None]
        nbytes = np.where(turns.is_raw, turns.picture, turns.carried)
        is_last = (self.paths.blocks.ends[ways.block] == self._last)[:, None]
        returns = turns.is_finished & ((to != rest) | is_last)
        rate = np.minimum(parties.rates[SOURCE], parties.out)[to]
        remote = turns.remote + np.where(to >= 0, parties.receiving.per_byte[to] * nbytes, 0.0)
        back = turns.whole / parties.rates[to, rest] + parties.latency[to, rest]
        return Least(
            turns.local + parties.sending.per_byte[SOURCE] * turns.carried,
            np.where(to >= 0, nbytes / rate, 0.0),
            remote + np.where(returns, parties.sending.seconds(to, turns.whole), 0.0),
            np.where(returns, back, 0.0),
            to,
            turns.carried + reverse > turns.needs,
        )

    def besides(self, ways: Ways) -> np.ndarray:
        """Seconds before the first and behind the last path, at least, by row."""
        parties, rest = self.parties, ways.rest
        begins = parties.request + parties.sending.fixed[SOURCE]
        ends = parties.receiving.fixed[SOURCE] + parties.request
        behind = parties.tile[rest] + self._rest[rest, ways.block] + parties.sending.fixed[rest]
        behind += self._result / parties.rates[rest, SOURCE] + parties.latency[rest, SOURCE]
        is_last = self.paths.blocks.ends[ways.block] == self._last
        return np.asarray(begins + np.where(is_last, 0.0, behind) + ends)

    # The paths of a way, in their turns

    def _turns(self, ways: Ways) -> _Turns:
        paths, parties, order = self.paths, self.parties, ways.order
        block, count = ways.block[:, None], ways.paths[:, None]
        is_there = order < count
        path = np.where(is_there, order, 0)
        place = column(count) + path
        end = paths.blocks.ends[block]
        cut = np.where(is_there, np.take_along_axis(ways.cut, order, 1), end)
        server = np.take_along_axis(ways.server, order, 1)
        is_begun, is_finished = is_there & (cut > 0), is_there & (cut < end)
        is_raw = is_finished & ~is_begun
        goes_to = np.where(is_finished, server, np.where(is_there, ways.rest[:, None], SOURCE))
        here = paths.seconds[self._kinds[SOURCE], cut, block, place]
        there = self._kinds[server]
        behind = paths.seconds[there, end, block, place] - paths.seconds[there, cut, block, place]
        own = _sizes(paths, end, block, place) * is_there
        is_behind = paths.maker[paths.tensor[:, end]] >= np.array(paths.blocks.cuts)[cut]
        is_wanted = paths.is_read[:, cut, block, place] | (goes_to == ways.rest[:, None])
        sent = _Strips.of(paths, cut, block, place, is_begun & (goes_to >= 0) & is_wanted)
        missing = sent.missing(path, goes_to)
        shown = _Strips.of(paths, np.zeros_like(cut), block, place, is_there[None])
        lacking = shown.missing(path, np.where(is_begun, SOURCE, server))
        made_at = np.where(is_finished & is_behind, server, SOURCE)
        is_away = made_at != ways.rest[:, None]
        in_pieces = (count > 1) & (paths.is_cut_out[paths.tensor[:, end]] | is_away)
        return _Turns(
            is_there, is_begun, is_finished, is_raw, goes_to,
            np.where(is_begun, here * parties.pace[SOURCE] + parties.tile[SOURCE], 0.0),
            np.where(is_finished, behind * parties.pace[server] + parties.tile[server], 0.0),
            np.where(is_behind | ~is_finished, own, 0.0).sum(0), sent.nbytes.sum(0), missing.sum(0),
            np.where(paths.is_cut_out[sent.tensor], _parts(missing, sent.nbytes), 0.0).sum(0),
            np.where(is_finished & (missing < sent.nbytes), sent.nbytes, 0.0).sum(0),
            lacking.sum(0),
            np.where(paths.is_picked_out[shown.tensor], _parts(lacking, shown.nbytes), 0.0).sum(0),
            np.where(lacking < shown.nbytes, shown.nbytes, 0.0).sum(0),
            np.where(in_pieces, own, 0.0).sum(0),
        )  # fmt: skip

    # The picture

    def _hand_out(self, turns: _Turns, ways: Ways) -> _HandedOut:
        parties = self.parties
        count = turns.is_there.shape[1]
        to = np.where(turns.is_begun, SOURCE, turns.goes_to)
        gets = (to[:, :, None] % len(parties.names)) == np.arange(len(parties.names))
        gets &= turns.is_there[:, :, None] & (turns.is_begun | turns.is_raw)[:, :, None]
        nbytes = (gets * turns.picture[:, :, None]).sum(1)
        first = np.where(gets, np.arange(count)[None, :, None], count).min(1)
        copied = (gets * turns.picked_out[:, :, None]).sum(1) * parties.copy[SOURCE]
        spent = np.where(first < count, parties.sending.seconds(SOURCE, nbytes) + copied, 0.0)
        is_before = first[:, None, :] <= first[:, :, None]
        begins = parties.request
        leaves = begins + (spent[:, None, :] * is_before).sum(2)
        return _HandedOut(leaves, nbytes, first, begins + spent.sum(1))

    def _source_starts(self, handed: _HandedOut) -> np.ndarray:
        """When the source's worker has its part of the picture, if it needs one."""
        there = np.maximum(handed.leaves[:, SOURCE] + LOOPBACK.latency, handed.over)
        taken = self.parties.receiving.seconds(SOURCE, handed.nbytes[:, SOURCE])
        return np.where(handed.nbytes[:, SOURCE] > 0, there + taken, handed.over)

    # Links and servers

    def _arrivals(self, turns: _Turns, handed: _HandedOut, computed: np.ndarray) -> np.ndarray:
        """When what a path sends is there, by row and turn; 0 where that is nothing, for others
        have brought it. A server has two connections: from the coordinator, and from the worker of
        the source."""
        parties = self.parties
        rows, servers = len(computed), parties.servers
        if not servers:
            return computed
        links = np.tile(np.arange(servers), 2)
        lines = Lines(
            np.broadcast_to(parties.rates[SOURCE, links], (rows, len(links))), links,
            np.full(rows, parties.out), parties.is_radio,
        )  # fmt: skip
        ends = leaving(
            np.concatenate([handed.leaves[:, :SOURCE], computed], axis=1),
            np.concatenate([handed.nbytes[:, :SOURCE], turns.carried], axis=1),
            np.concatenate(
                [np.broadcast_to(np.arange(servers), (rows, servers)), servers + turns.goes_to],
                axis=1,
            ),
            lines,
        )
        shown = np.take_along_axis(ends[:, :servers], np.maximum(turns.goes_to, 0), 1)
        sent = np.where(turns.is_raw, shown, ends[:, servers:])
        comes = turns.is_raw | (turns.carried > 0)
        return np.where(comes, sent + parties.latency[SOURCE, turns.goes_to], 0.0)

    def _serve(
        self, turns: _Turns, handed: _HandedOut, arrived: np.ndarray, returns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(when each server has done all its paths, by row; when each path is done and on its way),
        those left out that the source finishes."""
        parties, to = self.parties, turns.goes_to
        every = np.arange(len(to))
        receiving, sending = parties.receiving, parties.sending
        is_first = handed.first[every[:, None], to] == np.arange(to.shape[1])
        picture = np.take_along_axis(handed.nbytes, np.maximum(to, 0), 1)
        work = turns.remote + np.where(
            turns.is_raw,
            np.where(is_first, receiving.seconds(to, picture), 0.0)
            + turns.pieced * parties.copy[to],
            np.where(turns.carried > 0, receiving.seconds(to, turns.carried), 0.0)
            + turns.put_together * parties.copy[to],
        )
        work += np.where(returns, sending.seconds(to, turns.whole), 0.0)
        free = np.zeros((len(to), parties.servers + 1))
        done = np.zeros_like(arrived)
        is_served = turns.is_finished
        for turn in range(to.shape[1]):
            server = to[:, turn]
            before = free[every, server]
            ends = np.maximum(before, arrived[:, turn]) + work[:, turn]
            done[:, turn] = np.where(is_served[:, turn], ends, 0.0)
            free[every, server] = np.where(is_served[:, turn], ends, before)
        return free, done

    def _return(
        self, turns: _Turns, ways: Ways, done: np.ndarray, returns: np.ndarray
    ) -> np.ndarray:
        """When what servers make is where the rest is computed, by row and turn."""
        parties = self.parties
        if not returns.any():
            return done
        lines = Lines(
            parties.rates[:SOURCE, ways.rest].T, np.arange(parties.servers),
            parties.into[ways.rest], parties.is_radio,
        )  # fmt: skip
        ends = leaving(done, np.where(returns, turns.whole, 0.0), turns.goes_to, lines)
        return np.asarray(ends + parties.latency[turns.goes_to, ways.rest[:, None]])

    # The end

    def _finished(
        self, turns: _Turns, ways: Ways, computed: np.ndarray, free: np.ndarray, came: np.ndarray
    ) -> np.ndarray:
        """When the coordinator has the result, the rest being computed by one device."""
        parties, rest = self.parties, ways.rest
        there = np.where(rest == SOURCE, computed, free[np.arange(len(rest)), rest])
        is_local = turns.is_there & ~turns.is_finished
        comes = np.where(is_local, rest[:, None] != SOURCE, turns.goes_to != rest[:, None])
        nbytes = np.where(is_local, turns.carried, turns.whole)
        taken = parties.receiving.seconds(rest[:, None], nbytes)
        for turn in range(came.shape[1]):
            there = np.where(
                comes[:, turn] & turns.is_there[:, turn],
                np.maximum(there, came[:, turn]) + taken[:, turn],
                there,
            )
        there = there + turns.gathered.sum(1) * parties.copy[rest]
        there += parties.tile[rest] + self._rest[rest, ways.block]
        there += parties.sending.seconds(rest, np.asarray(self._result))
        there += self._result / parties.rates[rest, SOURCE] + parties.latency[rest, SOURCE]
        taken = parties.receiving.seconds(SOURCE, np.asarray(self._result))
        return np.asarray(there + taken + parties.request)

    def _gathered(
        self, turns: _Turns, ways: Ways, came: np.ndarray, comes: np.ndarray
    ) -> np.ndarray:
        """When the coordinator has the result, every path having made a part of it."""
        parties = self.parties
        there = np.zeros(len(came))
        taken = parties.receiving.seconds(SOURCE, turns.whole)
        for turn in range(came.shape[1]):
            there = np.where(
                comes[:, turn], np.maximum(there, came[:, turn]) + taken[:, turn], there
            )
        copied = np.where(ways.paths > 1, self._result, 0) * parties.copy[SOURCE]
        return np.asarray(there + copied + parties.request)


def _in_order(ways: Ways, step: int) -> Ways:
    """The paths one after the other, or the last one first."""
    return replace(
        ways, order=np.broadcast_to(np.arange(ways.cut.shape[1])[::step], ways.cut.shape)
    )


@dataclass(frozen=True, slots=True)
class _Strips:
    """Strips of tensors by item, row and turn, and their bytes; where ``is_there`` is not, they do
    not count."""

    tensor: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    entry_bytes: np.ndarray
    is_there: np.ndarray

    @classmethod
    def of(
        cls, paths: Paths, cut: np.ndarray, block: np.ndarray, place: np.ndarray,
        is_there: np.ndarray,
    ) -> _Strips:  # fmt: skip
        return cls(
            paths.tensor[:, cut], paths.lo[:, cut, block, place], paths.hi[:, cut, block, place],
            paths.entry_bytes[:, cut], is_there,
        )  # fmt: skip

    @property
    def nbytes(self) -> np.ndarray:
        return np.where(self.is_there, np.maximum(self.hi - self.lo, 0) * self.entry_bytes, 0.0)

    def missing(self, path: np.ndarray, to: np.ndarray) -> np.ndarray:
        """Bytes of each that its receiver has not had from the turns before: strips of paths lie
        as the paths do, so what is there already is at the ends of what is needed."""
        turns = np.arange(path.shape[1])
        is_earlier = (turns[:, None] > turns) & (to[:, :, None] == to[:, None, :])
        is_had = (
            is_earlier
            & self.is_there[:, :, None, :]
            & (self.tensor[:, :, :, None] == self.tensor[:, :, None, :])
        )
        is_above = path[:, None, :] < path[:, :, None]
        first = np.where(is_had & is_above, self.hi[:, :, None, :], 0).max(3)
        after = np.where(is_had & ~is_above, self.lo[:, :, None, :], _FAR).min(3)
        more = np.minimum(self.hi, after) - np.maximum(self.lo, first)
        return np.where(self.is_there, np.maximum(more, 0) * self.entry_bytes, 0.0)


def _sizes(paths: Paths, cut: np.ndarray, block: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Bytes of strips, by item, row and turn."""
    size = np.maximum(paths.hi[:, cut, block, place] - paths.lo[:, cut, block, place], 0)
    return np.asarray(size * paths.entry_bytes[:, cut])


def _parts(missing: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Bytes of messages that carry a part of a strip."""
    return np.where(missing < whole, missing, 0.0)

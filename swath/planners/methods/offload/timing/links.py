"""Messages of many schedules over the same links, by the simulator's own rule.

Messages of one connection leave one after another, while they are written if their way is idle;
connections that carry something at the same time share by max-min fairness, or share the time of a
radio channel (`swath.simulate.network`, `swath.simulate.radio`). Rates are nominal: channels that
vary and buckets that fill up are not looked at. Arrays have a row for each schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Lines:
    """Connections that share something. ``rates``: bytes/s of the link of each, by row and
    connection; ``links``: which link each is on; ``port``: bytes/s of what all of them cross, by
    row; ``is_radio``: they share time instead."""

    rates: np.ndarray
    links: np.ndarray
    port: np.ndarray
    is_radio: bool

    def alone(self) -> np.ndarray:
        """Bytes/s of each connection that has no rival."""
        return np.asarray(np.minimum(self.rates, np.inf if self.is_radio else self.port[:, None]))

    def meet(self) -> np.ndarray:
        """Which connections cross something of each other's, by row; every one meets itself."""
        is_one = (self.links[:, None] == self.links[None, :]) | self.is_radio
        return np.asarray(is_one | np.isfinite(self.port)[:, None, None])

    def of(self, rows: np.ndarray) -> Lines:
        return Lines(self.rates[rows], self.links, self.port[rows], self.is_radio)

    def shared(self, is_active: np.ndarray) -> np.ndarray:
        """Bytes/s of the connections that carry something; what is said of others means nothing."""
        if self.is_radio:
            return np.asarray(self.rates / np.maximum(is_active.sum(1, keepdims=True), 1))
        on_link = is_active @ (self.links[:, None] == self.links[None, :]).astype(float)
        share = self.rates / np.maximum(on_link, 1.0)
        # Filled up from the tightest: the level is the highest that any of these cuts gives.
        order = np.argsort(np.where(is_active, share, np.inf), axis=1)
        ordered = np.take_along_axis(np.where(is_active, share, 0.0), order, 1)
        above = is_active.sum(1, keepdims=True) - np.arange(len(self.links))
        left = self.port[:, None] - (np.cumsum(ordered, axis=1) - ordered)
        level = np.where(above > 0, left / np.maximum(above, 1), 0.0).max(1, keepdims=True)
        return np.asarray(np.minimum(share, level))


def leaving(
    ready: np.ndarray,
    nbytes: np.ndarray,
    writing: np.ndarray,
    connection: np.ndarray,
    lines: Lines,
) -> np.ndarray:
    """When the last byte of each message has left. By row and message: when it is ``ready``, its
    bytes (0: there is none), the seconds before that in which they are written, the number of its
    connection; those of one connection stand in the order in which they leave."""
    numbers = np.arange(lines.rates.shape[1])
    waiting = (connection[:, None, :] == numbers[None, :, None]) & (nbytes > 0)[:, None, :]
    used = waiting.any(2)
    rivals = np.flatnonzero(used.sum(1) > 1)
    rate = np.where(used, lines.alone(), 0.0).max(1, initial=0.0)
    ends = _one_by_one(ready, nbytes, writing, rate)
    if len(rivals):
        ends[rivals] = _together(
            ready[rivals], nbytes[rivals], writing[rivals], waiting[rivals], lines.of(rivals)
        )
    return ends


def _one_by_one(
    ready: np.ndarray, nbytes: np.ndarray, writing: np.ndarray, rate: np.ndarray
) -> np.ndarray:
    """All on one connection."""
    ends = ready.astype(float)
    free = np.zeros(len(ready))
    seconds = nbytes / np.maximum(rate, _ROUNDING)[:, None]
    since = ready - writing
    for message in range(ready.shape[1]):
        done = np.maximum(free, since[:, message]) + seconds[:, message]
        done = np.maximum(done, ready[:, message])
        is_sent = nbytes[:, message] > 0
        free = np.where(is_sent, done, free)
        ends[:, message] = np.where(is_sent, done, ends[:, message])
    return ends


def _together(
    ready: np.ndarray, nbytes: np.ndarray, writing: np.ndarray, waiting: np.ndarray, lines: Lines
) -> np.ndarray:
    """From event to event: a message is ready, or has left. ``waiting``: by row, connection and
    message."""
    ends, left = ready.astype(float), nbytes.astype(float)
    now = np.zeros(len(ready))
    was_active = np.zeros(waiting.shape[:2], dtype=bool)
    # When a connection, or another one that it meets, has last carried something.
    idle_since = np.zeros(waiting.shape[:2])
    meet, alone = lines.meet(), lines.alone()
    every = np.arange(len(ready))[:, None]
    while True:
        has = waiting.any(2)
        if not has.any():
            return ends
        first = waiting.argmax(2)
        starts = ready[every, first]
        is_active = has & (starts <= now[:, None] * (1 + _ROUNDING))
        busy = was_active & is_active
        for lane in np.flatnonzero((is_active & ~was_active).any(0)):
            # What has left while it was written, as if each began after those before it.
            rows = np.flatnonzero(is_active[:, lane] & ~was_active[:, lane])
            rows = rows[~(busy[rows] & meet[rows, lane]).any(1)]
            message = first[rows, lane]
            since = np.maximum(
                ready[rows, message] - writing[rows, message], idle_since[rows, lane]
            )
            gone = np.maximum(now[rows] - since, 0.0) * alone[rows, lane]
            left[rows, message] = np.maximum(left[rows, message] - gone, 0.0)
            idle_since[rows] = np.where(meet[rows, lane], now[rows, None], idle_since[rows])
            busy[rows, lane] = left[rows, message] > 0
        rates = np.where(is_active, lines.shared(is_active), 1.0)
        finishing = np.where(is_active, left[every, first] / rates, np.inf)
        beginning = np.where(has & ~is_active, starts - now[:, None], np.inf)
        step = np.minimum(finishing.min(1), beginning.min(1))
        step = np.where(np.isfinite(step), step, 0.0)
        now = now + step
        rows, lanes = np.nonzero(is_active)
        left[rows, first[rows, lanes]] -= rates[rows, lanes] * step[rows]
        crossed = (is_active[:, :, None] & meet).any(1)
        idle_since = np.where(crossed, now[:, None], idle_since)
        was_active = is_active
        rows, lanes = np.nonzero(is_active & (finishing <= step[:, None] * (1 + _ROUNDING)))
        ends[rows, first[rows, lanes]] = now[rows]
        waiting[rows, lanes, first[rows, lanes]] = False

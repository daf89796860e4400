"""Messages on one radio channel: they share its time."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from itertools import count

from swath.simulate.events import Events
from swath.simulate.network import Connection, Network, Resource


class Radio(Network):
    """One channel for all: of n messages under way each has an n-th of the time, at the rate of its
    own link.

    Kept as air time that everyone has had (`_given`): a message that needs so many seconds of the
    channel for itself ends when that much more has been given, whoever comes and goes. ``ends`` of
    a connection is in this time.
    """

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._given = 0.0
        self._since = 0.0
        self._count = 0
        self._queue: list[tuple[float, int, Connection]] = []
        self._order = count()
        self._due = math.inf

    def _claim(self, connection: Connection, since: float) -> tuple[float, float]:
        if self._count:
            return 0.0, 0.0
        (link,) = connection.resources
        self._watch(link)
        now = self._events.now
        idle = now - max(since, self._since)
        self._since = now
        return idle, link.capacity

    def _join(self, connection: Connection, alone: float) -> None:
        self._advance()
        (link,) = connection.resources
        self._watch(link)
        link.limited[connection] = ()
        self._count += 1
        self._push(connection, connection.left / link.capacity)

    def _advance(self) -> None:
        now = self._events.now
        if self._count:
            self._given += (now - self._since) / self._count
        else:
            self._given = 0.0
            self._queue.clear()
        self._since = now

    def _push(self, connection: Connection, airtime: float) -> None:
        connection.ends = self._given + airtime
        heappush(self._queue, (connection.ends, next(self._order), connection))
        self._due = math.inf
        self._events.unsettled.append(self)

    def _change(self, resource: Resource, before: float) -> None:
        self._advance()
        for connection in resource.limited:
            self._push(connection, (connection.ends - self._given) * before / resource.capacity)

    def _settle(self) -> None:
        self._events.unsettled.clear()
        self._advance()
        queue = self._queue
        while queue and queue[0][0] != queue[0][2].ends:
            heappop(queue)
        if queue:
            wait = max(0.0, queue[0][0] - self._given) * self._count
            self._due = self._events.now + wait
            self._events.at(self._due, self._end, self._due)

    def _end(self, due: float) -> None:
        if due != self._due:
            return  # Somebody has come or gone since.
        self._due = math.inf
        self._advance()
        ends, _, connection = heappop(self._queue)
        self._given = ends
        if self._next(connection):
            self._push(connection, connection.left / connection.resources[0].capacity)
        else:
            del connection.resources[0].limited[connection]
            self._count -= 1
            self._events.unsettled.append(self)

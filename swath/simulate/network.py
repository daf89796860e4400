"""Messages on their way: who waits for whom, and who shares which rate with whom.

Messages of one connection leave one after another. In a switched network and in a star the
messages under way share by max-min fairness (progressive filling: all rates rise together; a flow
stops rising where the first of its resources is used up). On a radio channel they share the time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from swath.simulate.channels import Rates
from swath.simulate.events import Action, Events

NOISE = 1e-9
"""Relative changes of a rate that are rounding, and are let be."""

Cargo = tuple[Any, int]
"""(what the receiver is told, bytes)."""


class Resource:
    """Something that carries ``capacity`` bytes/s in all: a port, or one direction of a link.

    ``rates``: how the capacity varies while somebody uses it; None: it does not.
    """

    __slots__ = (
        "capacity", "count", "filling", "flows", "is_tight", "is_watched", "left", "rates", "top",
    )  # fmt: skip

    def __init__(self, capacity: float, rates: Rates | None = None) -> None:
        self.capacity = capacity
        self.rates = rates
        self.is_watched = False
        self.flows: dict[Connection, None] = {}
        # For the sharing: what is left of it, and for how many; the highest share that was given,
        # and whether it was this resource that limited it.
        self.left = 0.0
        self.count = 0
        self.top = 0.0
        self.is_tight = False
        self.filling = 0


class Connection:
    """From one party to another: a queue whose first message is under way.

    ``resources`` are what it crosses: none where no network is between; on a radio channel its own
    link alone. ``arrive`` is called with what was sent, ``latency`` seconds after its last byte.
    ``ends``: when the first message's last byte leaves if nothing changes.
    """

    __slots__ = (
        "arrive", "bottleneck", "cargo", "ends", "filling", "group", "latency", "left", "rate",
        "resources", "settled", "share", "since", "waiting",
    )  # fmt: skip

    def __init__(self, resources: Sequence[Resource], latency: float, arrive: Action) -> None:
        self.resources = tuple(resources)
        self.latency = latency
        self.arrive = arrive
        self.waiting: deque[Cargo] = deque()
        self.cargo: Cargo | None = None
        self.left = 0.0
        self.rate = 0.0
        self.since = 0.0
        self.ends = math.inf
        # For the sharing: the rate to come, what limits it, and with whom it was last worked out.
        self.share = 0.0
        self.bottleneck: Resource | None = None
        self.group: list[Connection] | None = None
        self.settled = 0
        self.filling = 0


class Network(ABC):
    """Queues of messages; who is first in its queue shares with those of other queues."""

    def __init__(self, events: Events) -> None:
        self._events = events
        events.settle = self._settle

    def send(self, connection: Connection, nbytes: int, told: object) -> None:
        """A message leaves now, or when those before it on its connection have left."""
        if connection.cargo is not None:
            connection.waiting.append((told, nbytes))
        elif nbytes and connection.resources:
            connection.cargo = (told, nbytes)
            connection.left = nbytes
            self._join(connection)
        else:
            events = self._events
            events.at(events.now + connection.latency, connection.arrive, told)

    def _next(self, connection: Connection) -> bool:
        """The first message has left; whether there is another one."""
        events = self._events
        assert connection.cargo is not None
        events.at(events.now + connection.latency, connection.arrive, connection.cargo[0])
        while connection.waiting:
            connection.cargo = connection.waiting.popleft()
            if connection.cargo[1]:
                connection.left = connection.cargo[1]
                return True
            events.at(events.now + connection.latency, connection.arrive, connection.cargo[0])
        connection.cargo = None
        connection.ends = math.inf
        for resource in connection.resources:
            del resource.flows[connection]
        return False

    def _watch(self, resource: Resource) -> None:
        """Know the capacity of a resource that varies, until nobody uses it any more."""
        if resource.rates is not None and not resource.is_watched:
            resource.capacity, until = resource.rates.at(self._events.now)
            resource.is_watched = True
            self._events.at(until, self._expire, resource)

    def _expire(self, resource: Resource) -> None:
        resource.is_watched = False
        if resource.flows:
            before = resource.capacity
            self._watch(resource)
            self._change(resource, before)

    @abstractmethod
    def _join(self, connection: Connection) -> None:
        """The first message of an empty queue gets under way."""

    @abstractmethod
    def _change(self, resource: Resource, before: float) -> None:
        """The capacity of a resource in use is another one now."""

    @abstractmethod
    def _settle(self) -> None:
        """Work out who ends when, after all that has changed at this moment."""


class Switched(Network):
    """Max-min fairness over the resources that each connection crosses."""

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._unsettled: list[Resource] = events.unsettled
        self._round = 0
        self._filling = 0

    def _join(self, connection: Connection) -> None:
        is_alone = True
        rate = math.inf
        for resource in connection.resources:
            if resource.rates is not None:
                self._watch(resource)
            if resource.flows:
                is_alone = False
            resource.flows[connection] = None
            if resource.capacity < rate:
                rate = resource.capacity
                connection.bottleneck = resource
        now = self._events.now
        connection.since = now
        if is_alone:
            connection.rate = rate
            connection.ends = ends = now + connection.left / rate
            connection.group = group = [connection]
            self._events.at(ends, self._wake, group)
        else:
            connection.rate = 0.0
            connection.bottleneck = None
            self._unsettled.extend(connection.resources)

    def _wake(self, group: list[Connection]) -> None:
        """The first of those whose rates were last worked out together may end now."""
        now = self._events.now
        kept: list[Connection] = []
        least = math.inf
        for flow in group:
            if flow.group is not group:
                continue  # Its rate has changed since.
            if flow.ends <= now:
                if not self._next(flow):
                    flow.group = None
                    for resource in flow.resources:
                        if resource.flows:
                            self._unsettled.append(resource)
                    continue
                # The next message takes over the rate: nothing changes for the others.
                flow.since = now
                flow.ends = now + flow.left / flow.rate
            kept.append(flow)
            if flow.ends < least:
                least = flow.ends
        if kept:
            group[:] = kept
            self._events.at(least, self._wake, group)

    def _change(self, resource: Resource, before: float) -> None:
        for flow in resource.flows:
            flow.bottleneck = None
        self._unsettled.append(resource)

    def _settle(self) -> None:
        """Share anew among those without a bottleneck, those whose bottleneck has changed, and as
        many others as it takes. An allocation is max-min fair exactly if every flow has one: a
        resource that is used up, and where nobody has more (Bertsekas and Gallager, Data Networks,
        6.5.2). So who keeps his bottleneck keeps his rate."""
        self._round = this = self._round + 1
        members: list[Connection] = []
        for resource in self._unsettled:
            for flow in resource.flows:
                if flow.settled != this and (
                    flow.bottleneck is resource or flow.bottleneck is None
                ):
                    flow.settled = this
                    members.append(flow)
        self._unsettled.clear()
        while members:
            joining = self._disturbed(self._fill(members))
            if not joining:
                break
            members += joining
        now = self._events.now
        group: list[Connection] = []
        least = math.inf
        for flow in members:
            rate = flow.share
            change = rate - flow.rate
            if change > rate * NOISE or -change > rate * NOISE:
                left = flow.left - flow.rate * (now - flow.since)
                flow.left = left = left if left > 0.0 else 0.0
                flow.since = now
                flow.rate = rate
                flow.ends = ends = now + left / rate
                flow.group = group
                group.append(flow)
                if ends < least:
                    least = ends
        if group:
            self._events.at(least, self._wake, group)

    def _fill(self, members: list[Connection]) -> list[Resource]:
        """Progressive filling with what others leave over; the resources shared with others."""
        self._filling = filling = self._filling + 1
        this = self._round
        concerned: list[Resource] = []
        shared: list[Resource] = []
        for flow in members:
            for resource in flow.resources:
                if resource.filling != filling:
                    resource.filling = filling
                    concerned.append(resource)
                    left, count = resource.capacity, 0
                    for other in resource.flows:
                        if other.settled == this:
                            count += 1
                        else:
                            left -= other.rate
                    if count < len(resource.flows):
                        shared.append(resource)
                    resource.left = left
                    resource.count = count
                    resource.is_tight = False
        remaining = len(members)
        while remaining:
            least = math.inf
            tightest = concerned[0]
            for resource in concerned:
                if resource.count and resource.left < least * resource.count:
                    least = resource.left / resource.count
                    tightest = resource
            tightest.is_tight = True
            for flow in tightest.flows:
                if flow.settled == this and flow.filling != filling:
                    flow.filling = filling
                    flow.share = least
                    flow.bottleneck = tightest
                    remaining -= 1
                    for resource in flow.resources:
                        resource.left -= least
                        resource.count -= 1
                        resource.top = least
        return shared

    def _disturbed(self, shared: list[Resource]) -> list[Connection]:
        """Who lost his bottleneck by that, or stands in the way of somebody else's."""
        this = self._round
        found: list[Connection] = []
        for resource in shared:
            is_free = resource.left > resource.capacity * NOISE
            low, high = resource.top * (1 - NOISE), math.inf
            if resource.is_tight:
                high = resource.top * (1 + NOISE)
            for flow in resource.flows:
                if flow.settled != this and (
                    flow.rate > high
                    or (flow.bottleneck is resource and (is_free or flow.rate < low))
                ):
                    flow.settled = this
                    found.append(flow)
        return found


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
        self._pushes = 0
        self._due = math.inf

    def _join(self, connection: Connection) -> None:
        self._advance()
        (link,) = connection.resources
        self._watch(link)
        link.flows[connection] = None
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
        self._pushes += 1
        heappush(self._queue, (connection.ends, self._pushes, connection))
        self._due = math.inf
        self._events.unsettled.append(self)

    def _change(self, resource: Resource, before: float) -> None:
        self._advance()
        for connection in resource.flows:
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
            self._count -= 1
            self._events.unsettled.append(self)

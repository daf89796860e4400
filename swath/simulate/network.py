"""Messages on their way: who waits for whom, and who shares which rate with whom.

Messages of one connection leave one after another. A message leaves while it is written: where its
whole way was idle meanwhile, that much of it has left when it begins to share with others. In a
switched network and in a star the messages under way share by max-min fairness (progressive
filling: all rates rise together; a flow stops rising where the first of its resources is used up).
On a radio channel they share the time (`swath.simulate.radio`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any

from swath.simulate.channels import Rates
from swath.simulate.events import Action, Events

NOISE = 1e-9
"""Shares of a rate, or of a message, that are rounding, and are let be."""

_ABOVE = 1.0 + NOISE

Cargo = tuple[Any, float]
"""(what the receiver is told, bytes that have not left)."""


class Resource:
    """Something that carries ``capacity`` bytes/s in all: a port, or one direction of a link.

    ``rates``: how the capacity varies while somebody uses it; None: it does not. ``limited``: the
    connections under way whose bottleneck it is, all at the rate ``level``, and what else they
    cross; ``others``: those that cross it, and have theirs elsewhere. ``spare``: what is left of
    it, or less, where it limits nobody. ``first``: when the first of those whom it limits ends;
    ``wakes_at``: when that is looked after next, no later than then. ``burst``: bytes that it
    carries at once after a pause, as a token bucket does; ``free_at``: when what it was given so
    far would be through at its full rate. ``idle_since``: when it last carried something, where
    nothing is under way.
    """

    __slots__ = (
        "burst", "capacity", "first", "free_at", "idle_since", "is_unsettled", "is_watched",
        "level", "limited", "others", "rates", "spare", "wakes_at",
    )  # fmt: skip

    def __init__(self, capacity: float, rates: Rates | None = None, burst: float = 0.0) -> None:
        self.capacity = capacity
        self.burst = burst
        self.free_at = -math.inf
        self.idle_since = -math.inf
        self.rates = rates
        self.level = math.inf
        self.limited: dict[Connection, tuple[Resource, ...]] = {}
        self.others: dict[Connection, None] = {}
        self.spare = capacity
        self.first = math.inf
        self.wakes_at = math.inf
        self.is_watched = False
        self.is_unsettled = False


class Connection:
    """From one party to another: a queue whose first message is under way.

    ``resources`` are what it crosses: none where no network is between; on a radio channel its own
    link alone. ``besides``: by each of them, the others. ``arrive`` is called with what was sent,
    ``latency`` seconds after its last byte.
    ``cargo``: what it is to be told of the first message; None: there is none. ``left``: bytes of
    the first message when it got under way; ``ends``: when its last byte leaves if nothing changes.
    """

    __slots__ = (
        "arrive", "besides", "bottleneck", "bursts", "cargo", "ends", "latency", "left", "rate",
        "resources", "waiting",
    )  # fmt: skip

    bottleneck: Resource
    besides: dict[Resource, tuple[Resource, ...]]

    def __init__(self, resources: Sequence[Resource], latency: float, arrive: Action) -> None:
        self.resources = crossed = tuple(resources)
        if len(crossed) == 2:  # Nearly always, and every simulation makes some for every pair.
            one, other = crossed
            self.besides = {one: (other,), other: (one,)}
            self.bursts = one.burst > 0.0 and other.burst > 0.0
        else:
            self.besides = {
                crossed[place]: crossed[:place] + crossed[place + 1 :]
                for place in range(len(crossed))
            }
            self.bursts = bool(crossed) and all(resource.burst for resource in crossed)
        self.latency = latency
        self.arrive = arrive
        self.waiting: deque[Cargo] = deque()
        self.cargo: Any = None
        self.left = 0.0
        self.rate = 0.0
        self.ends = math.inf


class Network(ABC):
    """Queues of messages; who is first in its queue shares with those of other queues."""

    def __init__(self, events: Events) -> None:
        self._events = events
        events.settle = self._settle

    def send(self, connection: Connection, nbytes: int, told: object, since: float) -> None:
        """A message has been written, its bytes from ``since`` on: it has left as far as its way
        was idle; the rest leaves now, or when those before it on its connection have left."""
        events = self._events
        left: float = nbytes
        if connection.cargo is not None:
            if connection.bursts:
                left -= self._burst(connection, nbytes, events.now)
            connection.waiting.append((told, left))
            return
        if left and connection.resources:
            idle, rate = self._claim(connection, since)
            if connection.bursts:
                left -= self._burst(connection, nbytes, events.now - idle)
            left -= idle * rate
            if left > NOISE * nbytes:
                connection.cargo = told
                connection.left = left
                self._join(connection, rate)
                return
        events.at(events.now + connection.latency, connection.arrive, told)

    def _burst(self, connection: Connection, nbytes: int, now: float) -> int:
        """Bytes of a message that pass at once, where all that is crossed lets bursts through."""
        saved = min(
            min(resource.burst, max(0.0, now - resource.free_at) * resource.capacity)
            for resource in connection.resources
        )
        passed = min(nbytes, int(saved))
        for resource in connection.resources:
            # What the bucket still holds stays as time that it was idle.
            full = now - resource.burst / resource.capacity
            resource.free_at = max(resource.free_at, full) + nbytes / resource.capacity
        return passed

    def _next(self, connection: Connection) -> bool:
        """The first message has left; whether there is another one."""
        events = self._events
        events.at(events.now + connection.latency, connection.arrive, connection.cargo)
        while connection.waiting:
            connection.cargo, nbytes = connection.waiting.popleft()
            if nbytes:
                connection.left = nbytes
                return True
            events.at(events.now + connection.latency, connection.arrive, connection.cargo)
        connection.cargo = None
        connection.ends = math.inf
        return False

    def _watch(self, resource: Resource) -> None:
        """Know the capacity of a resource that varies, until nobody uses it any more."""
        if resource.rates is not None and not resource.is_watched:
            resource.capacity, until = resource.rates.at(self._events.now)
            resource.is_watched = True
            self._events.at(until, self._expire, resource)

    def _expire(self, resource: Resource) -> None:
        resource.is_watched = False
        if resource.limited or resource.others:
            before = resource.capacity
            self._watch(resource)
            self._change(resource, before)

    @abstractmethod
    def _claim(self, connection: Connection, since: float) -> tuple[float, float]:
        """(seconds since then for which everything was idle that a connection crosses: they are
        that connection's now; its rate alone). Where others have messages under way, both are 0."""

    @abstractmethod
    def _join(self, connection: Connection, alone: float) -> None:
        """The first message of an empty queue gets under way; ``alone``: its rate, if it is."""

    @abstractmethod
    def _change(self, resource: Resource, before: float) -> None:
        """The capacity of a resource in use is another one now."""

    @abstractmethod
    def _settle(self) -> None:
        """Work out who ends when, after all that has changed at this moment."""


class Switched(Network):
    """Max-min fairness over the resources that each connection crosses.

    An allocation is max-min fair exactly if every connection has a bottleneck: a resource that is
    used up, and where nobody has more (Bertsekas and Gallager, Data Networks, 6.5.2). So each
    resource is filled by itself, up to a level that none of those whom it limits exceeds, given
    what the others have by their own bottlenecks (the "advertised rate" of Charny, Clark and Jain,
    ICC 1995); that is done again where something has changed, and wherever that changes something
    in turn. Levels become final from the lowest upwards, as in progressive filling.
    """

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._unsettled: list[Resource] = events.unsettled
        self._at, self._wakes = events.at, self._wake  # Bound once, not at every message.

    def _claim(self, connection: Connection, since: float) -> tuple[float, float]:
        rate = math.inf
        for resource in connection.resources:
            if resource.limited or resource.others:
                return 0.0, 0.0
            if resource.idle_since > since:
                since = resource.idle_since
            if resource.rates is not None:
                self._watch(resource)
            if resource.capacity < rate:
                rate = resource.capacity
                connection.bottleneck = resource
        now = self._events.now
        for resource in connection.resources:
            resource.idle_since = now
        return now - since, rate

    def _join(self, connection: Connection, alone: float) -> None:
        if alone:
            bottleneck = connection.bottleneck
            bottleneck.level = alone
            bottleneck.spare = 0.0
            bottleneck.limited[connection] = besides = connection.besides[bottleneck]
            for resource in besides:
                resource.others[connection] = None
                resource.spare = resource.capacity - alone
            connection.rate = alone
            connection.ends = bottleneck.first = ends = self._events.now + connection.left / alone
            if ends < bottleneck.wakes_at:
                bottleneck.wakes_at = ends
                self._at(ends, self._wakes, bottleneck)
            return
        rate = math.inf
        for resource in connection.resources:
            if resource.rates is not None:
                self._watch(resource)
            # About what there is for one more: the nearer, the less is left to settle.
            if resource.limited:
                count = len(resource.limited)
                share = resource.level * count / (count + 1)
            elif resource.others:
                share = resource.spare
            else:
                share = resource.spare = resource.capacity
            if share < rate:
                rate = share
                connection.bottleneck = resource
        bottleneck = connection.bottleneck
        if not bottleneck.limited:
            bottleneck.level = rate
            bottleneck.spare = 0.0
        bottleneck.limited[connection] = besides = connection.besides[bottleneck]
        if not bottleneck.is_unsettled:
            self._unsettle(bottleneck)
        for resource in besides:
            resource.others[connection] = None
            if not resource.limited:
                resource.spare -= bottleneck.level
                if resource.spare >= 0.0:
                    continue
            if not resource.is_unsettled:
                self._unsettle(resource)
        connection.rate = 0.0

    def _leave(self, connection: Connection) -> None:
        # Who is limited elsewhere has nothing of what becomes free.
        now = self._events.now
        bottleneck = connection.bottleneck
        bottleneck.idle_since = now
        besides = bottleneck.limited.pop(connection)
        if bottleneck.limited and not bottleneck.is_unsettled:
            self._unsettle(bottleneck)
        for resource in besides:
            resource.idle_since = now
            del resource.others[connection]
            if not resource.limited:
                resource.spare += bottleneck.level
            elif not resource.is_unsettled:
                self._unsettle(resource)

    def _unsettle(self, resource: Resource) -> None:
        """What it gives has to be worked out anew, which is not to be done already."""
        resource.is_unsettled = True
        self._unsettled.append(resource)

    def _wake(self, resource: Resource) -> None:
        """Somebody whom a resource limits may have left now."""
        now = self._events.now
        if resource.wakes_at != now:
            return  # Somebody was to end sooner, and this has been looked after since.
        resource.wakes_at = math.inf
        first = resource.first
        if first <= now:
            first = math.inf
            for flow in tuple(resource.limited):
                ends = flow.ends
                if ends <= now:
                    if not self._next(flow):
                        self._leave(flow)
                        continue
                    # The next message takes over the rate: nothing changes for the others.
                    flow.ends = ends = now + flow.left / flow.rate
                if ends < first:
                    first = ends
        if resource.limited and not resource.is_unsettled:
            resource.first = resource.wakes_at = first
            self._at(first, self._wakes, resource)

    def _change(self, resource: Resource, before: float) -> None:
        if not resource.is_unsettled:
            self._unsettle(resource)

    def _settle(self) -> None:
        """Fill what has changed; then who has another rate than before ends at another time."""
        self._fill()
        now, at, wakes = self._events.now, self._at, self._wakes
        unsettled = self._unsettled
        for resource in unsettled:
            limited = resource.limited
            if not limited:
                continue
            rate = resource.level
            first = math.inf
            for flow in limited:
                before = flow.rate
                if before == rate:
                    ends = flow.ends
                else:
                    left = (flow.ends - now) * before if before else flow.left
                    flow.ends = ends = now + left / rate
                    flow.rate = rate
                if ends < first:
                    first = ends
            resource.first = first
            if first < resource.wakes_at:
                resource.wakes_at = first
                at(first, wakes, resource)
        unsettled.clear()

    def _fill(self) -> None:
        """Fill resources anew until none is unsettled; they are left in the list of those."""
        unsettled = self._unsettled
        unsettle = unsettled.append
        for resource in unsettled:
            limited = resource.limited
            left = resource.capacity
            highest = 0.0
            for flow in resource.others:
                rate = flow.bottleneck.level
                left -= rate
                if rate > highest:
                    highest = rate
                    greediest = flow
            if limited:
                level = left / len(limited)
                if highest > level * _ABOVE:
                    level = self._draw_in(resource, greediest, left)
            elif left < -NOISE * resource.capacity:
                level = self._draw_in(resource, greediest, left)
                resource.spare = 0.0
            else:
                resource.spare = left
                resource.is_unsettled = False
                continue
            before = resource.level
            if level > before * _ABOVE or before > level * _ABOVE:
                resource.level = level
                rise = level - before
                for besides in limited.values():
                    for other in besides:
                        if not other.is_unsettled:
                            # Where nobody is limited, nobody waits for what becomes free.
                            if not other.limited:
                                other.spare -= rise
                                if other.spare >= 0.0:
                                    continue
                            other.is_unsettled = True
                            unsettle(other)
            resource.is_unsettled = False

    def _draw_in(self, resource: Resource, flow: Connection, left: float) -> float:
        """Limit those too that have more elsewhere than they can have here; the level then.

        ``flow``: who has most of them; ``left``: what they and all others leave for those whom the
        resource limits so far.
        """
        limited, others = resource.limited, resource.others
        if not limited:
            resource.level = 0.0  # What it gave when it last limited somebody is past.
        while True:
            bottleneck = flow.bottleneck
            left += bottleneck.level
            del bottleneck.limited[flow], others[flow]
            bottleneck.others[flow] = None
            limited[flow] = besides = flow.besides[resource]
            flow.bottleneck = resource
            for crossed in besides:
                if not crossed.limited:
                    crossed.spare += bottleneck.level - resource.level
                elif not crossed.is_unsettled:
                    crossed.is_unsettled = True
                    self._unsettled.append(crossed)
            level = left / len(limited)
            highest = level * _ABOVE
            for other in others:
                rate = other.bottleneck.level
                if rate > highest:
                    highest = rate
                    flow = other
            if flow.bottleneck is resource:
                return level

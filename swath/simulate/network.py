"""Messages on their way: who waits for whom, and who shares which rate with whom.

Messages of one connection leave one after another. In a switched network and in a star the
messages under way share by max-min fairness (progressive filling: all rates rise together; a flow
stops rising where the first of its resources is used up). On a radio channel they share the time
(`swath.simulate.radio`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from swath.simulate.channels import Rates
from swath.simulate.events import Action, Events

NOISE = 1e-9
"""Relative changes of a rate that are rounding, and are let be."""

Cargo = tuple[Any, int]
"""(what the receiver is told, bytes)."""


class Resource:
    """Something that carries ``capacity`` bytes/s in all: a port, or one direction of a link.

    ``rates``: how the capacity varies while somebody uses it; None: it does not. ``limited``: the
    connections under way whose bottleneck it is, all at the rate ``level``; ``others``: those that
    cross it, and have theirs elsewhere. ``spare``: what is left of it, or less, where it limits
    nobody. ``burst``: bytes that it carries at once after a pause, as a token bucket does;
    ``free_at``: when what it was given so far would be through at its full rate.
    """

    __slots__ = (
        "burst", "capacity", "free_at", "is_unsettled", "is_watched", "level", "limited", "others",
        "rates", "spare",
    )  # fmt: skip

    def __init__(self, capacity: float, rates: Rates | None = None, burst: float = 0.0) -> None:
        self.capacity = capacity
        self.burst = burst
        self.free_at = -math.inf
        self.rates = rates
        self.level = math.inf
        self.limited: dict[Connection, None] = {}
        self.others: dict[Connection, None] = {}
        self.spare = capacity
        self.is_watched = False
        self.is_unsettled = False


class Connection:
    """From one party to another: a queue whose first message is under way.

    ``resources`` are what it crosses: none where no network is between; on a radio channel its own
    link alone. ``arrive`` is called with what was sent, ``latency`` seconds after its last byte.
    ``left``: bytes of the first message when it got under way; ``ends``: when its last byte leaves
    if nothing changes; ``group``: those whose rates were last worked out together with its own.
    """

    __slots__ = (
        "arrive", "bottleneck", "bursts", "cargo", "ends", "group", "latency", "left", "rate",
        "resources", "waiting",
    )  # fmt: skip

    bottleneck: Resource

    def __init__(self, resources: Sequence[Resource], latency: float, arrive: Action) -> None:
        self.resources = tuple(resources)
        self.bursts = bool(resources) and all(resource.burst for resource in resources)
        self.latency = latency
        self.arrive = arrive
        self.waiting: deque[Cargo] = deque()
        self.cargo: Cargo | None = None
        self.left = 0.0
        self.rate = 0.0
        self.ends = math.inf
        self.group: list[Connection] | None = None


class Network(ABC):
    """Queues of messages; who is first in its queue shares with those of other queues."""

    def __init__(self, events: Events) -> None:
        self._events = events
        events.settle = self._settle

    def send(self, connection: Connection, nbytes: int, told: object) -> None:
        """A message leaves now, or when those before it on its connection have left."""
        if connection.bursts:
            nbytes -= self._burst(connection, nbytes)
        if connection.cargo is not None:
            connection.waiting.append((told, nbytes))
        elif nbytes and connection.resources:
            connection.cargo = (told, nbytes)
            connection.left = nbytes
            self._join(connection)
        else:
            events = self._events
            events.at(events.now + connection.latency, connection.arrive, told)

    def _burst(self, connection: Connection, nbytes: int) -> int:
        """Bytes of a message that pass at once."""
        now = self._events.now
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
    def _join(self, connection: Connection) -> None:
        """The first message of an empty queue gets under way."""

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
        self._woken: list[list[Connection]] = []

    def _join(self, connection: Connection) -> None:
        is_alone = True
        rate = math.inf
        for resource in connection.resources:
            if resource.rates is not None:
                self._watch(resource)
            if resource.limited or resource.others:
                is_alone = False
            else:
                resource.spare = resource.capacity
            share = resource.capacity / (len(resource.limited) + 1)
            if share < rate:
                rate = share
                connection.bottleneck = resource
        bottleneck = connection.bottleneck
        if not bottleneck.limited:
            bottleneck.level = rate
            bottleneck.spare = 0.0
        bottleneck.limited[connection] = None
        if not is_alone:
            self._unsettle(bottleneck)
        for resource in connection.resources:
            if resource is not bottleneck:
                resource.others[connection] = None
                if not resource.limited:
                    resource.spare -= bottleneck.level
                    if resource.spare >= 0.0:
                        continue
                if not is_alone:
                    self._unsettle(resource)
        if is_alone:
            now = self._events.now
            connection.rate = rate
            connection.ends = ends = now + connection.left / rate
            connection.group = group = [connection]
            self._events.at(ends, self._wake, group)
        else:
            connection.rate = 0.0

    def _leave(self, connection: Connection) -> None:
        # Who is limited elsewhere has nothing of what becomes free.
        bottleneck = connection.bottleneck
        del bottleneck.limited[connection]
        if bottleneck.limited:
            self._unsettle(bottleneck)
        for resource in connection.resources:
            if resource is not bottleneck:
                del resource.others[connection]
                if resource.limited:
                    self._unsettle(resource)

    def _unsettle(self, resource: Resource) -> None:
        if not resource.is_unsettled:
            resource.is_unsettled = True
            self._unsettled.append(resource)

    def _await(self, group: list[Connection]) -> None:
        """Wake a group, who ends first last in it, when its first one ends."""
        while group:
            if group[-1].group is group:
                self._events.at(group[-1].ends, self._wake, group)
                return
            group.pop()  # Its rate has changed since.

    def _wake(self, group: list[Connection]) -> None:
        """The first of a group may have left now."""
        now = self._events.now
        while group:
            flow = group[-1]
            if flow.group is group:
                if flow.ends > now:
                    break
                if self._next(flow):
                    # The next message takes over the rate: nothing changes for the others.
                    flow.ends = ends = now + flow.left / flow.rate
                    flow.group = alone = [flow]
                    self._events.at(ends, self._wake, alone)
                else:
                    flow.group = None
                    self._leave(flow)
            group.pop()
        if group:
            if self._unsettled:
                self._woken.append(group)  # Most of it will have another rate in a moment.
            else:
                self._await(group)

    def _change(self, resource: Resource, before: float) -> None:
        self._unsettle(resource)

    def _settle(self) -> None:
        """Fill what has changed; then who has another rate than before ends at another time."""
        filled = self._fill()
        now = self._events.now
        group: list[Connection] = []
        for resource in filled:
            rate = resource.level
            for flow in resource.limited:
                before = flow.rate
                if before != rate:
                    left = (flow.ends - now) * before if before else flow.left
                    flow.ends = now + left / rate
                    flow.rate = rate
                    flow.group = group
                    group.append(flow)
        if group:
            group.sort(key=_ENDS)
            group.reverse()
            self._events.at(group[-1].ends, self._wake, group)
        for woken in self._woken:
            self._await(woken)
        self._woken.clear()

    def _fill(self) -> list[Resource]:
        """Fill resources anew until none is unsettled; those that were filled."""
        filled: list[Resource] = []
        unsettled = self._unsettled
        for resource in unsettled:
            resource.is_unsettled = False
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
                if highest > level * (1 + NOISE):
                    level = self._draw_in(resource, greediest, left)
            elif left < -NOISE * resource.capacity:
                level = self._draw_in(resource, greediest, left)
            else:
                resource.spare = left
                continue
            resource.spare = 0.0
            filled.append(resource)
            rise = level - resource.level
            if rise > level * NOISE:
                resource.level = level
                for flow in limited:
                    for other in flow.resources:
                        if not other.is_unsettled and other is not resource:
                            if not other.limited:
                                other.spare -= rise
                                if other.spare >= 0.0:
                                    continue
                            other.is_unsettled = True
                            unsettled.append(other)
            elif -rise > level * NOISE:
                resource.level = level
                for flow in limited:
                    for other in flow.resources:
                        # Where nobody is limited, nobody waits for what becomes free.
                        if other.limited and not other.is_unsettled and other is not resource:
                            other.is_unsettled = True
                            unsettled.append(other)
        unsettled.clear()
        return filled

    def _draw_in(self, resource: Resource, flow: Connection, left: float) -> float:
        """Limit those too that have more elsewhere than they can have here; the level then.

        ``flow``: who has most of them; ``left``: what they and all others leave for those whom the
        resource limits so far.
        """
        limited, others = resource.limited, resource.others
        while True:
            bottleneck = flow.bottleneck
            left += bottleneck.level
            del bottleneck.limited[flow], others[flow]
            bottleneck.others[flow] = limited[flow] = None
            flow.bottleneck = resource
            for crossed in flow.resources:
                if crossed.limited and not crossed.is_unsettled and crossed is not resource:
                    crossed.is_unsettled = True
                    self._unsettled.append(crossed)
            level = left / len(limited)
            highest = level * (1 + NOISE)
            for other in others:
                rate = other.bottleneck.level
                if rate > highest:
                    highest = rate
                    flow = other
            if flow.bottleneck is resource:
                return level


_ENDS = attrgetter("ends")

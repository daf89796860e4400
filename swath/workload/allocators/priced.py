"""A rule with prices: what devices' time, waiting and lateness are worth decides who goes where."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from math import exp, inf, log

from swath.workload.allocators.registry import Setting
from swath.workload.serving import Moment, Refuse, Start
from swath.workload.ways import Menu, Way

CLEARLY = 2.0
"""Who weighs so many times as much does not wait for the other one."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What makes up the rule.

    ``time``: seconds of latency that one second of the whole cluster's time is worth: the more, the
    fewer devices split a request. ``patience``: seconds of latency that one second of waiting for
    better devices is worth. ``size``, ``limit``, ``age``: who goes first: the order is by size *
    log(work) - limit * log(longest wait) - age * (share of that which has passed). ``hope``: who
    has less time left than so many times what he takes alone at best is refused. ``lightness``: a
    request's weight is its work to the minus so much.

    The usual ones are good for services like those of the examples at loads from 0.9 to 1.3, as
    `benchmarks.usual_prices` finds; policies begin with them.
    """

    time: float = 30.0
    patience: float = 7.5
    size: float = 0.2
    limit: float = 1.1
    age: float = -0.1
    hope: float = 1.2
    lightness: float = 0.1


PRICES = len(fields(Prices))

_LOGARITHMIC = {"time": (0.1, 300.0), "patience": (0.2, 20.0)}
_LINEAR = {
    "size": (-0.5, 1.5), "limit": (-1.0, 1.5), "age": (-2.0, 2.0), "hope": (0.0, 2.5),
    "lightness": (0.0, 1.5),
}  # fmt: skip
"""Between which each price lies."""


def prices_at(action: list[float]) -> Prices:
    """Prices by numbers from -1 (the least) to 1 (the most), in the order of their fields; what is
    beyond is taken for the end."""
    made = {}
    for field, number in zip(fields(Prices), action, strict=True):
        share = (min(1.0, max(-1.0, number)) + 1) / 2
        if field.name in _LOGARITHMIC:
            least, most = _LOGARITHMIC[field.name]
            made[field.name] = least * (most / least) ** share
        else:
            least, most = _LINEAR[field.name]
            made[field.name] = least + share * (most - least)
    return Prices(**made)


def action_of(prices: Prices) -> list[float]:
    """What `prices_at` makes these of."""
    action = []
    for field, value in zip(fields(Prices), astuple(prices), strict=True):
        if field.name in _LOGARITHMIC:
            least, most = _LOGARITHMIC[field.name]
            share = log(value / least) / log(most / least)
        else:
            least, most = _LINEAR[field.name]
            share = (value - least) / (most - least)
        action.append(2 * share - 1)
    return action


@dataclass(frozen=True, slots=True)
class _Choice:
    """A way: its devices as bits and as places, its seconds, and its share of a second of the whole
    cluster's time."""

    way: Way
    bits: int
    places: tuple[int, ...]
    seconds: float
    cost: float


class Priced:
    """Of each service's ways the one of the least seconds + time * work + patience * waiting for
    its devices; its first request begins where it need not wait. ``prices`` may change between two
    decisions. Devices on which only others of clearly less weight are at work count as idle."""

    def __init__(self, setting: Setting, prices: Prices = Prices()) -> None:
        self.prices = prices
        self._choices = [_choices(menu, setting) for menu in setting.menus]
        least = [min(choice.cost for choice in own) for own in self._choices]
        typical = exp(sum(map(log, least)) / len(least))
        self._sizes = [log(cost / typical) for cost in least]
        self._soonest = [min(choice.seconds for choice in own) for own in self._choices]
        limits = setting.workload.limits
        middle = exp(sum(map(log, limits)) / len(limits))
        self._limits = limits
        # Priority is worth as much as so many times less work.
        self._worth = [log(limit / middle) for limit in limits]
        self._favours = [log(menu.service.priority) for menu in setting.menus]
        self._all = sum(1 << place for place, speed in enumerate(setting.speeds) if speed)

    def decide(self, moment: Moment) -> Start | Refuse | None:
        prices, now = self.prices, moment.now
        ranked = []
        for service, line in enumerate(moment.waiting):
            if not line:
                continue
            first = line[0]
            if first.until - now < prices.hope * self._soonest[service]:
                return Refuse(service)
            rank = (
                prices.size * self._sizes[service]
                - self._favours[service]
                - prices.limit * self._worth[service]
                - prices.age * (now - first.came) / self._limits[service]
            )
            ranked.append((rank, service))
        ranked.sort()
        for _, service in ranked:
            weight = exp(-prices.lightness * self._sizes[service])
            choice = self._best(moment, service, weight)
            if choice is not None:
                return Start(service, choice.way, weight)
        return None

    def _best(self, moment: Moment, service: int, weight: float) -> _Choice | None:
        """The best way, if it can begin now."""
        occupied, free = 0, [0.0] * len(moment.menus[service].ways[0].busy)
        for run in moment.running:
            if CLEARLY * run.weight > weight:
                occupied |= run.way.devices
        if occupied & self._all == self._all:
            return None
        for run in moment.running:
            if CLEARLY * run.weight > weight:
                left = run.ends - moment.now
                for place, _ in run.way.shares:
                    if left > free[place]:
                        free[place] = left
        time, patience = self.prices.time, self.prices.patience
        best, least = None, inf
        for choice in self._choices[service]:
            score = choice.seconds + time * choice.cost
            if choice.bits & occupied:
                score += patience * max([free[place] for place in choice.places])
            if score < least:
                best, least = choice, score
        return None if best is None or best.bits & occupied else best


def _choices(menu: Menu, setting: Setting) -> list[_Choice]:
    total = sum(setting.speeds)
    return [
        _Choice(
            way,
            way.devices,
            tuple(place for place in range(len(way.busy)) if way.devices >> place & 1),
            way.seconds,
            sum(busy * speed for busy, speed in zip(way.busy, setting.speeds, strict=True)) / total,
        )
        for way in menu.ways
    ]

"""From what a policy says to prices, and the allocator that asks them."""

from __future__ import annotations

from collections.abc import Iterable

from swath.workload.allocators.priced import Priced, Prices, action_of, prices_at
from swath.workload.allocators.registry import Setting
from swath.workload.learning.observing import Watch
from swath.workload.learning.policy import load_policy
from swath.workload.serving import Moment, Refuse, Start

EPOCH = 32
"""Requests that come between two looks."""

_USUAL = action_of(Prices())


def prices_of(action: Iterable[float]) -> Prices:
    """The prices that an action asks: 0 is the usual one, -1 and 1 the least and the most."""
    return prices_at(
        [
            usual + float(number) * (1 - usual if number > 0 else 1 + usual)
            for usual, number in zip(_USUAL, action, strict=True)
        ]
    )


class Steered:
    """Asks the prices that a learnt policy says, looking anew after every `EPOCH` requests. Raises
    WorkloadError for a file that is no policy or was made for something else."""

    def __init__(self, setting: Setting) -> None:
        self._policy = load_policy(setting.policy)
        self._priced = Priced(setting)
        self._watch = Watch(setting)
        self._looked = -1

    def decide(self, moment: Moment) -> Start | Refuse | None:
        epoch = sum(moment.come) // EPOCH
        if epoch != self._looked:
            self._looked = epoch
            self._priced.prices = prices_of(self._policy.act(self._watch.look(moment)))
        return self._priced.decide(moment)

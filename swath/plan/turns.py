"""Who computes next where several flows of requests want one device: by weights, tile by tile.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995): flows take turns, every round gives each
a credit in proportion to its weight, and a flow goes on as long as it has credit. What a tile costs
is known only when it is done, so it is paid for afterwards, as in surplus round robin (Adiseshu,
Parulkar and Varghese, SIGCOMM 1996). Workers and the simulator divide devices by this.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Generic, TypeVar

QUANTUM = 1e-3
"""Seconds that a flow of weight 1 is given in every round."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Flow:
    """``credit``: seconds that it may still compute in this round; negative: that it has had too
    many."""

    weight: float
    credit: float = 0.0


class Turns(Generic[Key]):
    """Whose turn it is. A flow that could not go on when others could saves nothing up, but what it
    has had too much it pays back meanwhile."""

    def __init__(self) -> None:
        self._flows: dict[Key, _Flow] = {}

    def choose(self, ready: Mapping[Key, float]) -> Key:
        """The flow that goes on, of those that can; ``ready``: their weights, above 0."""
        flows = self._flows
        for key, weight in ready.items():
            flow = flows.get(key)
            if flow is None:
                flows[key] = _Flow(weight)
            else:
                flow.weight = weight
        self._save_nothing(ready)
        while all(flows[key].credit <= 0 for key in ready):  # Once, but for rounding.
            rounds = 1 + min(
                floor(-flows[key].credit / (QUANTUM * weight)) for key, weight in ready.items()
            )
            for flow in flows.values():
                flow.credit += rounds * QUANTUM * flow.weight
            self._save_nothing(ready)
        return next(key for key, flow in flows.items() if key in ready and flow.credit > 0)

    def pay(self, key: Key, seconds: float) -> None:
        """The flow that was chosen has computed for so long."""
        flow = self._flows[key]
        flow.credit -= seconds
        if flow.credit <= 0:  # The others come before it is its turn again.
            self._flows[key] = self._flows.pop(key)

    def _save_nothing(self, ready: Mapping[Key, float]) -> None:
        over = [key for key, flow in self._flows.items() if flow.credit >= 0 and key not in ready]
        for key in over:
            del self._flows[key]

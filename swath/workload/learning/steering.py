"""From what a policy says to prices."""

from __future__ import annotations

from collections.abc import Iterable

from swath.workload.allocators.priced import Prices, action_of, prices_at

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

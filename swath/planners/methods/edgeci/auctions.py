"""Who gets which item, by auction: Bertsekas' algorithm for the assignment problem.

Bertsekas: The auction algorithm: a distributed relaxation method for the assignment problem (Annals
of Operations Research 14, 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SCALING = 5.0
"""By how much the least raise falls from one auction to the next."""


def auctioned(values: ArrayLike, tolerance: float) -> tuple[int, ...]:
    """The item of each bidder, one each, whose values add up to the most that is possible, or to
    less than that by at most ``tolerance`` (above 0).

    ``values[bidder][item]``: square and finite. Whoever has no item bids for the one that it would
    gain most by: the price, and as much more as it prefers it to its second best, and a least
    raise. Who had that item is without one. When all have one, nobody is further than the raise
    from the best for it, so the sum is within ``bidders * raise`` of the most. Prices of an auction
    with a large raise are where the next one begins ("epsilon scaling"), without which bidders of
    like values outbid each other for long.
    """
    table = np.asarray(values, dtype=float)
    count = len(table)
    if table.size != count * count or not np.isfinite(table).all():
        raise ValueError("an auction takes as many items as bidders, and finite values")
    if tolerance <= 0:
        raise ValueError("an auction's tolerance is above 0")
    if count < 2:
        return tuple(range(count))
    least = tolerance / count
    raised = max(least, float(np.ptp(table)) / SCALING)
    prices = np.zeros(count)
    while True:
        owners = _held(table, prices, raised)
        if raised <= least:
            return tuple(owners.index(bidder) for bidder in range(count))
        raised = max(least, raised / SCALING)


def _held(values: np.ndarray, prices: np.ndarray, raised: float) -> list[int]:
    """The owner of each item after one auction; ``prices`` go up."""
    owners = [-1] * len(prices)
    waiting = list(range(len(prices)))
    while waiting:
        bidder = waiting.pop()
        gains = values[bidder] - prices
        item = int(gains.argmax())
        best = gains[item]
        gains[item] = -np.inf
        prices[item] += best - gains.max() + raised
        if owners[item] >= 0:
            waiting.append(owners[item])
        owners[item] = bidder
    return owners

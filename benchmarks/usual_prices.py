"""Where the usual prices come from (`swath.workload.allocators.priced.Prices`): an evolution
strategy on the example workload at high loads.

    python -m benchmarks.usual_prices [--generations 14]

Prints every generation, and the prices in the end. What stands in the code are such, rounded, and
the cluster's time half as dear again: so as much is of use at low loads, too.

A simple cross-entropy method (Rubinstein and Kroese, 2004): draw around a mean, take the best few,
move the mean and the spread to theirs. Requests are other ones in every generation, and none that
`benchmarks.allocation` judges by.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from joblib import Parallel, delayed

from benchmarks.allocation import CLUSTER, OTHERS, WORKLOAD, ground_of
from swath.workload.allocators import Setting
from swath.workload.allocators.priced import PRICES, Priced, Prices, action_of, prices_at
from swath.workload.arrivals import offer
from swath.workload.comparing import Ground, compare
from swath.workload.metrics import figures, utilisation
from swath.workload.serving import serve

LOADS = (0.9, 1.1, 1.3)
REQUESTS = 3000
DRAWN, KEPT = 24, 6
SPREAD, LEAST_SPREAD = 0.4, 0.04
FIRST_SEED = 1000
STEP = 0.7

Figures = tuple[float, float, float]
"""Mean and 95th percentile in ms, share of useful FLOPs."""


def best_of_others(ground: Ground, load: float, seed: int) -> Figures:
    rows = list(compare(ground, OTHERS, [load], REQUESTS, 1, seed))
    return (
        min(row.figures.mean for row in rows),
        min(row.figures.p95 for row in rows),
        max(row.utilisation.total for row in rows),
    )


def priced(ground: Ground, action: np.ndarray, load: float, seed: int) -> Figures:
    scale = ground.scale(load)
    offered = offer(ground.workload, ground.seconds(REQUESTS, scale), seed, scale)
    setting = Setting(ground.workload, ground.menus, ground.speeds, scale, seed)
    served = serve(
        ground.workload, ground.menus, offered, Priced(setting, prices_at(action.tolist()))
    )
    found = figures(served)
    return found.mean, found.p95, utilisation(served, ground.speeds).total


def cost(ground: Ground, action: np.ndarray, bests: dict[float, Figures], seed: int) -> float:
    """Latencies as shares of the best of the others; less use than theirs, or a 95th percentile
    that is no less, is dear."""
    total = 0.0
    for load, best in bests.items():
        mean, p95, useful = (
            one / other for one, other in zip(priced(ground, action, load, seed), best, strict=True)
        )
        total += mean + p95 + 20 * max(0.0, 1.002 - useful) + 10 * max(0.0, p95 - 0.97)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=14)
    options = parser.parse_args()
    ground = replace(ground_of(WORKLOAD, CLUSTER), policy=None)
    generator = np.random.default_rng(0)
    # In the middle of what can be asked.
    mean, spread = np.zeros(PRICES), np.full(PRICES, SPREAD)
    with Parallel(n_jobs=-1) as parallel:
        for generation in range(options.generations):
            seed = FIRST_SEED + generation
            bests = dict(
                zip(
                    LOADS,
                    parallel(delayed(best_of_others)(ground, load, seed) for load in LOADS),
                    strict=True,
                )
            )
            drawn = [*(mean + spread * generator.standard_normal((DRAWN - 1, PRICES))), mean]
            costs = parallel(delayed(cost)(ground, action, bests, seed) for action in drawn)
            best = np.array([drawn[place] for place in np.argsort(costs)[:KEPT]])
            mean = (1 - STEP) * mean + STEP * best.mean(axis=0)
            spread = (1 - STEP) * spread + STEP * (best.std(axis=0) + LEAST_SPREAD)
            print(generation, f"mean {costs[-1]:.3f}, best {min(costs):.3f}", flush=True)
    print("found: ", prices_at(mean.tolist()))
    print("usual: ", Prices(), action_of(Prices()))


if __name__ == "__main__":
    main()

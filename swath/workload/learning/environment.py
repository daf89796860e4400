"""Allocation as a Gymnasium environment: which prices to ask, from moment to moment.

A step sets the prices of `swath.workload.allocators.priced` for the next requests that come. So a
policy says what the cluster's time, waiting and lateness are worth at such a load, and the rule
works out from that which request begins when, on which devices and with which share: a policy fits
any number of services and devices. (Hu et al., JPDC 192, 2024, learn the allocation of computing
itself; what their agent sees and does is not public.)

Who imports this has it registered: ``gymnasium.make("swath/Allocation-v0")``, or in one go
``gymnasium.make("swath.workload.learning.environment:swath/Allocation-v0")``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from swath.workload.allocators import Setting, make_allocator
from swath.workload.allocators.priced import PRICES, Priced
from swath.workload.arrivals import Offered, offer
from swath.workload.learning.grounds import Draw, Drawn, around, made_up
from swath.workload.learning.observing import FEATURES, MOST, Watch
from swath.workload.learning.steering import EPOCH, prices_of
from swath.workload.serving import World

REFERENCE = "optimal-static"
"""What rewards are held against: the same requests under this allocator."""

STEPS = 40
"""Of an episode."""

TAIL = 4.0
"""How much more a second of latency counts that is beyond a part of the reference's 95th
percentile, which is what makes that percentile fall."""

TAIL_FROM = 0.6
"""That part."""

USEFUL = 2.0
"""What one per cent of useful FLOPs is worth in per cent of the cost of latency."""


class AllocationEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """``swath/Allocation-v0``.

    Observation: float32, `swath.workload.learning.observing.FEATURES`. Action: float32 from -1 to
    1, one for each of the prices; 0 asks the usual ones. Reward: how much less the latencies of
    what ended in this step cost than in the same step under `REFERENCE`, and how many FLOPs more
    were useful, both as shares of the reference's mean.

    ``draw``: makes the services of each episode; without it, made-up ones. ``steps`` of `EPOCH`
    requests make an episode.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  As Gymnasium has it.

    def __init__(self, draw: Draw | None = None, steps: int = STEPS) -> None:
        self.observation_space = Box(-MOST, MOST, (len(FEATURES),), np.float32)
        self.action_space = Box(-1.0, 1.0, (PRICES,), np.float32)
        self._draw = draw or around(made_up())
        self._steps = steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = self._draw(self.np_random)
        offered = self._offered(drawn)
        setting = Setting(
            drawn.ground.workload, drawn.ground.menus, drawn.ground.speeds, drawn.scale
        )
        self._account = _Account(drawn, offered, setting, self._steps)
        self._world = World(drawn.ground.workload, drawn.ground.menus, offered)
        self._priced = Priced(setting)
        self._watch = Watch(setting)
        self._step = 0
        return self._watch.look(self._world.moment), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._step += 1
        self._priced.prices = prices_of(action)
        is_over = self._step == self._steps
        self._world.run(self._priced, None if is_over else self._step * EPOCH)
        reward = self._account.reward(self._world, self._step - 1)
        return self._watch.look(self._world.moment), reward, is_over, False, {}

    def _offered(self, drawn: Drawn) -> Offered:
        """So many requests as the episode has."""
        count = self._steps * EPOCH
        seconds = drawn.ground.seconds(count, drawn.scale)
        seed = int(self.np_random.integers(2**31))
        while True:
            offered = offer(drawn.ground.workload, seconds, seed, drawn.scale)
            if len(offered.times) >= count:
                return Offered(
                    offered.times[:count], offered.services[:count], float(offered.times[count - 1])
                )
            seconds *= 1.5


class _Account:
    """What every step cost under the reference, and what it costs now."""

    def __init__(self, drawn: Drawn, offered: Offered, setting: Setting, steps: int) -> None:
        world = World(drawn.ground.workload, drawn.ground.menus, offered)
        allocator = make_allocator(REFERENCE, setting)
        self._services = offered.services.tolist()
        self._flops = [menu.flops for menu in drawn.ground.menus]
        marks, useful = [], []
        for step in range(1, steps + 1):
            world.run(allocator, None if step == steps else step * EPOCH)
            marks.append(len(world.ended))
            useful.append(self._useful(world))
        latencies = np.array(world.latencies)
        self._tail = TAIL_FROM * float(np.percentile(latencies, 95))
        costs = self._costs(latencies[world.ended])
        self._before = np.diff(np.concatenate([[0.0], np.cumsum(costs)])[[0, *marks]])
        self._gained = np.diff([0.0, *useful])
        self._cost = max(float(self._before.mean()), 1e-9)
        self._gain = max(float(self._gained.mean()), 1.0)
        self._seen = 0
        self._done = 0.0

    def reward(self, world: World, step: int) -> float:
        """Of what has ended since the last step."""
        ended = world.ended[self._seen :]
        self._seen += len(ended)
        latencies = np.array([world.latencies[number] for number in ended])
        done = self._useful(world)
        gained, self._done = done - self._done, done
        saved = (self._before[step] - float(self._costs(latencies).sum())) / self._cost
        return float(saved + USEFUL * (gained - self._gained[step]) / self._gain)

    def _costs(self, latencies: np.ndarray) -> np.ndarray:
        return np.asarray(latencies + TAIL * np.maximum(0.0, latencies - self._tail))

    def _useful(self, world: World) -> float:
        """FLOPs of all that was begun."""
        return sum(
            count * flops for count, flops in zip(world.moment.begun, self._flops, strict=True)
        )


gymnasium.register("swath/Allocation-v0", f"{__name__}:{AllocationEnv.__name__}")

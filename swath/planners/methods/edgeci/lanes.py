"""What it takes one device to hand something out to all the others, or to gather it from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swath.cluster import Link
from swath.cost import Costs, MessageCost
from swath.planners.building.weighing import slowdown


@dataclass(frozen=True, slots=True)
class Lanes:
    """The ways between a middle and every device (arrays, by place in the cluster's order), all in
    one direction.

    ``latency`` and ``seconds_per_byte`` of the network; ``fixed`` and ``per_byte`` of the device's
    CPU. Of a message the middle is held up for ``middle_fixed`` and ``middle_per_byte``: its own
    CPU's work, and its port's, or a radio channel's. All seconds by the clock. ``is_apart``: False
    for the middle itself, which takes no message.
    """

    is_apart: np.ndarray
    latency: np.ndarray
    seconds_per_byte: np.ndarray
    fixed: np.ndarray
    per_byte: np.ndarray
    middle_fixed: float
    middle_per_byte: np.ndarray

    def waiting(self, devices: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
        """Seconds of devices for messages of so many bytes, their time on the network left out."""
        own = self.latency[devices] + self.fixed[devices] + self.per_byte[devices] * nbytes
        return np.asarray(self._is_sent(devices, nbytes) * own)

    def travelling(self, devices: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
        """Seconds for which the bytes are on the network, nobody else sending."""
        return np.asarray(self._is_sent(devices, nbytes) * self.seconds_per_byte[devices] * nbytes)

    def holding_up(self, devices: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
        """Seconds for which they hold the middle up."""
        own = self.middle_fixed + self.middle_per_byte[devices] * nbytes
        return np.asarray(self._is_sent(devices, nbytes) * own)

    def _is_sent(self, devices: np.ndarray, nbytes: np.ndarray) -> np.ndarray:
        return np.asarray(self.is_apart[devices] & (nbytes > 0))


def lanes_from(middle: str, costs: Costs) -> Lanes:
    """For handing out."""
    return _lanes(
        costs,
        middle,
        costs.sending(middle),
        [costs.receiving(device.name) for device in costs.cluster.workers],
        [costs.path(middle, device.name) for device in costs.cluster.workers],
    )


def lanes_to(middle: str, costs: Costs) -> Lanes:
    """For gathering."""
    return _lanes(
        costs,
        middle,
        costs.receiving(middle),
        [costs.sending(device.name) for device in costs.cluster.workers],
        [costs.path(device.name, middle) for device in costs.cluster.workers],
    )


def _lanes(
    costs: Costs,
    middle: str,
    of_middle: MessageCost,
    of_devices: Sequence[MessageCost],
    paths: Sequence[Link],
) -> Lanes:
    names = [device.name for device in costs.cluster.workers]
    is_apart = np.array([name != middle for name in names])
    paces = np.array([slowdown(costs, name) for name in names])
    per_byte = np.array([1 / path.bandwidth for path in paths])
    # A port is as quick as the quickest path through it; on a radio channel each has its turn.
    is_radio = costs.cluster.network == "shared"
    port = per_byte if is_radio else np.full(len(names), per_byte[is_apart].min(initial=np.inf))
    pace = slowdown(costs, middle)
    return Lanes(
        is_apart,
        np.array([path.latency for path in paths]),
        per_byte,
        np.array([cost.fixed for cost in of_devices]) * paces,
        np.array([cost.per_byte for cost in of_devices]) * paces,
        of_middle.fixed * pace,
        of_middle.per_byte * pace + port,
    )

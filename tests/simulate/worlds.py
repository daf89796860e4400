"""Scripts and costs written by hand, in round numbers, for the tests of the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field

from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import Costs, Quota
from swath.simulate import Script
from swath.simulate.script import Part


@dataclass(frozen=True)
class Fixed(Costs):
    """Devices may have quotas; all seconds stand in the scripts."""

    quotas: dict[str, Quota] = field(default_factory=dict)

    def quota(self, device: str) -> Quota | None:
        return self.quotas.get(device)


def cluster(
    names: str = "abcd",
    bandwidth: float = 100.0,
    latency: float = 0.0,
    burst: float = 0.0,
    network: str = "switch",
    **fields: object,
) -> Cluster:
    """Devices of one letter; bytes/s and bytes."""
    return Cluster(
        tuple(Device(name, watts=Watts(2.0, 5.0)) for name in names),
        source=names[0],
        network=network,  # type: ignore[arg-type]
        default_link=Link(bandwidth, latency, burst=burst),
        **fields,  # type: ignore[arg-type]
    )


def script(
    steps: dict[str, list[tuple[float, int]]],
    messages: list[tuple[str, str, int, int]],
    source: str = "a",
    cpu: float = 0.0,
    request: float = 0.0,
    writing: float = 0.0,
) -> Script:
    """``steps``: by device, (seconds, message that is sent or -1). ``messages``: (sender, receiver,
    bytes, the receiver's step that reads it); ``@`` is the coordinator. ``cpu``: seconds of either
    end of a message; ``writing``: in which share of a step that sends it is written."""
    devices = list(steps)
    places = {device: place for place, device in enumerate(devices)} | {"@": -1}
    awaits = {device: [0] * len(steps[device]) for device in devices}
    for _, receiver, _, step in messages:
        if receiver != "@":
            awaits[receiver][step] += 1
    return Script(
        source=source,
        parts=tuple(
            Part(
                device,
                tuple(seconds + (cpu if sent >= 0 else 0.0) for seconds, sent in steps[device]),
                tuple(sent for _, sent in steps[device]),
                tuple(writing if sent >= 0 else 0.0 for _, sent in steps[device]),
                tuple(awaits[device]),
                tuple(f"stage {number}" for number in range(len(steps[device]))),
            )
            for device in devices
        ),
        nbytes=tuple(nbytes for _, _, nbytes, _ in messages),
        senders=tuple(places[sender] for sender, _, _, _ in messages),
        receivers=tuple(places[receiver] for _, receiver, _, _ in messages),
        receiving=tuple(cpu for _ in messages),
        read_by=tuple(-1 if receiver == "@" else step for _, receiver, _, step in messages),
        numbers=tuple(range(len(messages))),
        scatter=tuple(
            (number, cpu, writing) for number, message in enumerate(messages) if message[0] == "@"
        ),
        expected=sum(receiver == "@" for _, receiver, _, _ in messages),
        begins=request / 2,
        ends=request / 2,
    )

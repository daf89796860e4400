"""What was measured of a device and of its links: samples, never fitted models.

Models are fitted to the samples when a profile is loaded (`swath.cost`), so a profile stays
readable, and good for models that are not thought of yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One operator, timed. ``flops`` and bytes are those of the part that was computed, ``weights``
    the bytes of constants that it read; ``kernel``: entries of the window that an output entry sees
    in one channel (1 where there is none); ``channels`` and ``width`` of what it writes; ``away``:
    bytes that were read since these weights had been, which says from how far they come; ``load``:
    share of the CPU that others use where nobody competes (0 to 1); ``seconds``: of the clock,
    median or mean of many. ``shape`` says it to a person."""

    family: str
    shape: str
    flops: float
    read: float
    written: float
    weights: float
    kernel: float
    channels: float
    width: float
    away: float
    load: float
    seconds: float


@dataclass(frozen=True, slots=True)
class MessageSample:
    """CPU seconds that one end of messages of this size took; ``side``: send or receive, to or from
    another device, and send-within or receive-within, between two processes of this one."""

    side: str
    nbytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Machine:
    """What a profile holds for: another machine, engine or number of threads needs its own."""

    cpu: str
    architecture: str
    cores: int
    engine: str
    threads: int


@dataclass(frozen=True)
class DeviceProfile:
    """Everything measured of one device.

    ``kind``: brief, quick or full. ``overhead``: seconds of a tile besides its operators. ``copy``:
    seconds per byte copied. ``request``: seconds of a request besides its messages, where the
    device is the source. ``pace``: seconds of a fixed piece of work on the device (see
    `swath.runtime.profiling.pace`), while it was as fast as these figures say; None in files of
    earlier versions. ``accuracy``: by family, of the models chosen by cross-validation;
    ``chosen``: which these are, so that nobody needs to choose again.
    """

    device: str
    machine: Machine
    kind: str
    made: str
    samples: tuple[Sample, ...]
    messages: tuple[MessageSample, ...]
    overhead: float
    copy: float
    request: float
    pace: float | None = None
    accuracy: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One direction of a link: ``bandwidth`` in bytes/s, ``latency`` and ``jitter`` (its standard
    deviation) in seconds, one way."""

    sender: str
    receiver: str
    bandwidth: float
    latency: float
    jitter: float

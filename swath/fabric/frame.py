"""The fixed header of every data message."""

from __future__ import annotations

import struct
from enum import IntEnum
from math import inf
from typing import NamedTuple

FRAME_BYTES = 64
"""A cache line; what follows a header in one buffer stays aligned."""

MAX_PAYLOAD_BYTES = 4 << 30
"""No message is larger; a header that says so is not ours."""

_STRUCT = struct.Struct("<4sBBeIQQ32sI")
_MAGIC = b"swth"


class Kind(IntEnum):
    """What a message is."""

    DATA = 0
    """Boxes of one of the plan's messages."""
    BEGIN = 1
    """A request starts on a device that awaits no data."""
    ERROR = 2
    """A device could not go on; the payload says why."""
    CANCEL = 3
    """The request is not wanted any more."""


_KINDS = tuple(Kind)
"""By number; an enumeration takes ten times as long to find one."""


class Turn(NamedTuple):
    """How a request shares devices: by turns with those of the coordinator's other flows, each
    by ``weight`` (above 0, three digits); the oldest of its own ``flow`` (0 to 255) goes first."""

    flow: int = 0
    weight: float = 1.0


ONLY = Turn()
"""Of a coordinator that makes no difference between its requests."""

LEAST_WEIGHT, MOST_WEIGHT = 1e-4, 6e4
"""What a header can say."""


class Frame(NamedTuple):
    """``number``: of the message in its plan; ``version``: of the programs (32 hex digits);
    ``nbytes``: of the payload that follows. ``turn``: of the request."""

    kind: Kind
    number: int
    request: int
    version: str
    nbytes: int
    turn: Turn = ONLY

    def pack(self, place: int = 0) -> bytes:
        """``place``: where the payload lies in the ring of the connection; 0: it follows."""
        version = self.version.encode()
        return _STRUCT.pack(
            _MAGIC, self.kind, *self.turn, self.number, self.request, self.nbytes, version, place
        )


def unpack_frame(head: bytes | bytearray | memoryview) -> tuple[Frame, int]:
    """(frame, place) as `Frame.pack` has them; raises ValueError for anything but ours."""
    magic, kind, flow, weight, number, request, nbytes, version, place = _STRUCT.unpack_from(head)
    if (
        magic != _MAGIC
        or kind >= len(_KINDS)
        or nbytes > MAX_PAYLOAD_BYTES
        or not LEAST_WEIGHT / 2 < weight < inf
    ):
        raise ValueError("a foreign header")
    turn = Turn(flow, weight)
    return Frame(_KINDS[kind], number, request, version.decode("ascii"), nbytes, turn), place

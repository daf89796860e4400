"""What a family's file says of each of its models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swath.zoo.builder import Network, Value

__all__ = ["Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the zoo: its name, how to define it, the inputs it takes (pixels).

    `define` gets the network under construction and the image (N x `channels` x H x W) and
    returns the output. `side` is the height and width of the published input, `smallest` the
    least height and width, and both must be a multiple of `multiple`.
    """

    name: str
    define: Callable[[Network, Value], Value]
    side: int = 224
    channels: int = 3
    smallest: int = 1
    multiple: int = 1

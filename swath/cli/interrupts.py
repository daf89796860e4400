"""Ctrl-C never in the middle of an import: compiled modules do not survive that.

One that is interrupted while it loads raises an ``ImportError``, or kills the interpreter when that
ends; and this program loads its libraries where they are needed, so at any time.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

LOOK_AGAIN = 0.02  # Seconds until a Ctrl-C that came during an import is tried once more.
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


@contextlib.contextmanager
def interrupted_between_imports() -> Iterator[None]:
    """Ctrl-C inside raises `KeyboardInterrupt` as soon as no module is being loaded.

    Only for the main thread. Uses SIGALRM and the real-time timer of the process.
    """
    handlers = {signal.SIGINT: _interrupt, signal.SIGALRM: _interrupt_again}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, frame: FrameType | None) -> None:
    if _loads_a_module(frame):
        signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN)
    else:
        raise KeyboardInterrupt


def _interrupt_again(_: int, __: FrameType | None) -> None:
    """Through SIGINT, for whoever waits for that in the meantime."""
    signal.raise_signal(signal.SIGINT)


def _loads_a_module(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False

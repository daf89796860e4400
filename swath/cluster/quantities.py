"""Quantities as people write them: ``1GiB``, ``100Mbps``, ``5ms``, ``10dB``.

Each function raises ValueError, in one line with an example, for what it does not understand.
"""

from __future__ import annotations

import math
import re

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_QUANTITY = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^\d\s]*)\s*")


def _quantity(text: object, what: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(str(text))
    try:
        if match is None or not math.isfinite(number := float(match[1])):
            raise ValueError
        return number, match[2]
    except ValueError:
        raise ValueError(f"{what} {text!r} is not a quantity; write e.g. {example}") from None


def parse_memory(text: object) -> int:
    """Bytes of ``1GiB``, ``512MB``, ``1024``."""
    number, unit = _quantity(text, "memory", "1GiB")
    prefix = unit.lower().removesuffix("b")
    scale = _BINARY.get(prefix) or _BYTES.get(prefix)
    if scale is None:
        raise ValueError(f"memory {text!r} has an unknown unit; write e.g. 1GiB or 512MB")
    return int(number * scale)


def parse_bandwidth(text: object) -> float:
    """Bytes per second of ``100Mbps``, ``1Gbit/s``, ``12MB/s``; a bare number is bit/s."""
    number, unit = _quantity(text, "bandwidth", "100Mbps")
    match = re.fullmatch(r"([kKmMgGtT]?)(bps|bit/s|B/s|Bps|)", unit)
    if match is None:
        raise ValueError(f"bandwidth {text!r} has an unknown unit; write e.g. 100Mbps or 12MB/s")
    scale = _BYTES[match[1].lower()]
    return number * scale if match[2].startswith("B") else number * scale / 8


def parse_latency(text: object) -> float:
    """Seconds of ``1ms``, ``200us``, ``0.5s``; a bare number is seconds."""
    number, unit = _quantity(text, "latency", "1ms")
    if unit not in _SECONDS:
        raise ValueError(f"latency {text!r} has an unknown unit; write e.g. 1ms or 200us")
    return number * _SECONDS[unit]


def parse_width(text: object) -> float:
    """Hertz of ``20MHz``, ``180kHz``; a bare number is Hz."""
    number, unit = _quantity(text, "width", "20MHz")
    prefix = unit.lower().removesuffix("hz")
    if prefix not in _BYTES:
        raise ValueError(f"width {text!r} has an unknown unit; write e.g. 20MHz")
    return number * _BYTES[prefix]


def parse_decibel(text: object) -> float:
    """The ratio of powers of ``10dB``, ``-3dB``; a bare number is the ratio itself."""
    match = re.fullmatch(r"\s*([+-]?[0-9.]+)\s*dB\s*", str(text))
    if match is None:
        return _quantity(text, "ratio", "10dB")[0]
    try:
        return float(10 ** (float(match[1]) / 10))
    except ValueError:
        raise ValueError(f"ratio {text!r} is not a quantity; write e.g. 10dB") from None

"""Links whose rate varies with time: models of a channel, as data, and the text that names one.

A channel says at which rate (bytes/s) a link carries bytes at a time; the rate is constant for a
while, then jumps. Rates are drawn in `swath.simulate.channels`. What a channel leaves open is the
link's own ``bandwidth``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swath.cluster.quantities import (
    parse_bandwidth,
    parse_decibel,
    parse_latency,
    parse_width,
)
from swath.errors import ClusterError

MOST_GAP = 10.0
"""Mean steps of a recording that may lie between two of its rows; more is a gap."""

LEAST_SNR, MOST_SNR = 0.01, 1e6
"""-20 dB and 60 dB."""

GAUSSIAN_BLOCK, RAYLEIGH_BLOCK = 0.1, 0.02
"""Seconds for which a rate holds, where the text does not say."""


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Independent normal rates, one per ``block`` seconds, truncated: none is below ``least``.

    ``mean`` (of the normal distribution, before truncation; None: the link's bandwidth), ``std``
    and ``least`` in bytes/s; ``least`` None: a hundredth of the mean.
    """

    std: float
    block: float = GAUSSIAN_BLOCK
    mean: float | None = None
    least: float | None = None

    def bounds(self, bandwidth: float) -> tuple[float, float]:
        """(mean before truncation, least rate) on a link of this bandwidth."""
        mean = bandwidth if self.mean is None else self.mean
        return mean, mean / 100 if self.least is None else self.least

    def peak(self, bandwidth: float) -> float:
        """A rate that is seldom exceeded: three standard deviations above the mean."""
        mean, least = self.bounds(bandwidth)
        return max(mean, least) + 3 * self.std


@dataclass(frozen=True, slots=True)
class Rayleigh:
    """Block fading: ``width * log2(1 + snr * |h|^2)`` bit/s with ``|h|^2`` ~ Exp(1), independent
    per ``block`` seconds (Shannon's rate of a Rayleigh channel).

    ``snr``: mean ratio of powers; ``width`` in Hz; None: what makes the link's bandwidth the mean.
    """

    snr: float
    block: float = RAYLEIGH_BLOCK
    width: float | None = None

    def scale(self, bandwidth: float) -> float:
        """Bytes/s per ``log2(1 + snr * |h|^2)``.

        The mean of the latter is ``exp(1/snr) * E1(1/snr) / ln 2``, the ergodic capacity.
        """
        if self.width is not None:
            return self.width / 8
        from scipy.special import exp1  # Heavy, and seldom wanted.

        inverse = 1 / self.snr
        return bandwidth * math.log(2) / (math.exp(inverse) * float(exp1(inverse)))

    def peak(self, bandwidth: float) -> float:
        """A rate that one block in a thousand exceeds."""
        return self.scale(bandwidth) * math.log2(1 + self.snr * math.log(1000))


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Two states in turn: ``good`` and ``bad`` rate (bytes/s; ``good`` None: the link's
    bandwidth), each kept for ``good_time`` and ``bad_time`` seconds in the mean.

    Stays are exponential; with ``block`` they are geometric, in whole blocks.
    """

    bad: float
    good_time: float
    bad_time: float
    good: float | None = None
    block: float | None = None

    def peak(self, bandwidth: float) -> float:
        """The better of both rates."""
        return max(bandwidth if self.good is None else self.good, self.bad)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was measured: from ``times[i]`` (seconds, the first is 0) on the rate is ``rates[i]``
    (bytes/s). The last one holds for a mean step; then it repeats from the beginning."""

    times: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def duration(self) -> float:
        return self.times[-1] * len(self.times) / (len(self.times) - 1)

    def peak(self, bandwidth: float) -> float:
        """The best recorded rate."""
        return max(self.rates)


Channel = Gaussian | Rayleigh | GilbertElliott | Recorded


def parse_channel(text: str, folder: Path = Path()) -> Channel | None:
    """The channel that a text names; None for ``constant``.

    ``gaussian(std=20Mbps, mean=100Mbps, min=1Mbps, block=100ms)``,
    ``rayleigh(snr=10dB, width=20MHz, block=20ms)``,
    ``gilbert(good=100Mbps, bad=5Mbps, good_time=2s, bad_time=200ms)`` or, instead of the times,
    ``good_to_bad=0.01, bad_to_good=0.1, block=10ms``, and ``trace(file.csv)`` with the file
    relative to ``folder``. Raises ClusterError.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", str(text))
    if match is not None and match[1] == "trace":
        return load_recorded(folder / (match[2] or "").strip())
    if match is None or match[1] not in _MODELS:
        raise ClusterError(
            f"channel {text!r} is not known; write one of constant, gaussian(std=...), "
            "rayleigh(snr=...), gilbert(bad=..., good_time=..., bad_time=...), trace(FILE.csv)"
        )
    try:
        return _MODELS[match[1]](_arguments(match[2] or ""))
    except ValueError as error:
        raise ClusterError(f"channel {text!r}: {error}") from None


def _arguments(inside: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in inside.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ValueError(f"{part!r} is no NAME=VALUE")
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


class _Reader:
    """Takes arguments one by one; what is left over was not understood."""

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._left = dict(arguments)
        self._known: list[str] = []

    def optional(self, name: str, parse: Callable[[str], float]) -> float | None:
        self._known.append(name)
        text = self._left.pop(name, None)
        if text is None:
            return None
        value = parse(text)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be more than 0, not {text}")
        return value

    def required(self, name: str, parse: Callable[[str], float]) -> float:
        value = self.optional(name, parse)
        if value is None:
            raise ValueError(f"{name!r} is missing")
        return value

    def has(self, name: str) -> bool:
        return name in self._left

    def finish(self) -> None:
        for name in self._left:
            known = ", ".join(self._known) or "none"
            raise ValueError(f"{name!r} is not one of its values; it has {known}")


def _constant(arguments: Mapping[str, str]) -> None:
    _Reader(arguments).finish()


def _gaussian(arguments: Mapping[str, str]) -> Gaussian:
    reader = _Reader(arguments)
    std = reader.required("std", parse_bandwidth)
    block = reader.optional("block", parse_latency)
    mean = reader.optional("mean", parse_bandwidth)
    least = reader.optional("min", parse_bandwidth)
    reader.finish()
    if mean is not None and least is not None and least > mean:
        raise ValueError("min must not be more than mean")
    return Gaussian(std, block or GAUSSIAN_BLOCK, mean, least)


def _rayleigh(arguments: Mapping[str, str]) -> Rayleigh:
    reader = _Reader(arguments)
    snr = reader.required("snr", parse_decibel)
    block = reader.optional("block", parse_latency)
    width = reader.optional("width", parse_width)
    reader.finish()
    if not LEAST_SNR <= snr <= MOST_SNR:
        raise ValueError("snr must be between -20dB and 60dB")
    return Rayleigh(snr, block or RAYLEIGH_BLOCK, width)


def _gilbert(arguments: Mapping[str, str]) -> GilbertElliott:
    reader = _Reader(arguments)
    bad = reader.required("bad", parse_bandwidth)
    good = reader.optional("good", parse_bandwidth)
    if not (reader.has("good_to_bad") or reader.has("bad_to_good")):
        good_time = reader.required("good_time", parse_latency)
        bad_time = reader.required("bad_time", parse_latency)
        reader.finish()
        return GilbertElliott(bad, good_time, bad_time, good)
    worsens = reader.required("good_to_bad", _probability)
    betters = reader.required("bad_to_good", _probability)
    block = reader.required("block", parse_latency)
    reader.finish()
    return GilbertElliott(bad, block / worsens, block / betters, good, block)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(f"{text!r} is no probability above 0; write e.g. 0.05")
    return value


_MODELS: Mapping[str, Callable[[Mapping[str, str]], Channel | None]] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "rayleigh": _rayleigh,
    "gilbert": _gilbert,
}


def load_recorded(path: Path) -> Recorded:
    """A CSV file with the columns ``seconds`` and ``bandwidth`` (bit/s, or with a unit).

    Raises ClusterError with the line's number for a missing value, times that do not ascend, and a
    gap of more than `MOST_GAP` mean steps.
    """
    times: list[float] = []
    rates: list[float] = []
    lines: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"seconds", "bandwidth"} - set(reader.fieldnames or ())
            if missing:
                raise ClusterError(
                    f"{path}: column {min(missing)!r} is missing; "
                    "a recorded channel has the columns seconds and bandwidth"
                )
            for row in reader:
                times.append(_entry(path, reader.line_num, row, "seconds", float))
                rates.append(_entry(path, reader.line_num, row, "bandwidth", parse_bandwidth))
                lines.append(reader.line_num)
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror or error}; name a CSV file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ClusterError(f"{path}: not a CSV file: {error}") from None
    if len(times) < 2:
        raise ClusterError(f"{path}: a recorded channel needs two rows at least")
    _check_times(path, times, lines)
    return Recorded(tuple(time - times[0] for time in times), tuple(rates))


def _entry(
    path: Path,
    line: int,
    row: Mapping[str, str | None],
    column: str,
    parse: Callable[[str], float],
) -> float:
    text = (row[column] or "").strip()
    if not text:
        raise ClusterError(f"{path}: line {line}: {column} is missing; fill the gap")
    try:
        value = parse(text)
    except ValueError as error:
        raise ClusterError(f"{path}: line {line}: {error}") from None
    if not math.isfinite(value):
        raise ClusterError(f"{path}: line {line}: {column} is {text}; fill the gap")
    if column == "bandwidth" and value <= 0:
        raise ClusterError(f"{path}: line {line}: bandwidth must be more than 0, not {text}")
    return value


def _check_times(path: Path, times: list[float], lines: list[int]) -> None:
    mean = (times[-1] - times[0]) / (len(times) - 1)
    for before, after, line in zip(times, times[1:], lines[1:], strict=False):
        if after <= before:
            raise ClusterError(f"{path}: line {line}: times must ascend; sort the rows")
        if after - before > MOST_GAP * mean:
            raise ClusterError(
                f"{path}: line {line}: a gap of {after - before:g} s, where rows are {mean:g} s "
                "apart in the mean; fill it or cut the recording there"
            )

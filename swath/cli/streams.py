"""What several requests in flight and a look at the devices come to: as commands print it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from swath.cli.output import format_bytes, format_ms
from swath.runtime.knowing import Present
from swath.runtime.streaming import StreamReport


def stream_keys(report: StreamReport | None) -> dict[str, Any]:
    """What ``--stream`` adds to the JSON of `swath run`; null without it."""
    return {
        "in_flight": report and report.in_flight,
        "stream_requests": report and report.requests,
        "requests_per_second": report and report.requests_per_second,
        "interval_ms": report and report.interval,
        "predicted_interval_ms": report and report.predicted_interval,
        "stream_latency_ms": report and asdict(report.latency),
    }


def stream_facts(report: StreamReport | None) -> dict[str, str]:
    """The same for people."""
    if report is None:
        return {}
    return {
        f"{report.in_flight} in flight": (
            f"{report.requests_per_second:.3g} requests a second: one every "
            f"{format_ms(report.interval)} (predicted: {format_ms(report.predicted_interval)}), "
            f"each takes {format_ms(report.latency.median)} (median of {report.requests})"
        )
    }


def present_keys(present: Iterable[Present]) -> dict[str, Any]:
    """What a look at the devices adds to the JSON of a command."""
    return {
        "present": [
            {"name": state.device, "load": state.load, "free_memory_bytes": state.free_memory}
            for state in present
        ]
    }


def present_facts(present: Iterable[Present]) -> dict[str, str]:
    """The same for people, in one line."""
    said = "; ".join(
        f"{state.device}: load {state.load:.0%}, {format_bytes(state.free_memory)} free"
        for state in present
    )
    return {"found just now": said} if said else {}

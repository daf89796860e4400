"""`--channel-aware`: what does not go with it, and what is printed of which plan was taken when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from swath.cli.output import MBIT
from swath.cluster import Cluster
from swath.errors import ClusterError, PlanError
from swath.planners.rate_table import Band
from swath.runtime.channel_aware import ChannelReport


def check_channel_aware(plan: Path | None, channels: Sequence[str] | None) -> None:
    """Raises PlanError or ClusterError for options that contradict ``--channel-aware``."""
    if plan is not None:
        raise PlanError(
            f"--channel-aware changes the plan with the channel, --plan {plan} is to be kept; "
            "leave one of them away"
        )
    if channels:
        raise ClusterError(
            "--channel-aware measures what the links carry, --channel says it; "
            "leave one of them away"
        )


def check_choice(cluster: Cluster) -> None:
    """Raises ClusterError where one device computes: all plans would be alike."""
    if len(cluster.workers) < 2:
        raise ClusterError(
            "--channel-aware has nothing to choose: one device computes; give two or more"
        )


def channel_keys(report: ChannelReport | None) -> dict[str, Any]:
    """What ``--channel-aware`` adds to the JSON of `swath run`; null without it."""
    if report is None:
        return {"channel": None}
    return {
        "channel": {
            "bands": [_band_keys(band) for band in report.table.bands],
            "taken": [
                {"band": each.band, "uplink_mbit": each.rate / MBIT, "requests": each.requests}
                for each in report.taken
            ],
            "changes": report.changes,
            "choosing_ms": report.slowest_choice * 1e3,
        }
    }


def _band_keys(band: Band) -> dict[str, Any]:
    return {
        "from_mbit": band.low / MBIT,
        "to_mbit": None if band.high == inf else band.high / MBIT,
        "planner": band.plan.planner,
        "devices": list(band.plan.devices_used),
        "stages": len(band.plan.stages),
        "planned_mbit": band.rate / MBIT,
        "predicted_ms": band.predicted * 1e3,
    }


def channel_facts(report: ChannelReport | None) -> dict[str, str]:
    """The same for people."""
    if report is None:
        return {}
    often = Counter[int]()
    for each in report.taken:
        often[each.band] += each.requests
    bands = report.table.bands
    return {
        "uplink": _rates([each.rate for each in report.taken]),
        "plans": f"{len(bands)}, by what the uplink carries; changed {_times(report.changes)}, "
        f"each chosen within {report.slowest_choice * 1e6:.0f} us",
        **{
            _range(bands[number]): f"{_counted(often[number], 'request')}: {_plan(bands[number])}"
            for number in sorted(often)
        },
    }


def _rates(rates: Sequence[float]) -> str:
    least, usual, most = (_mbit(find(rates)) for find in (min, median, max))
    return f"{usual} Mbit/s" if least == most else f"{usual} Mbit/s (median; {least} to {most})"


def _mbit(rate: float) -> str:
    """A rate in bytes/s, in Mbit/s of three figures or more."""
    return f"{rate / MBIT:.0f}" if rate >= 100 * MBIT else f"{rate / MBIT:.3g}"


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _range(band: Band) -> str:
    low, high = _mbit(band.low), _mbit(band.high)
    if band.low == 0:
        return "at any rate" if band.high == inf else f"below {high} Mbit/s"
    return f"from {low} Mbit/s" if band.high == inf else f"{low} to {high} Mbit/s"


def _plan(band: Band) -> str:
    devices = ", ".join(band.plan.devices_used)
    return f"{_counted(len(band.plan.stages), 'stage')} on {devices}"

"""Small clusters for labs."""

from __future__ import annotations

from typing import Any

from swath.cluster import Cluster
from swath.cluster.file import parse_cluster


def cluster(
    devices: str, links: dict[str, Any], network: str = "switch", cores: float = 0.2
) -> Cluster:
    """Devices of these names, each with so many cores; of a star, the first is the hub. A link is a
    number of Mbit/s, or both directions' ``(up, down)``."""
    names = devices.split()
    return parse_cluster(
        {
            "source": names[0],
            "network": network,
            **({"hub": names[0]} if network == "star" else {}),
            "devices": [{"name": name, "cores": cores} for name in names],
            "links": {ends: _link(rate) for ends, rate in links.items()},
        }
    )


def _link(rate: float | tuple[float, float]) -> dict[str, str]:
    if isinstance(rate, tuple):
        return {"up": f"{rate[0]}Mbps", "down": f"{rate[1]}Mbps"}
    return {"bandwidth": f"{rate}Mbps"}

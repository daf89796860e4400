"""Cluster files: YAML that a person writes, checked here once and frozen into a `Cluster`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from swath.cluster.cluster import Cluster, Device, Link, Watts
from swath.errors import ClusterError

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_QUANTITY = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^\d\s]*)\s*")


def _quantity(text: object, what: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(str(text))
    try:
        if match is None:
            raise ValueError
        return float(match[1]), match[2]
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


_Memory = Annotated[int, BeforeValidator(parse_memory), Field(gt=0)]
_Bandwidth = Annotated[float, BeforeValidator(parse_bandwidth), Field(gt=0)]
_Latency = Annotated[float, BeforeValidator(parse_latency), Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _WattsEntry(_Strict):
    idle: float = Field(ge=0)
    busy: float = Field(ge=0)


class _DeviceEntry(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    gflops: float | None = Field(default=None, gt=0)
    memory: _Memory | None = None
    cores: float | None = Field(default=None, gt=0)
    compute: bool = True
    address: str | None = None
    profile: str | None = None
    watts: _WattsEntry | None = None


class _LinkEntry(_Strict):
    bandwidth: _Bandwidth | None = None
    up: _Bandwidth | None = None
    down: _Bandwidth | None = None
    latency: _Latency = 0.0


class _ClusterEntry(_Strict):
    source: str
    network: Literal["switch", "shared", "star"] = "switch"
    hub: str | None = None
    devices: list[_DeviceEntry] = Field(min_length=1)
    links: dict[str, _LinkEntry] = Field(default_factory=dict)


def load_cluster(path: str | Path) -> Cluster:
    """Read a cluster file. Raises ClusterError in one line that names the file and the key."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror or error}; name a cluster file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"{path}: not a YAML file: {reason}") from None
    return parse_cluster(data, str(path))


def parse_cluster(data: Any, origin: str = "cluster") -> Cluster:
    """The cluster that a cluster file's content describes; ``origin`` names it in errors."""
    if not isinstance(data, dict):
        raise ClusterError(f"{origin}: not a cluster file; it needs 'source' and 'devices'")
    try:
        entry = _ClusterEntry.model_validate(data)
        return _freeze(entry)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        message = first["msg"].removeprefix("Value error, ")
        raise ClusterError(f"{origin}: {where}: {message}") from None
    except ValueError as error:
        raise ClusterError(f"{origin}: {error}") from None


def _freeze(entry: _ClusterEntry) -> Cluster:
    devices = tuple(
        Device(
            device.name, device.gflops, device.memory, device.cores, device.compute,
            device.address, device.profile,
            None if device.watts is None else Watts(device.watts.idle, device.watts.busy),
        )
        for device in entry.devices
    )  # fmt: skip
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"devices: {name!r} is there twice; give each its own name")
    if entry.source not in names:
        raise ValueError(f"source: {entry.source!r} is no device; name one of {', '.join(names)}")
    if not any(device.compute for device in devices):
        raise ValueError("devices: none of them computes; drop 'compute: false' somewhere")
    if entry.network == "star" and entry.hub not in names:
        raise ValueError("hub: a star needs 'hub: NAME', the device in its middle")
    default = Link(bandwidth=125e6, latency=1e-3)
    links: dict[tuple[str, str], Link] = {}
    for key, link in entry.links.items():
        forth, back = _directions(key, link)
        if key == "default":
            if forth != back:
                raise ValueError("links.default: has no direction; give bandwidth, not up and down")
            default = forth
            continue
        ends = key.split()
        if len(ends) != 2 or ends[0] == ends[1]:
            raise ValueError(f"links: {key!r} must be 'default' or two device names")
        for end in ends:
            if end not in names:
                raise ValueError(f"links: {key!r} names {end!r}, which is no device")
        links[ends[0], ends[1]] = forth
        links[ends[1], ends[0]] = back
    return Cluster(devices, entry.source, entry.network, default, links, entry.hub)


def _directions(key: str, entry: _LinkEntry) -> tuple[Link, Link]:
    forth, back = entry.up or entry.bandwidth, entry.down or entry.bandwidth
    if forth is None or back is None:
        raise ValueError(f"links: {key!r} needs 'bandwidth', or both 'up' and 'down'")
    return Link(forth, entry.latency), Link(back, entry.latency)

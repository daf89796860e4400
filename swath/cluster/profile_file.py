"""Profiles as files: JSON that a person can read and compare, a sample to a line.

A file is written whole or not at all, so whatever bears a profile's name is one.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from swath.cluster.cluster import Cluster
from swath.cluster.profile import DeviceProfile, LinkProfile, Machine, MessageSample, Sample
from swath.errors import ClusterError

PROFILE_FORMAT = "swath-profile"
LINKS_FORMAT = "swath-links"
PROFILE_VERSION = 1

LINKS_FILE = "links.json"
"""Beside the profiles of the devices that the links join."""

_LISTS = {"samples": Sample, "messages": MessageSample}
_MACHINE = {
    "cpu": "processor",
    "architecture": "architecture",
    "cores": "number of cores",
    "engine": "engine",
    "threads": "number of threads",
}
"""How a person calls what a profile holds for."""

Entry = TypeVar("Entry", Sample, MessageSample, LinkProfile, Machine)


def profile_path(folder: str | Path, device: str) -> Path:
    """Where the profile of a device lies."""
    return Path(folder) / f"{device}.json"


def save_profile(profile: DeviceProfile, path: str | Path) -> None:
    """Write a profile; an interruption leaves what was there before."""
    data = {name: getattr(profile, name) for name in _field_names(DeviceProfile)}
    data["machine"] = asdict(profile.machine)
    data["accuracy"], data["chosen"] = dict(profile.accuracy), dict(profile.chosen)
    lists = {name: map(asdict, data.pop(name)) for name in ("messages", "samples")}
    write_whole(path, _document(PROFILE_FORMAT, data, lists))


def load_profile(path: str | Path) -> DeviceProfile:
    """Read a profile. Raises ClusterError in one line that names the file and the mend."""
    data = _read(path, PROFILE_FORMAT, "profile", "'swath profile'")
    try:
        for name, kind in _LISTS.items():
            data[name] = tuple(_entry(kind, item) for item in data[name])
        data["machine"] = _entry(Machine, data["machine"])
        data["accuracy"] = {str(key): float(value) for key, value in data["accuracy"].items()}
        data["chosen"] = {str(key): str(value) for key, value in data["chosen"].items()}
        for name in ("overhead", "copy", "request"):
            data[name] = _of_kind(data[name], float)
        if data.get("pace") is not None:
            data["pace"] = _of_kind(data["pace"], float)
        for name in ("device", "kind", "made"):
            data[name] = _of_kind(data[name], str)
        return DeviceProfile(**data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error, "'swath profile'") from None


def save_links(links: Iterable[LinkProfile], path: str | Path) -> None:
    """Write what was measured of links."""
    write_whole(path, _document(LINKS_FORMAT, {}, {"links": map(asdict, links)}))


def load_links(path: str | Path) -> tuple[LinkProfile, ...]:
    """Read what was measured of links; raises ClusterError in one line."""
    data = _read(path, LINKS_FORMAT, "file of measured links", "'swath profile'")
    try:
        return tuple(_entry(LinkProfile, item) for item in data["links"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error, "'swath profile'") from None


def check_profile(profile: DeviceProfile, device: str, machine: Machine | None = None) -> None:
    """Raises ClusterError for a profile of another device, or (where ``machine`` says what it is
    now) of another machine, engine or number of threads."""
    if profile.device != device:
        raise ClusterError(
            f"the profile of {profile.device!r} is no profile of {device!r}; "
            "name its own, or measure it with 'swath profile'"
        )
    if machine is None:
        return
    for name, words in _MACHINE.items():
        was, now = getattr(profile.machine, name), getattr(machine, name)
        if was != now:
            raise ClusterError(
                f"the profile of {device!r} does not hold any more: its {words} was {was}, "
                f"now it is {now}; measure it again with 'swath profile'"
            )


def load_profiles(cluster: Cluster) -> dict[str, DeviceProfile]:
    """The profiles that a cluster's devices name, by device.

    Raises ClusterError, in one line, for a file that is missing, no profile, or another device's.
    """
    profiles = {}
    for device in cluster.devices:
        if device.profile is not None:
            profile = load_profile(device.profile)
            try:
                check_profile(profile, device.name)
            except ClusterError as error:
                raise ClusterError(f"{device.profile}: {error}") from None
            profiles[device.name] = profile
    return profiles


def write_whole(path: str | Path, text: str) -> None:
    """Write a file so that it is never seen in part."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _document(kind: str, data: Mapping[str, Any], lists: Mapping[str, Iterable[object]]) -> str:
    """JSON with a key to a line, and of each list an entry to a line."""
    head = {"format": kind, "version": PROFILE_VERSION, **data}
    lines = [f" {json.dumps(key)}: {_dumps(value)}" for key, value in head.items()]
    for key, entries in lists.items():
        inside = ",\n  ".join(_dumps(entry) for entry in entries)
        lines.append(f" {json.dumps(key)}: [\n  {inside}\n ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _read(path: str | Path, kind: str, what: str, mend: str) -> dict[str, Any]:
    """The content of a file of this format, without its head."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise ClusterError(f"{path}: {reason}; a {what} is made by {mend}") from None
    except ValueError:
        raise ClusterError(f"{path}: not a {what}; make one with {mend}") from None
    if not isinstance(data, dict) or data.pop("format", None) != kind:
        raise ClusterError(f"{path}: not a {what}; make one with {mend}")
    version = data.pop("version", None)
    if version != PROFILE_VERSION:
        raise ClusterError(
            f"{path}: a {what} of version {version}, this swath reads {PROFILE_VERSION}; "
            f"make it again with {mend}"
        )
    return data


def _damaged(path: str | Path, error: Exception, mend: str) -> ClusterError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return ClusterError(f"{path}: damaged ({reason}); make it again with {mend}")


def _entry(kind: type[Entry], data: Any) -> Entry:
    """One of the flat dataclasses; raises for a key too many or too few, or a wrong value."""
    if not isinstance(data, dict) or set(data) != set(_field_names(kind)):
        raise ValueError(f"not a {kind.__name__}: {str(data)[:60]}")
    types: dict[str, Any] = {"str": str, "int": int, "float": float}
    return kind(**{f.name: _of_kind(data[f.name], types[str(f.type)]) for f in fields(kind)})


def _of_kind(value: Any, kind: type) -> Any:
    """A value of a JSON file as the type that it must have; quantities are finite, not negative."""
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < math.inf:
            raise ValueError(f"{value} is no quantity")
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))

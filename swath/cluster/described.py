"""What a person describes in a YAML file: read, checked against a model, refused in one line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import SwathError


class Strict(BaseModel):
    """Entries with no keys but those that are known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Entry = TypeVar("Entry", bound=Strict)


def read_yaml(path: Path, what: str, refuse: type[SwathError]) -> Any:
    """The content of a file, which is to be ``what``; raises ``refuse`` where there is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refuse(f"{path}: {error.strerror or error}; name {what}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise refuse(f"{path}: not a YAML file: {reason}") from None


def checked(entry: type[Entry], data: dict[str, Any], named: dict[str, str]) -> Entry:
    """The content as an entry. ``named``: keys whose lists hold things with names, and what one of
    them is called. Raises ValueError that names the place of a mistake, for people."""
    try:
        return entry.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{_where(first['loc'], data, named)}: {message}") from None


def _where(place: tuple[int | str, ...], data: dict[str, Any], named: dict[str, str]) -> str:
    """A place; something with a name by its name, if that is not the mistake."""
    kind = named.get(str(place[0]))
    if kind is not None and len(place) > 2 and place[2] != "name":
        thing = data[str(place[0])][place[1]]
        if isinstance(thing.get("name"), str):
            return f"{kind} {thing['name']!r}: {_path(place[2:], thing)}"
    return _path(place, data)


def _path(place: tuple[int | str, ...], data: Any) -> str:
    """Without the names of alternatives, which pydantic puts between keys."""
    keys = []
    for key in place[:-1]:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            data = data[key]
            keys.append(str(key))
    return ".".join([*keys, str(place[-1])])

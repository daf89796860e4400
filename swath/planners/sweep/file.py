"""Rows of a sweep as a file: Parquet or CSV, by its ending.

A file is written whole or not at all, so one that a sweep left half-way can be read.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from swath.cluster.profile_file import write_whole
from swath.errors import InputError
from swath.planners.sweep.sweeping import Key, Row

SUFFIXES = (".parquet", ".csv")

_KINDS = {field.name: str(field.type).removesuffix(" | None") for field in fields(Row)}
_READ = {"str": str, "int": int, "float": float}
_ARROW = {"str": "string", "int": "int64", "float": "float64"}
"""By a column's kind: how it is read from text, and Arrow's name of it."""


def check_file(path: Path) -> None:
    """Before any work is done. Raises InputError for an ending that says no format, and for Parquet
    where pyarrow is not installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a sweep is written as .parquet or .csv; end the name so")
    if _is_parquet(path) and find_spec("pyarrow") is None:
        raise InputError(
            f"{path}: Parquet needs pyarrow, which is not installed; "
            "pip install 'swath[parquet]', or write a .csv"
        )


def load_rows(path: Path) -> dict[Key, Row]:
    """The rows of a file by scenario; none where it does not exist. Raises InputError for a file
    that no sweep wrote."""
    if not path.exists():
        return {}
    try:
        entries = _read_parquet(path) if _is_parquet(path) else _read_csv(path)
        rows = [Row(**entry) for entry in entries]
    except (TypeError, ValueError) as error:  # What pyarrow raises is a ValueError too.
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: not what a sweep of this version wrote ({reason}); name another file"
        ) from None
    return {row.key: row for row in rows}


def save_rows(rows: Iterable[Row], path: Path) -> None:
    """Write all rows; an interruption leaves what was there before."""
    entries = [asdict(row) for row in rows]
    if _is_parquet(path):
        _write_parquet(entries, path)
        return
    write_csv(entries, list(_KINDS), path)


def write_csv(entries: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write a table whole or not at all; what is None becomes empty."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    write_whole(path, text.getvalue())


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: _value(name, text) for name, text in entry.items()}
            for entry in csv.DictReader(file)
        ]


def _value(name: str, text: str | None) -> str | int | float | None:
    if name not in _KINDS:
        raise ValueError(f"column {name!r}")
    return _READ[_KINDS[name]](text) if text else None


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    entries: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return entries


def _write_parquet(entries: list[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, _ARROW[kind]) for name, kind in _KINDS.items()])
    temporary = path.with_name(f".{path.name}.part")
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(entries, schema=schema), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

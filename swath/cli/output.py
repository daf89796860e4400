"""What commands print: one JSON object, or tables for people; and where their files go."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from swath.errors import SwathError

OUTPUT_FOLDER = Path("swath-out")
PIPED_WIDTH = 160
"""Characters of a line where stdout is no terminal."""

MBIT = 1e6 / 8
"""Bytes/s of a Mbit/s, in which people say rates."""

PICTURE_SUFFIXES = (".png", ".svg")


def print_json(report: Mapping[str, Any]) -> None:
    """One JSON object on stdout. What JSON has no number for (infinity, NaN) becomes null."""
    print(json.dumps(_plain(report), indent=1, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def console() -> Console:
    """For people, on stdout; paths and names are not taken for markup."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(markup=False, highlight=False, width=width)


def facts(rows: Mapping[str, str]) -> Table:
    """A table of two columns: what, and its value."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def output_file(name: str) -> Path:
    """A file under ./swath-out/, which is made if need be."""
    OUTPUT_FOLDER.mkdir(exist_ok=True)
    return OUTPUT_FOLDER / name


def file_stem(model: str) -> str:
    """A file name's part that tells the model: ``zoo:vgg16@64x64`` -> ``vgg16-64x64``."""
    bare = model.removeprefix("zoo:") if model.startswith("zoo:") else Path(model).stem
    return re.sub(r"[^A-Za-z0-9_.]+", "-", bare) or "model"


def check_picture_name(path: Path | None) -> None:
    """Before any work is done: the ending says the format."""
    if path is not None and path.suffix.lower() not in PICTURE_SUFFIXES:
        raise SwathError(f"--picture {str(path)!r}: a plan is drawn as .png or .svg")


def check_writable(path: Path | None) -> None:
    """Before any work is done: the file can be made where it is asked for."""
    if path is None:
        return
    if path.is_dir():
        raise SwathError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise SwathError(f"{path}: there is no folder {str(path.parent)!r}; make it first")


def format_bytes(nbytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


def format_flops(flops: float) -> str:
    for unit in ("", "k", "M", "G"):
        if flops < 1000:
            return f"{flops:.4g} {unit}FLOP"
        flops /= 1000
    return f"{flops:.4g} TFLOP"


def format_ms(milliseconds: float) -> str:
    digits = 1 if milliseconds >= 10 else 2
    return f"{milliseconds:.{digits}f} ms"

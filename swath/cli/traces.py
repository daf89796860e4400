"""Where traces go: a file for Perfetto, or a Gantt picture, as its ending says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.errors import SwathError
from swath.trace.chrome import write_chrome
from swath.trace.gantt import PICTURE_SUFFIXES, draw_gantt
from swath.trace.trace import Trace, typical_request

TRACE_SUFFIXES = (".json", *PICTURE_SUFFIXES)


def check_trace_name(path: Path | None) -> None:
    """Before any work is done: the ending says the format."""
    if path is not None and path.suffix.lower() not in TRACE_SUFFIXES:
        raise SwathError(
            f"--trace {str(path)!r}: write .json (opens in Perfetto), or .png, .svg or .html "
            "(a Gantt picture)"
        )


def save_trace(traces: Sequence[Trace], path: Path, title: str | None = None) -> None:
    """All requests as a file for Perfetto; of each trace a typical one as a picture."""
    if path.suffix.lower() == ".json":
        write_chrome(traces, path)
    else:
        draw_gantt([typical_request(trace) for trace in traces], path, title)

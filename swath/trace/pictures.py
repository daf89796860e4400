from __future__ import annotations
from pathlib import Path
from typing import Any
def draw_plan(plan: Any, path: str | Path, title: str = "") -> None:
    Path(path).touch()

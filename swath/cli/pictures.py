"""Where the picture of a plan goes."""

from __future__ import annotations

from pathlib import Path

import swath
from swath.cli.output import file_stem, output_file


def save_picture(plan: swath.Plan, model: str, path: Path | None) -> Path:
    """Draw a plan, under ./swath-out/ unless a path is given."""
    path = path or output_file(f"plan-{file_stem(model)}-{plan.planner}.png")
    swath.draw_plan(plan, path, title=model)
    return path

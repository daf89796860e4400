"""Curves with marks: every line, every mark and both axes are in the picture."""

from __future__ import annotations

from swath.trace.curves import Mark, draw_marked_curves

LINES = {"some": [(1, 800.0), (10, 90.0), (1000, 4.0)], "point": [(10, 50.0)]}


def test_curves_are_drawn_with_marks(tmp_path):
    marks = [Mark(1, "all on a"), Mark(30), Mark(100, "4 paths")]
    for suffix in ("svg", "png"):
        path = tmp_path / f"c.{suffix}"
        draw_marked_curves(LINES, ("least", 2.0), marks, path, "title", "Mbit/s", "ms")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "c.svg").read_text()
    for word in ("some", "point", "least", "title", "Mbit/s", "ms", "all on a", "4 paths", "1000"):
        assert f">{word}<" in text, word

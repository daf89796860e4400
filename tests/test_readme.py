"""The README's promises: its Python works, its files and commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_eight_lines_of_python_work():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(block.splitlines()) == 8
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[0-9.]+ times as fast as one device$", done.stdout, re.MULTILINE)
    assert "largest difference: " in done.stdout


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).is_file(), target


def test_every_command_and_every_folder_is_listed():
    from swath.cli.app import app

    for command in app.registered_commands:
        assert command.name is not None
        assert f"`swath {command.name}" in README
    for group in app.registered_groups:
        assert f"`swath {group.name} " in README
    for folder in (ROOT / "swath").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"`swath/{folder.name}`" in README


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)

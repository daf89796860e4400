"""Labs in which nothing runs yet, and that no test leaves anything of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.runtime.lab.control_groups import find_control_groups
from swath.runtime.lab.remains import remains

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root")


def traces(lab: str) -> set[str]:
    """Everything that is there of a lab."""
    paths = [*Path("/run/netns").glob(f"{lab}*"), *Path("/run/swath").glob(f"*{lab}")]
    for root in find_control_groups().directories:
        paths += root.glob(f"{lab}*/**/")
    return {str(path) for path in paths}


@pytest.fixture
def no_lab_left() -> Iterator[None]:
    """Labs of other processes may come and go meanwhile."""
    before = remains()
    yield
    assert not [left for left in remains() if left not in before]
    for path in Path("/run/swath").glob("swath-*"):
        assert path.read_text().split()[0] != str(os.getpid()), f"{path} is not closed"

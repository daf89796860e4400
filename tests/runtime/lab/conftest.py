"""Labs in which nothing runs yet, and that no test leaves anything of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.runtime.lab.control_groups import find_control_groups
from swath.runtime.lab.remains import remains

NEEDS_ROOT = {"test_links", "test_shares", "test_cleaning"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem in NEEDS_ROOT:
            item.add_marker(pytest.mark.skip(reason="a lab needs root"))


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

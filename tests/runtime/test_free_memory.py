"""Free memory: the system's own figure, or what control groups of both versions still allow."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from swath.runtime.free_memory import free_memory

MIB = 1 << 20


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n", encoding="ascii")


def unified(limit: object, used: int, cached: int = 0) -> dict[str, object]:
    stat = f"anon 5\ninactive_file {cached}\nactive_file 7"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


def member(folder: Path, text: str) -> Path:
    path = folder / "membership"
    path.write_text(text, encoding="ascii")
    return path


@pytest.mark.parametrize(
    ("own", "above", "free"),
    [
        (unified(20 * MIB, 8 * MIB), unified("max", 0), 12 * MIB),
        (unified(20 * MIB, 8 * MIB, 3 * MIB), unified("max", 0), 15 * MIB),
        (unified("max", 0), unified(20 * MIB, 19 * MIB), MIB),
        (unified(20 * MIB, 8 * MIB), unified(20 * MIB, 19 * MIB), MIB),
        (unified(20 * MIB, 21 * MIB), unified("max", 0), 0),
    ],
)
def test_version_2_the_tightest_group_counts(tmp_path, own, above, free):
    group(tmp_path / "tree/pod/container", own)
    group(tmp_path / "tree/pod", above)
    membership = member(tmp_path, "0::/pod/container\n")
    assert free_memory(tmp_path / "tree", membership) == free


def test_version_1(tmp_path):
    files = {
        "memory.limit_in_bytes": 20 * MIB,
        "memory.usage_in_bytes": 15 * MIB,
        "memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * MIB}",
    }
    group(tmp_path / "tree/memory/pod", files)
    membership = member(tmp_path, "4:cpu,cpuacct:/x\n3:memory:/pod\n")
    assert free_memory(tmp_path / "tree", membership) == 7 * MIB


def test_without_a_limit_the_system_tells(tmp_path):
    group(tmp_path / "tree", unified("max", 5))
    everything = psutil.virtual_memory().total
    for path in (member(tmp_path, "0::/\n"), tmp_path / "nowhere"):
        assert 0 < free_memory(tmp_path / "tree", path) <= everything
    assert 0 < free_memory() <= everything

"""What a worker says of its machine, so that a profile can be told to be its own."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPU_KEYS = ("model name", "Model", "Hardware", "cpu model", "uarch", "CPU part")
"""How kernels call the processor in /proc/cpuinfo, on one architecture or another."""


def machine_to_json() -> dict[str, object]:
    """Processor, architecture and logical CPUs of the whole machine."""
    return {"cpu": cpu_model(), "architecture": platform.machine(), "cores": os.cpu_count() or 1}


def cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the kernel has it; the architecture where it has none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    named = (fields[key] for key in _CPU_KEYS if fields.get(key))
    return next(named, platform.processor() or platform.machine())

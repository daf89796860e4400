"""Two services on four devices in the lab: what allocators make of them for real and on virtual
time, written to docs/results.

    sudo python -m benchmarks.allocation_lab [--again] [-o docs/results/allocation-lab.md]

Needs root and a machine with nothing else to do; takes a minute for each allocator, and a quarter
of an hour once, when this machine's profile is not there yet. Raw figures go beside the page, as
JSON, allocator by allocator; a later run measures what is not there yet (``--again``: all of it).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import machine
from swath.cluster.profile_file import write_whole
from swath.workload.allocators import known_allocators

LOAD = 0.9
REQUESTS = 400
MUST = 0.15

WORKLOAD = """\
services:
  - {name: doors, model: "zoo:resnet18", rate: 3, deadline: 2s}
  - {name: cars, model: "zoo:resnet34", rate: 1}
"""
CLUSTER = """\
source: pi-a
devices:
  - {name: pi-a, cores: 0.25}
  - {name: pi-b, cores: 0.25}
  - {name: pi-c, cores: 0.25}
  - {name: pi-d, cores: 0.25}
links:
  default: {bandwidth: 1Gbps}
"""


def measure(allocator: str) -> dict[str, Any]:
    """What `swath allocate run --json` says."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("services.yaml", WORKLOAD), ("cluster.yaml", CLUSTER)):
            (Path(folder) / name).write_text(text)
        command = [str(Path(sys.executable).with_name("swath")), "allocate", "run"]
        command += ["services.yaml", "--cluster", "cluster.yaml", "--allocator", allocator]
        command += ["--load", str(LOAD), "--requests", str(REQUESTS), "--json"]
        found = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(found.stdout)
    return report


def document(reports: dict[str, dict[str, Any]]) -> str:
    errors = {
        name: report["mean_ms"] / report["predicted"]["mean_ms"] - 1
        for name, report in reports.items()
    }
    worst = max(errors, key=lambda name: abs(errors[name]))
    typical = statistics.median(map(abs, errors.values()))
    lines = [
        "# Two services on four devices, for real",
        "",
        f"`python -m benchmarks.allocation_lab` on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        f"`swath allocate run --load {LOAD:g}` in the lab: four devices of 0.25 core, 1 Gbit/s, "
        f"some {REQUESTS} requests for ResNet-18 (three in four; deadline 2 s) and ResNet-34. The "
        "same requests are served by real workers and on virtual time, each by the same allocator. "
        "At this load lines are long, and what is a small error of a way's time is a large one of "
        "a line's.",
        "",
        "| what | must | found |",
        "| --- | --- | ---: |",
        f"| mean latency, measured against simulated, median of allocators | ≤ {MUST:.0%} "
        f"| {typical:.1%} |",
        f"| worst allocator (`{worst}`) | ≤ {MUST:.0%} | {errors[worst]:+.1%} |",
        "",
        "| allocator | mean, ms | simulated | | 95 %, ms | simulated | missed | simulated |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, report in reports.items():
        expected = report["predicted"]
        lines.append(
            f"| `{name}` | {report['mean_ms']:.0f} | {expected['mean_ms']:.0f} "
            f"| {errors[name]:+.1%} | {report['p95_ms']:.0f} | {expected['p95_ms']:.0f} "
            f"| {report['missed_share']:.1%} | {expected['missed_share']:.1%} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/allocation-lab.md"))
    parser.add_argument("--again", action="store_true", help="measure all of it")
    options = parser.parse_args()
    raw = options.output.with_suffix(".json")
    reports = json.loads(raw.read_text()) if raw.exists() and not options.again else {}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for info in known_allocators():
        if info.name not in reports:
            reports[info.name] = measure(info.name)
            write_whole(raw, json.dumps(reports, indent=1))
        report = reports[info.name]
        figures = {key: report[key] for key in ("mean_ms", "p95_ms", "missed_share")}
        print(json.dumps({info.name: figures, "simulated": report["predicted"]}), flush=True)
    options.output.write_text(document(reports), encoding="utf-8")


if __name__ == "__main__":
    main()

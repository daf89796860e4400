"""Two services on four devices in the lab: what allocators make of them for real and on virtual
time, written to docs/results.

    sudo python -m benchmarks.allocation_lab [--again] [-o docs/results/allocation-lab.md]

Needs root and a machine with nothing else to do; takes three minutes for each allocator, and a
quarter of an hour once, when this machine's profile is not there yet. Raw figures go beside the
page, as JSON, run by run; a later call measures what is not there yet (``--again``: all of it).
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
RUNS = (
    3  # Of every allocator, of which the middle one counts: a line forgets no pause of the machine.
)
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


def error(report: dict[str, Any]) -> float:
    """By how much requests took longer than predicted: 0.1 is a tenth."""
    return float(report["mean_ms"] / report["predicted"]["mean_ms"] - 1)


def document(runs: dict[str, list[dict[str, Any]]]) -> str:
    """The page; ``runs`` has what was measured of every allocator, run by run."""
    middle = {name: sorted(reports, key=error)[len(reports) // 2] for name, reports in runs.items()}
    errors = {name: error(report) for name, report in middle.items()}
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
        f"a line's. {RUNS} runs of every allocator, all allocators in turn; the table has the run "
        "in the middle by its error, and the errors of all.",
        "",
        "| what | must | found |",
        "| --- | --- | ---: |",
        f"| mean latency, measured against simulated, median of allocators | ≤ {MUST:.0%} "
        f"| {typical:.1%} |",
        f"| worst allocator (`{worst}`) | ≤ {MUST:.0%} | {errors[worst]:+.1%} |",
        "",
        "| allocator | mean, ms | simulated | | all runs | 95 %, ms | simulated | missed "
        "| simulated |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, report in middle.items():
        expected = report["predicted"]
        every = ", ".join(f"{error(run):+.1%}" for run in runs[name])
        lines.append(
            f"| `{name}` | {report['mean_ms']:.0f} | {expected['mean_ms']:.0f} "
            f"| {errors[name]:+.1%} | {every} | {report['p95_ms']:.0f} | {expected['p95_ms']:.0f} "
            f"| {report['missed_share']:.1%} | {expected['missed_share']:.1%} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/allocation-lab.md"))
    parser.add_argument("--again", action="store_true", help="measure all of it")
    options = parser.parse_args()
    raw = options.output.with_suffix(".json")
    runs = json.loads(raw.read_text()) if raw.exists() and not options.again else {}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    # All allocators in turn, so that a bad minute of the machine is not one allocator's fate.
    for number in range(RUNS):
        for info in known_allocators():
            reports = runs.setdefault(info.name, [])
            if len(reports) > number:
                continue
            reports.append(measure(info.name))
            write_whole(raw, json.dumps(runs, indent=1))
            print(f"{info.name}, run {number + 1}: {error(reports[-1]):+.1%}", flush=True)
    options.output.write_text(document(runs), encoding="utf-8")


if __name__ == "__main__":
    main()

"""`swath profile`: measure devices and links."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
from swath.cli.clusters import open_cluster
from swath.cli.options import (
    AsJson,
    ClusterFile,
    ClusterName,
    Connect,
    Discover,
    Listen,
    Local,
    Threads,
)
from swath.cli.output import MBIT, OUTPUT_FOLDER, console, print_json
from swath.cli.progress import Display
from swath.errors import ClusterError
from swath.runtime.profiling.effort import FULL, QUICK
from swath.runtime.profiling.kept import keep
from swath.runtime.profiling.measure import Profiled, Profiles, gflops, profile_devices

DEFAULT_FOLDER = OUTPUT_FOLDER / "profiles"


def profile(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the profiles go.")
    ] = DEFAULT_FOLDER,
    full: Annotated[
        bool, typer.Option("--full", help="Measure for minutes, not for seconds.")
    ] = False,
    parallel: Annotated[
        bool,
        typer.Option("--parallel", help="All devices at once: only for machines of their own."),
    ] = False,
    local: Local = None,
    threads: Threads = 1,
    cluster: ClusterFile = None,
    connect: Connect = None,
    discover: Discover = False,
    listen: Listen = None,
    cluster_name: ClusterName = "default",
    as_json: AsJson = False,
) -> None:
    """Measure devices and the links between them, so that plans are chosen by real times.

    Writes a file per device, and links.json. Stopped half way, it goes on from there when it is
    run again. Without a cluster: two workers on this machine.
    """
    if output.exists() and not output.is_dir():
        raise ClusterError(f"{output}: is a file; name a folder")
    output.mkdir(parents=True, exist_ok=True)
    with Display(quiet=as_json) as display:
        display.step("joining the workers")
        with open_cluster(
            local=local,
            threads=threads,
            cluster_file=cluster,
            connect=connect,
            listen=listen,
            discover=discover,
            cluster_name=cluster_name,
        ) as session:
            devices = session.coordinator.workers()
            if cluster is not None:
                named = {device.name for device in swath.load_cluster(cluster).workers}
                devices = tuple(device for device in devices if device in named)
            found = profile_devices(
                session.coordinator,
                devices,
                output,
                FULL if full else QUICK,
                lambda what, done, total: display.step(f"measuring {what}: {done} of {total}"),
                together=parallel,
            )
    for device in found.devices:
        keep(device.profile)  # For those who run a model without naming profiles.
    if as_json:
        print_json(_report(found))
    else:
        _print(found)


def _report(found: Profiles) -> dict[str, Any]:
    return {
        "devices": [
            {
                "name": device.profile.device,
                "accuracy": device.profile.accuracy,
                "gflops": gflops(device.profile),
                "samples": len(device.profile.samples),
                "resumed": device.resumed,
                "seconds": device.seconds,
                "kind": device.profile.kind,
                "machine": asdict(device.profile.machine),
                "path": str(device.path),
            }
            for device in found.devices
        ],
        "links": [
            {
                "sender": link.sender,
                "receiver": link.receiver,
                "bandwidth_mbps": link.bandwidth / MBIT,
                "latency_ms": link.latency * 1e3,
                "jitter_ms": link.jitter * 1e3,
            }
            for link in found.links
        ],
        "links_path": None if found.links_path is None else str(found.links_path),
    }


def _print(found: Profiles) -> None:
    out = console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("device")
    for title in ("GFLOP/s", "samples", "seconds", "accuracy, worst family"):
        table.add_column(title, justify="right")
    table.add_column("profile")
    for device in found.devices:
        table.add_row(
            device.profile.device,
            f"{gflops(device.profile):.3g}",
            str(len(device.profile.samples)),
            f"{device.seconds:.0f}",
            _worst(device),
            str(device.path),
        )
    out.print(table)
    if found.links:
        table = Table(box=None, padding=(1, 2, 0, 0), header_style="bold")
        table.add_column("link")
        for title in ("Mbit/s", "latency", "jitter"):
            table.add_column(title, justify="right")
        for link in found.links:
            table.add_row(
                f"{link.sender} to {link.receiver}",
                f"{link.bandwidth / MBIT:.4g}",
                f"{link.latency * 1e6:.0f} us",
                f"{link.jitter * 1e6:.0f} us",
            )
        out.print(table)
    resumed = [d.profile.device for d in found.devices if d.resumed]
    if resumed:
        out.print(f"\nWent on from what an interrupted run had measured: {', '.join(resumed)}.")


def _worst(device: Profiled) -> str:
    accuracy = device.profile.accuracy
    if not accuracy:
        return ""
    name = min(accuracy, key=lambda family: accuracy[family])
    return f"{accuracy[name]:.1%} ({name})"

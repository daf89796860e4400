"""`swath cluster init`: a cluster file of who is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.clusters import open_cluster
from swath.cli.options import (
    AsJson,
    ClusterName,
    Connect,
    Discover,
    Listen,
    Local,
    Threads,
)
from swath.cli.output import check_writable, console, facts, print_json
from swath.cli.profile import DEFAULT_FOLDER
from swath.cli.progress import Display
from swath.cluster import load_cluster
from swath.cluster.write import write_cluster
from swath.errors import ClusterError
from swath.runtime.profiling.describe import describe_cluster

cluster = typer.Typer(help="Cluster files: who computes, and what joins them.")


@cluster.callback()
def _main() -> None:
    """Makes `init` a command of its own, although it is the only one."""


@cluster.command("init")
def init(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The cluster file to write.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    profiles: Annotated[
        Path | None,
        typer.Option(
            "--profiles",
            metavar="FOLDER",
            help="Where 'swath profile' wrote.  [default: swath-out/profiles, if it is there]",
        ),
    ] = None,
    local: Local = None,
    threads: Threads = 1,
    connect: Connect = None,
    discover: Discover = False,
    listen: Listen = None,
    cluster_name: ClusterName = "default",
    as_json: AsJson = False,
) -> None:
    """Write a cluster file of the workers that are there, with their profiles and links.

    What no profile says is measured now, quickly. Without a cluster: two workers on this machine.
    """
    check_writable(output)
    if output.exists() and not force:
        raise ClusterError(f"{output}: is there already; name another file, or say --force")
    if profiles is not None and not profiles.is_dir():
        raise ClusterError(f"{profiles}: is no folder; name the one 'swath profile' wrote to")
    folder = profiles or (DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None)
    with Display(quiet=as_json) as display:
        display.step("joining the workers")
        with open_cluster(
            local=local,
            threads=threads,
            connect=connect,
            listen=listen,
            discover=discover,
            cluster_name=cluster_name,
        ) as session:
            coordinator = session.coordinator
            found = describe_cluster(
                coordinator, coordinator.workers(), folder, connect or (), display.step
            )
    write_cluster(found, output)
    written = load_cluster(output)
    if as_json:
        print_json(
            {
                "path": str(output),
                "source": written.source,
                "devices": [
                    {"name": d.name, "gflops": d.gflops, "memory_bytes": d.memory,
                     "address": d.address, "profile": d.profile}
                    for d in written.devices
                ],
                "links": len(written.links),
            }
        )  # fmt: skip
        return
    names = [device.name for device in written.devices]
    profiled = [device.name for device in written.devices if device.profile]
    console().print(
        facts(
            {
                "cluster file": str(output),
                "devices": f"{len(names)}: {', '.join(names)}",
                "profiles": ", ".join(profiled) or "none; measure with 'swath profile'",
                "links": str(len(written.links)),
            }
        )
    )

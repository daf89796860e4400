"""`swath devices`: who is there."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

import swath
from swath.cli.options import AsJson, ClusterFile, ClusterName, Connect, Discover, Listen
from swath.cli.output import console, format_bytes, print_json
from swath.runtime.serve import DEFAULT_ENDPOINT

_SHOWN = ("name", "cores", "threads", "memory_bytes", "engine", "pid")


def devices(
    connect: Connect = None,
    discover: Discover = False,
    cluster: ClusterFile = None,
    listen: Listen = None,
    cluster_name: ClusterName = "default",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to look for.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """List the workers of a cluster.

    Without any option: who listens on this machine where 'swath worker' does by default.
    """
    elsewhere = bool(connect) or discover or cluster is not None
    with swath.connect(
        None if cluster is None else swath.load_cluster(cluster),
        endpoints=tuple(connect or ()) if elsewhere else (DEFAULT_ENDPOINT,),
        listen=listen,
        discover=discover,
        cluster_name=cluster_name,
        timeout=timeout,
    ) as session:
        said = [session.coordinator.hello(name) for name in session.coordinator.workers()]
    found = [{key: entry.get(key) for key in _SHOWN} for entry in said]
    if as_json:
        print_json({"devices": found})
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("worker")
    for title in ("cores", "threads", "memory"):
        table.add_column(title, justify="right")
    table.add_column("engine")
    for entry in found:
        table.add_row(
            str(entry["name"]),
            str(entry["cores"]),
            str(entry["threads"]),
            format_bytes(entry["memory_bytes"] or 0),
            str(entry["engine"]),
        )
    console().print(table)

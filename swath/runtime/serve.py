"""The process of a worker: joins the cluster, serves until it is told or signalled to stop.

Kept apart from the command line so that a worker loads no more than it needs: run it as
``python -m swath.runtime.serve``.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading

from swath.errors import SwathError
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.runtime.worker import Worker

READY = "ready"
"""What a worker prints on stdout, with its name, once it has joined."""


def serve(
    name: str,
    endpoints: Endpoints,
    cluster: str = "default",
    threads: int = 1,
    memory: int | None = None,
    attached: bool = False,
) -> None:
    """Be a worker until SIGTERM, SIGINT, or a coordinator's word.

    ``attached``: stop as well when standard input ends, that is with the process that holds its
    other end. Raises FabricError where the cluster cannot be joined.
    """
    worker = Worker(
        lambda land: ZenohFabric(name, "worker", land, endpoints, cluster), threads, memory
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    if attached:
        threading.Thread(target=_stop_at_end_of_input, args=(worker,), daemon=True).start()
    print(READY, name, flush=True)
    worker.run()


def default_name() -> str:
    """A name that is this process's own on its network."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}"


def _stop_at_end_of_input(worker: Worker) -> None:
    while os.read(0, 4096):
        pass
    worker.stop()


def main(arguments: list[str] | None = None) -> int:
    """Exit status 2, and one line on stderr, for what the user can mend."""
    parser = argparse.ArgumentParser(prog="swath worker")
    parser.add_argument("--name", default=default_name())
    parser.add_argument("--listen", action="append", default=[])
    parser.add_argument("--connect", action="append", default=[])
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--cluster-name", default="default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, default=None)
    parser.add_argument("--attached", action="store_true")
    parser.add_argument("--log-level", default="WARNING")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=options.log_level, format=f"%(levelname)s {options.name}: %(message)s")
    endpoints = Endpoints(tuple(options.listen), tuple(options.connect), options.discover)
    try:
        serve(
            options.name,
            endpoints,
            options.cluster_name,
            options.threads,
            options.memory,
            options.attached,
        )
    except SwathError as error:
        print(f"swath: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

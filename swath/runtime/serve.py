"""The process of a worker: joins the cluster, serves until it is told or signalled to stop.

Kept apart from the command line so that a worker loads no more than it needs: run it as
``python -m swath.runtime.serve``.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

from swath.errors import SwathError
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.runtime.worker import Worker

DEFAULT_ENDPOINT = "tcp/127.0.0.1:7447"
"""Where a worker listens that is told nothing else: this machine only."""

DISCOVERED_ENDPOINT = "tcp/0.0.0.0:0"
"""Where a worker listens that is to be discovered: every network, on a free port."""

STOP_TIMEOUT = 5.0
"""Seconds after which a worker that nobody holds any more ends whatever it is doing."""

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
    time.sleep(STOP_TIMEOUT)
    os._exit(1)  # It hangs, or computes what nobody waits for any more.


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.partition("/")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swath worker",
        description="Be a device of a cluster, until stopped.",
        epilog=f"Told nothing of where, a worker listens on {DEFAULT_ENDPOINT}.",
    )
    add = parser.add_argument
    add("--name", default=default_name(), help="this worker's own name (default: host and process)")
    add(
        "--listen",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="take connections here, e.g. tcp/10.0.0.9:7447, and tensors on the port after it",
    )
    add(
        "--connect",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="join a member of the cluster that listens there",
    )
    add("--discover", action="store_true", help="find the others by multicast")
    add("--cluster-name", default="default", metavar="NAME", help="of several on one network")
    add("--threads", type=_threads, default=1, metavar="T", help="for computing (default: 1)")
    add("--memory", type=_memory, default=None, help="use no more than this, e.g. 1GiB")
    add("--log-level", type=str.upper, default="WARNING", choices=_LOG_LEVELS)
    add("--attached", action="store_true", help=argparse.SUPPRESS)
    return parser


_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def _threads(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads; give 1 or more")
    return int(text)


def _memory(text: str) -> int:
    if text.isdigit():
        return int(text)
    from swath.cluster import parse_memory  # Heavy, and seldom wanted.

    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """Exit status 2, and one line on stderr, for what the user can mend."""
    parser = _parser()
    # A word of its own for what argparse would spread over several lines.
    parser.error = _refuse  # type: ignore[method-assign]
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=options.log_level, format=f"%(levelname)s {options.name}: %(message)s"
    )
    listen = options.listen
    if options.discover and not listen:
        listen = [DISCOVERED_ENDPOINT]
    elif not listen and not options.connect:
        listen = [DEFAULT_ENDPOINT]
    exposed = [endpoint for endpoint in listen if "/" in endpoint and not _is_loopback(endpoint)]
    if exposed:
        print(
            f"swath: {', '.join(exposed)} is open to the network and not yet protected (no "
            "encryption, no authentication): use it only on networks you trust",
            file=sys.stderr,
        )
    endpoints = Endpoints(tuple(listen), tuple(options.connect), options.discover)
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


def _refuse(message: str) -> NoReturn:
    print(f"swath: {message} (see 'swath worker --help')", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    sys.exit(main())

"""All commands in one application, and what becomes of their errors."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import swath
from swath.cli.allocate import allocate
from swath.cli.cluster import cluster
from swath.cli.compare import compare_planners
from swath.cli.demo import demo
from swath.cli.devices import devices
from swath.cli.inspect import inspect
from swath.cli.lab import lab
from swath.cli.offload import offload
from swath.cli.plan import plan
from swath.cli.planners import planners
from swath.cli.profile import profile
from swath.cli.run import run as run_model
from swath.cli.simulate import simulate
from swath.cli.sweep import sweep
from swath.cli.verify import verify
from swath.errors import SwathError

USAGE_STATUS = 2
BUG_STATUS = 70

app = typer.Typer(
    help="Run one CNN inference on many devices at once, exactly, sooner than any one of them "
    "could alone. MODEL is an ONNX file or zoo:NAME, such as zoo:vgg16 or zoo:resnet34@448x448.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

for command in (
    demo,
    run_model,
    verify,
    inspect,
    plan,
    simulate,
    offload,
    sweep,
    planners,
    devices,
    profile,
):
    name = command.__name__
    app.command(name)(command)

app.command("compare")(compare_planners)
app.add_typer(allocate, name="allocate")
app.add_typer(cluster, name="cluster")
app.add_typer(lab, name="lab")


@app.command(
    "worker",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def worker(context: typer.Context) -> None:
    """Be a device of a cluster, until stopped ('swath worker --help' says more)."""
    from swath.cli.worker import run_worker

    raise typer.Exit(run_worker(context.args))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"swath {swath.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit status. What a user can mend is one line on stderr."""
    debug = bool(os.environ.get("SWATH_DEBUG"))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        status = app(list(arguments), prog_name="swath", standalone_mode=False)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error)
    return status if isinstance(status, int) else 0


def _explain(error: Exception) -> int:
    """One line for whatever went wrong; the exit status."""
    status = USAGE_STATUS
    if isinstance(error, SwathError):
        text = str(error)
    elif isinstance(error, typer.TyperException):
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        text = f"{said} (see {_help_of(error)})"
    elif isinstance(error, MemoryError):
        text = "out of memory; use more devices or a smaller input"
    elif isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Or Python complains once more at exit.
        return status
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}; choose another file or folder"
    else:
        status = BUG_STATUS
        text = (
            f"{type(error).__name__}: {error}; this is a bug of swath: set SWATH_DEBUG=1 "
            "to see where, and please report it"
        )
    print("swath:", " ".join(text.split()), file=sys.stderr)
    return status


def _help_of(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"'{context.command_path if context is not None else 'swath'} --help'"

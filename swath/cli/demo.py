"""`swath demo`: a zoo model on a real photograph, split over workers on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import swath
from swath.cli.options import AsJson, Local, PictureFile, Repeat, Threads
from swath.cli.output import check_picture_name, check_writable, console, facts, print_json
from swath.cli.pictures import save_picture
from swath.cli.progress import Display
from swath.cli.report import advice, exit_status, giving_up, run_facts, run_report
from swath.errors import InputError


def demo(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Of the zoo: zoo:NAME[@HxW].")
    ] = "zoo:vgg16",
    local: Local = 2,
    threads: Threads = 1,
    repeat: Repeat = 10,
    picture: PictureFile = None,
    as_json: AsJson = False,
) -> None:
    """Run one photograph through a CNN on this machine: whole, then split, and compare."""
    check_writable(picture)
    check_picture_name(picture)
    with Display(quiet=as_json) as display:
        display.step(f"making {model} with seeded weights")
        graph = swath.load(model)
        photograph = _photograph()
        inputs = swath.read_inputs(graph, photograph)
        display.step(f"starting {local} workers")
        with swath.LocalCluster(2 if local is None else local, threads=threads) as cluster:
            cluster.costs(display.step)
            display.step("planning")
            choice = cluster.choose(graph)
            plan = choice.plan
            display.step("installing")
            cluster.deploy(graph, plan, display.weights)
            display.rest()
            report = cluster.run(graph, inputs, plan=plan, repeat=repeat)
    found = swath.verify(graph, plan=plan, inputs=inputs)
    path = save_picture(plan, model, picture)
    if as_json:
        print_json(
            {
                "model": model,
                "input": photograph.name,
                **run_report(report),
                "tensors_compared": found.tensors,
                "stages_bit_exact": found.bit_exact,
                "stages_max_rel_diff": found.worst.relative,
                "picture": str(path),
            }
        )
    else:
        _show(model, photograph, report, found, path)
        said = giving_up(choice) or advice(report)
        if said is not None:
            console().print(f"\n{said}")
    raise typer.Exit(exit_status(report) or int(not found.within_tolerance))


def _show(
    model: str,
    photograph: Path,
    report: swath.RunReport,
    found: swath.Verification,
    picture: Path,
) -> None:
    rows = run_facts(report)
    rows["every stage"] = f"{found.tensors} tensors compared with the unsplit model's: " + (
        "all equal to the last bit"
        if found.bit_exact
        else f"the largest difference is {found.worst.relative:.1g} of the largest value"
    )
    rows["picture of the plan"] = str(picture)
    out = console()
    out.print(
        f"{model} with seeded weights on the photograph {photograph.name}, "
        f"workers on this machine: {len(report.plan.devices_used)}\n"
    )
    out.print(facts(rows))


def _photograph() -> Path:
    """A temple in China by Nick Ng, which scikit-learn brings; found without importing it."""
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "images" / "china.jpg"
    if not path.is_file():
        raise InputError(f"{path}: the photograph is missing; install scikit-learn again")
    return path

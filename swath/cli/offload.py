"""`swath offload`: which paths of a model go from one weak device to which server, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

import swath
from swath.cli.clusters import known_of
from swath.cli.options import (
    AsJson,
    Dimensions,
    Model,
    PlannerOptions,
    Weights,
    parse_dimensions,
    parse_planner_options,
)
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    facts,
    file_stem,
    format_bytes,
    format_ms,
    output_file,
    print_json,
)
from swath.cli.progress import Display
from swath.cli.report import format_bound, plan_report
from swath.cli.streams import present_facts, present_keys
from swath.cli.uplinks import draw_sweep, parse_sweep, save_table, sweep_keys, sweep_table
from swath.cli.ways import leg_keys, offer_rows, offer_table, path_table, way_keys, way_phrase
from swath.errors import SwathError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.program import Programs
from swath.planners import Problem, make_planner
from swath.planners.bound import lower_bound
from swath.planners.methods.offload.parties import check_servers
from swath.planners.methods.offload.reading import Leg, by_path, legs_of
from swath.planners.sweep.uplinks import (
    Asked,
    Offer,
    Offers,
    UplinkPoint,
    offer,
    offers,
    over_uplinks,
)
from swath.simulate import Request, make_script, simulate
from swath.trace.gantt import PICTURE_SUFFIXES, draw_gantt
from swath.trace.trace import Trace

OffloadPlanner = Literal[
    "psomw", "mw", "nfl-local", "nfl-remote", "nfl-bestcut", "offload-brute-force"
]
NFL = tuple(name for name in get_args(OffloadPlanner) if name.startswith("nfl-"))
"""No fused layers: what the others are held against."""


def offload(
    model: Model,
    cluster: Annotated[
        Path,
        typer.Option(
            "--cluster",
            metavar="FILE",
            help="A cluster file; its source offloads, every other device that computes is a "
            "server.",
        ),
    ],
    planner: Annotated[
        OffloadPlanner, typer.Option("--planner", help="Who chooses the way; see 'swath planners'.")
    ] = "psomw",
    paths: Annotated[
        int | None,
        typer.Option(
            "--paths",
            metavar="N",
            min=1,
            help="Into how many paths a fused block may be cut at most; default: 4.",
        ),
    ] = None,
    option: PlannerOptions = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Draw what happens when here: a Gantt picture (.png, .svg, .html).",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="bandwidth=FROM:TO[:POINTS]",
            help="Say too how the answer changes with the rate of the source's uplink (of several, "
            "the fastest; the others in proportion), in Mbit/s, e.g. bandwidth=1:1000:20.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw the sweep here (.png or .svg)."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Write the sweep down here (.csv)."),
    ] = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Offload a model from a weak device: which paths go where, and what that is worth."""
    for path in (output, picture, table):
        check_writable(path)
    _check_names(output, picture, table)
    if sweep is None and (picture is not None or table is not None):
        raise SwathError("--picture and --table are of a sweep; give --sweep bandwidth=FROM:TO")
    rates = None if sweep is None else parse_sweep(sweep)
    options = parse_planner_options(option)
    if paths is not None:
        options["paths"] = paths
    make_planner(planner, **options)  # Refused before anything takes time.
    described = swath.load_cluster(cluster)
    title = f"{model} on {cluster.stem}: {planner}"
    stem = f"offload-{file_stem(model)}-{planner}"
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        known = known_of(described, display.step)
        problem = Problem(graph, known.costs)
        check_servers(problem)
        asked = {planner: options, **{name: {} for name in NFL if name != planner}}
        found = _find(problem, asked, display)
        gantt = output or output_file(f"{stem}.png")
        draw_gantt([by_path(found.chosen.plan, found.trace)], gantt, title, "part")
        points: list[UplinkPoint] = []
        if rates is not None:
            made = over_uplinks(problem, rates, asked)
            points = list(display.count("planning for uplinks", made, len(rates)))
            picture = picture or output_file(f"{stem}-uplink.png")
            table = table or output_file(f"{stem}-uplink.csv")
            draw_sweep(points, planner, found.bound, picture, title)
            save_table(points, table)
    if as_json:
        swept = {**sweep_keys(points, planner), "picture": str(picture), "table": str(table)}
        print_json(
            {
                "model": model,
                **_keys(found),
                **present_keys(known.present),
                "picture": str(gantt),
                "sweep": swept if points else None,
            }
        )
        return
    out = console()
    out.print(facts({**_facts(found), **present_facts(known.present), "picture": str(gantt)}))
    out.print()
    out.print(path_table(found.chosen.way, found.legs))
    out.print()
    out.print(offer_table(found.instead, found.chosen.predicted))
    if known.absence is not None:
        out.print(f"\n{known.absence}")
    if points:
        out.print()
        out.print(sweep_table(points, planner))
        out.print(f"\ntable: {table}\npicture: {picture}")


def _check_names(output: Path | None, picture: Path | None, table: Path | None) -> None:
    """Before any work is done: the endings say the formats."""
    if output is not None and output.suffix.lower() not in PICTURE_SUFFIXES:
        raise SwathError(
            f"-o {str(output)!r}: a Gantt picture is .png, .svg or .html; a plan to run is written "
            "by 'swath plan', with the same --planner"
        )
    check_picture_name(picture)
    if table is not None and table.suffix.lower() != ".csv":
        raise SwathError(f"--table {str(table)!r}: a sweep is written as .csv; end the name so")


@dataclass(frozen=True, slots=True)
class _Found:
    """The answer at the cluster's own rates. Seconds: ``planning``: of finding it; ``bound``: no
    plan is sooner."""

    chosen: Offer
    instead: Offers
    planning: float
    bound: float
    programs: Programs
    trace: Trace
    legs: tuple[Leg, ...]


def _find(problem: Problem, asked: Asked, display: Display) -> _Found:
    """What the first planner answers, and the others instead. Raises PlanError for the first."""
    (planner, options), *others = asked.items()
    display.step(f"planning: {planner}")
    start = time.perf_counter()
    chosen = offer(problem, planner, **options)
    planning = time.perf_counter() - start
    display.step("planning without fused layers")
    instead = offers(problem, dict(others))
    bound = lower_bound(problem)
    display.step("simulating")
    programs = compile_plan(chosen.plan)
    request = Request(make_script(chosen.plan, programs, problem.costs))
    trace = simulate([request], problem.costs, record=True).trace
    assert trace is not None
    legs = legs_of(chosen.plan, programs, trace)
    return _Found(chosen, instead, planning, bound, programs, trace, legs)


def _keys(found: _Found) -> dict[str, Any]:
    chosen = found.chosen
    way = way_keys(chosen.way)
    rows = zip(way.pop("paths"), found.legs, strict=True)
    return {
        **plan_report(
            chosen.plan,
            "latency",
            chosen.predicted,
            chosen.predicted,
            found.bound,
            found.planning,
            found.programs.bytes_moved,
            peak_memory(found.programs),
        ),
        **way,
        "paths": [{**row, **leg_keys(leg)} for row, leg in rows],
        "instead": offer_rows(found.instead),
    }


def _facts(found: _Found) -> dict[str, str]:
    chosen, way = found.chosen, found.chosen.way
    sent = sum(leg.nbytes for leg in found.legs)
    return {
        "planner": chosen.plan.planner,
        "way": way_phrase(way),
        **({"order of paths": " ".join(map(str, way.order))} if len(way.order) > 1 else {}),
        "predicted": f"{format_ms(chosen.predicted * 1e3)} per inference",
        "no plan takes less than": format_bound(chosen.predicted, found.bound),
        "sent": f"{format_bytes(sent)} by {way.source} per inference",
        "planned in": format_ms(found.planning * 1e3),
    }

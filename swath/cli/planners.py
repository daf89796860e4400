"""`swath planners`: what is registered."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from swath.cli.options import AsJson
from swath.cli.output import console, print_json
from swath.planners import known_planners


def planners(as_json: AsJson = False) -> None:
    """List the planners: name, paper, what they split, objectives, options."""
    known = known_planners()
    if as_json:
        entries = []
        for info in known:
            entry = asdict(info)
            del entry["target"]
            entries.append(entry)
        print_json({"planners": entries})
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("planner", "splits", "objectives", "what it does"):
        table.add_column(title)
    for info in known:
        what = [info.summary]
        if info.paper:
            what.append(f"paper: {info.paper}")
        what += [f"--option {option}=...: {text}" for option, text in info.options.items()]
        table.add_row(
            info.name, ", ".join(info.splits), ", ".join(info.objectives), "\n".join(what)
        )
    console().print(table)

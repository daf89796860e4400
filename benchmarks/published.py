"""What papers promise of their methods, beside what these reach here; everything is simulated.

    python -m benchmarks.published [-o docs/results/published.md]

Every headline has its settings, its table, and sentences that are written by rule from the figures:
reached, and where, or what stands in the way. Raw figures go beside the page, as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.claims import BOTH, COUNTINGS, FLOPS, Cell, Figures, Job, claim, present, solved
from benchmarks.headlines import (
    DPFP_SAVED,
    SERVER_KINDS,
    SERVERS,
    Section,
    dpfp_modnn_section,
    dpfp_rows,
    dpfp_section,
    edgeci_section,
    edgeld_section,
    jobs,
    modnn_section,
    ofpm_section,
    paced,
)
from benchmarks.speed import machine
from swath.cost.cost import FLOPS_PER_BYTE, TILE_OVERHEAD
from swath.planners.comparing import Refusal


def draw(figures: Figures, path: Path) -> None:
    """Latency that dpfp saves against the number of servers, a line for each rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(COUNTINGS), sharey=True)
    marks = dict(zip((kind[0] for kind in SERVER_KINDS), "os^", strict=True))
    for axes, counting in zip(panels, COUNTINGS, strict=True):
        for settings in dpfp_rows():
            first = settings[0]
            if first.counting == counting:
                found = present(claim(figures, (s, "dpfp"), (s, "whole")) for s in settings)
                counts = [len(each.own.setting.speeds) for each in found]
                saved = [100 * (1 - 1 / each.times) for each in found]
                axes.plot(counts, saved, marker=marks[first.speeds[0]], markersize=4,
                          label=f"{first.devices}, {first.rate}")  # fmt: skip
        axes.axhline(100 * DPFP_SAVED, color="0.3", linestyle="--", linewidth=1)
        axes.set(title=f"counted: {counting}", xlabel="servers", xticks=SERVERS)
        axes.grid(color="0.9")
    panels[0].set_ylabel("latency saved, % (dashed: published)")
    panels[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)


METHOD = f"""\
Nothing is measured: every plan is simulated (the mean of requests one after the other) on devices
that are described by their speed, in a switched network. *One server* or *one device* is planner
`whole`: the best of the devices alone. Of most papers only abstracts and summaries could be read,
so planners are reconstructions (their docstrings tell of what), and so are settings where a paper's
are not known. What a part of a network takes is counted in two ways. *{BOTH}*: as Swath does for
devices that were never profiled, where moving a byte of maps or weights takes as long as
{FLOPS_PER_BYTE:g} FLOPs, and beginning a tile {TILE_OVERHEAD * 1e6:.0f} us; the fully connected
layers of VGG-16, which are little but reading weights, weigh much then. *{FLOPS}*: as most of the
papers do, where both are free. Where a table does not say, it is the former. Messages take CPU time
at both ends in either. Sentences on what is reached are written from the figures by one rule:
reached in so many settings, the least and the best of them; else what stands in the way in each:
the lower bound of all plans, the time that the plan's own tiles take without any message, or else
messages.
"""


def document(sections: Sequence[Section], refused: Mapping[Job, Refusal], picture: str) -> str:
    lines = [
        "# Published headlines",
        "",
        f"`python -m benchmarks.published` on {time.strftime('%Y-%m-%d')}: {machine()}.",
        "",
        METHOD,
        "| what | published | best here | settings that reach it |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.what} | {each.headline} | {each.best} | {each.reached} |"
        for section in sections
        for each in section.verdicts
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.text, ""]
        lines += [f"- {each.sentence}" for each in section.verdicts]
        lines += [f"- {remark}" for remark in section.remarks]
        if section is sections[0]:
            lines += ["", f"![Latency saved by dpfp against the number of servers]({picture})"]
        lines += ["", *section.table]
    if refused:
        lines += ["", "## No plan", ""]
        lines += [f"- `{name}`, {place}: {no.reason}" for (place, name), no in refused.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results/published.md"))
    options = parser.parse_args()
    paces = {counting: paced(counting) for counting in COUNTINGS}
    figures: dict[Job, Cell] = {}
    refused: dict[Job, Refusal] = {}
    asked = jobs(paces)
    for number, job in enumerate(asked, 1):
        setting, planner = job
        found = solved(setting, planner)
        if isinstance(found, Refusal):
            refused[job] = found
            told = found.reason
        else:
            figures[job] = found
            told = f"{found.seconds * 1e3:.3f} ms"
        print(f"{number}/{len(asked)} {planner}, {setting}: {told}", flush=True)
    raw = options.output.with_suffix(".json")
    raw.write_text(json.dumps([asdict(cell) for cell in figures.values()], indent=1) + "\n")
    picture = options.output.with_suffix(".png")
    draw(figures, picture)
    sections = (
        dpfp_section(figures),
        edgeci_section(figures),
        ofpm_section(figures),
        modnn_section(figures),
        edgeld_section(figures, paces),
        dpfp_modnn_section(figures),
    )
    options.output.write_text(document(sections, refused, picture.name))
    for section in sections:
        print("\n".join(each.sentence for each in section.verdicts))


if __name__ == "__main__":
    main()

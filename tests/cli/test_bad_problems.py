"""Problems that have no plan, as users pose them: one line with the reason, exit status 2.

In this process, for all planners and commands; that nothing is left running is shown beside this
file, with processes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest

from swath.cli.app import run
from swath.planners import Objective, PlannerInfo, known_planners
from tests.tiles import make_model

PLANNERS = known_planners()
OFFLOADING = [info for info in PLANNERS if ".offload." in info.target]

LAYERS, CHANNELS, SIDE, ROWS = 5, 64, 112, 7
"""Convolutions, of which all but the last halve the map: to 7 rows."""

POWERED = [
    f"name: {name}, gflops: {gflops}, watts: {{idle: 1, busy: 4}}"
    for name, gflops in (("a", 1), ("b", 2), ("c", 3))
]
"""Devices of whom everything is known."""

FEWER = {"brute-force": ("steps=1",)}
"""Options with which a planner has few enough plans to try."""


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    """Whatever is written goes into the test's folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A network of few layers, for which no planner needs long."""
    rng = np.random.default_rng(0)
    constants = {
        f"w{n}": rng.standard_normal((CHANNELS, CHANNELS if n else 3, 3, 3), np.float32)
        * np.float32(0.1)
        for n in range(LAYERS)
    }
    nodes = [
        onnx.helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"x{n + 1}"], pads=[1] * 4,
                              strides=[1 if n == LAYERS - 1 else 2] * 2)
        for n in range(LAYERS)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("models") / "chain.onnx"
    model = make_model(nodes, {"x0": np.zeros((1, 3, SIDE, SIDE), np.float32)}, constants)
    onnx.save(model, path)
    return path


@pytest.fixture
def report(capsys) -> Callable[..., dict[str, Any]]:
    """Runs a command with --json that must go well: its report."""

    def told(*arguments: object) -> dict[str, Any]:
        status = run([*(str(argument) for argument in arguments), "--json"])
        said = capsys.readouterr()
        assert (status, said.err) == (0, ""), said
        found: dict[str, Any] = json.loads(said.out)
        return found

    return told


def by_name(infos: Sequence[PlannerInfo]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("info", infos, ids=lambda info: info.name)


def described(devices: Sequence[str], links: str = "default: {bandwidth: 20Mbps}") -> str:
    """A cluster file; the first device is the source."""
    source = devices[0].split(",")[0].removeprefix("name: ")
    lines = "".join(f"  - {{{device}}}\n" for device in devices)
    return f"source: {source}\ndevices:\n{lines}links:\n  {links}\n"


def asked(info: PlannerInfo, *options: object) -> tuple[object, ...]:
    """How a command is asked for this planner's plan on the cluster of ``c.yaml``."""
    fewer = [part for option in FEWER.get(info.name, ()) for part in ("--option", option)]
    return ("--cluster", "c.yaml", "--planner", info.name, *fewer, *options)


@by_name(PLANNERS)
def test_an_objective_that_a_planner_does_not_know(refusal, chain, info):
    Path("c.yaml").write_text(described(POWERED))
    for objective in set(get_args(Objective)) - set(info.objectives):
        line = refusal("plan", chain, *asked(info, "--objective", objective, "--deadline", 1000))
        assert f"{info.name!r} knows no objective {objective!r}; it plans for" in line
    assert "'speed' is not one of" in refusal("plan", chain, *asked(info, "--objective", "speed"))


@pytest.mark.parametrize(
    ("info", "objective"),
    [
        pytest.param(info, objective, marks=[pytest.mark.slow] if place and is_ours else [],
                     id=f"{info.name} for {objective}")
        for info in PLANNERS
        for is_ours in [info.name == "auto"]
        for place, objective in enumerate(info.objectives)
        if objective != "reliability"
    ],
)  # fmt: skip
def test_a_deadline_that_nobody_can_meet(refusal, report, chain, info, objective):
    """Who then gives what is said to be the best reachable has a plan."""
    Path("c.yaml").write_text(described(POWERED))
    ask = ("plan", chain, *asked(info, "--objective", objective))
    line = refusal(*ask, "--deadline", 0.01)
    said = re.fullmatch(
        r"the deadline of 0.01 ms is not met; the best reachable is ([\d.]+) ms", line
    )
    assert said is not None, line
    assert report(*ask, "--deadline", said[1])["predicted_ms"] <= float(said[1])


@by_name(PLANNERS)
def test_memory_that_no_plan_fits(refusal, chain, info):
    """The device that is named is the tightest of those of the plan, or the nearest to having
    enough; what it lacks is told, however little."""
    little = zip(POWERED, (30, 20, 25), strict=True)
    Path("c.yaml").write_text(described([f"{each}, memory: {kib}KiB" for each, kib in little]))
    line = refusal("plan", chain, *asked(info))
    said = re.search(r"'[abc]' .*lacks ([\d.]+) MiB; use more devices or a smaller input", line)
    assert said is not None, line
    assert float(said[1]) > 0


@by_name(PLANNERS)
def test_one_device_is_enough_or_is_told_to_be_too_few(refusal, report, chain, info):
    Path("c.yaml").write_text(described(POWERED[:1]))
    if info.fewest > 1:
        assert "add devices" in refusal("plan", chain, *asked(info))
    else:
        assert report("plan", chain, *asked(info))["devices_used"] == ["a"]


def test_no_device_at_all(refusal, chain):
    for text, said in (
        ("source: a\ndevices: []", "c.yaml: devices: List should have at least 1 item"),
        (described(["name: a, compute: false"]), "none of them computes"),
    ):
        Path("c.yaml").write_text(text)
        for command in ("plan", "compare", "run"):
            assert said in refusal(command, chain, "--cluster", "c.yaml")
        assert said in refusal("sweep", "--models", chain, "--clusters", "c.yaml", "-o", "t.csv")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("gflops: 0", "gflops: 0 is no speed; give more, or instead 'compute: false'"),
        ("gflops: -3", "gflops: -3 is no speed; give more"),
        ("gflops: .inf", "gflops: Input should be a finite number"),
        ("gflops: .nan", "gflops: Input should be a finite number"),
        ("cores: 0", "cores: Input should be greater than 0"),
        ("memory: 0", "memory: Input should be greater than 0"),
        ("memory: 1e999GB", "memory: memory '1e999GB' is not a quantity"),
    ],
)
def test_a_device_that_can_do_nothing(refusal, chain, device, said):
    Path("c.yaml").write_text(described(["name: a", f"name: weak, {device}"]))
    for command in ("plan", "compare", "run"):
        assert f"c.yaml: device 'weak': {said}" in refusal(command, chain, "--cluster", "c.yaml")


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ("a b: {up: 0Mbps, down: 5Mbps}", "links.a b.up: 0 carries nothing; give a rate above it"),
        ("default: {bandwidth: 0}", "links.default.bandwidth: 0 carries nothing"),
        ("default: {bandwidth: 1e999Mbps}", "bandwidth '1e999Mbps' is not a quantity"),
    ],
)
def test_a_link_that_carries_nothing(refusal, chain, links, said):
    Path("c.yaml").write_text(described(["name: a", "name: b"], links))
    for command in ("plan", "compare", "run"):
        assert said in refusal(command, chain, "--cluster", "c.yaml")


@pytest.mark.slow
def test_200_devices_for_seven_rows(report, chain):
    """All have a plan, or a reason for none, within their time; that of `auto` is the best."""
    Path("c.yaml").write_text(
        described([f"name: d{n}, gflops: 1" for n in range(200)], "default: {bandwidth: 1Gbps}")
    )
    ask = ("compare", chain, "--cluster", "c.yaml", "--objective")
    rows = [
        *report(*ask, "latency")["rows"],
        *report(*ask, "throughput", "--planners", "pico")["rows"],
    ]
    reasons = {row["planner"]: row["reason"] for row in rows if row["predicted_ms"] is None}
    assert "knows no objective" in reasons.pop("pico")
    assert all("more than its limit" in reason for reason in reasons.values()), reasons
    assert set(reasons) <= {"brute-force", "offload-brute-force"}
    found = {row["planner"]: row["predicted_ms"] for row in rows if row["predicted_ms"]}
    assert set(found) == {info.name for info in PLANNERS} - set(reasons)
    assert found["auto"] <= 1.005 * min(found.values())
    assert found["auto"] < 0.9 * found["whole"]


@by_name([info for info in OFFLOADING if info.fewest > 1])
def test_a_cluster_without_a_server(refusal, chain, info):
    Path("c.yaml").write_text(described(["name: a", "name: camera, compute: false"]))
    line = refusal("plan", chain, *asked(info))
    assert "no device besides the source 'a' computes, so there is no server to offload to" in line


@by_name([info for info in OFFLOADING if "paths" in info.options])
def test_more_paths_than_rows(refusal, report, chain, info):
    Path("c.yaml").write_text(described(POWERED))
    line = refusal("plan", chain, *asked(info, "--option", "paths=57"))
    assert "57 paths need as many rows" in line
    assert "ask for 56 paths or fewer" in line


@pytest.mark.parametrize("command", ["simulate", "compare", "plan"])
def test_a_deadline_below_the_time_of_computing(refusal, report, chain, command):
    """It says the bound, which is no more than the time of any plan."""
    Path("c.yaml").write_text(described(POWERED))
    made = report("plan", chain, "--cluster", "c.yaml", "-o", "plan.json")
    about = ("plan.json",) if command == "simulate" else (chain,)
    options = ("--planner", "auto", "--objective", "reliability") if command == "plan" else ()
    line = refusal(command, *about, "--cluster", "c.yaml", "--deadline", 0.01, *options)
    said = re.search(
        r"no plan meets a deadline of 0.01 ms: computing alone takes ([\d.]+) ms", line
    )
    assert said is not None, line
    assert 0 < float(said[1]) <= made["lower_bound_ms"] <= made["predicted_ms"]


def test_a_channel_that_was_recorded_for_too_short_a_time(refusal, report, chain):
    Path("c.yaml").write_text(described(POWERED))
    Path("short.csv").write_text("seconds,bandwidth\n0,20Mbps\n0.001,10Mbps\n")
    short = ("--channel", "trace(short.csv)", "--deadline", 1000)
    report("plan", chain, "--cluster", "c.yaml", "--planner", "nfl-remote", "-o", "plan.json")
    said = "lasts 0.002 s, but an inference over it "
    assert said in refusal("simulate", "plan.json", "--cluster", "c.yaml", *short)
    assert said in refusal("plan", chain, "--cluster", "c.yaml", "--planner", "nfl-remote", *short)
    ask = ("compare", chain, "--cluster", "c.yaml", "--planners", "nfl-local,nfl-remote", *short)
    local, remote = report(*ask, "--trials", 5)["rows"]
    assert local["reliability"]["probability"] == 1.0, "who sends nothing does not mind"
    assert said in remote["reason"]

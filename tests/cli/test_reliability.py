"""How often a deadline is met, as users ask it: `simulate`, `plan` and `compare`."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

import swath as library
from swath.cluster.file import parse_cluster
from tests.cli.conftest import SWATH
from tests.tiles import make_model

MODEL = "zoo:squeezenet@64x64"
CLUSTER = """\
source: a
devices:
  - {name: a, gflops: 2}
  - {name: b, gflops: 4}
links:
  default: {bandwidth: 20Mbps, latency: 1ms}
"""
CHANNEL = "rayleigh(snr=10dB, block=5ms)"
KEYS = {"probability", "low", "high", "trials", "deadline_ms"}
LEVELS = ["p1", "p5", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9"]

READY = 6.0
"""Seconds of CPU after which a command is at its trials: loading takes a fraction of it."""


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``split.json`` for devices a and b, and ``small.json`` for small pictures."""
    folder = tmp_path_factory.mktemp("plans")
    devices = [{"name": name, "gflops": 1.0} for name in "ab"]
    cluster = parse_cluster({"source": "a", "devices": devices})
    for name, model in (("split", MODEL), ("small", "zoo:squeezenet@32x32")):
        library.save_plan(
            library.plan(library.load(model), cluster, "even"), folder / f"{name}.json"
        )
    return folder


@pytest.fixture
def chain(tmp_path: Path) -> str:
    """A network of few layers, for which all planners together need no long time."""
    rng = np.random.default_rng(0)
    constants = {
        f"w{n}": rng.standard_normal((16, 16, 3, 3), np.float32) * np.float32(0.1) for n in range(4)
    }
    nodes = [
        onnx.helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"x{n + 1}"], pads=[1] * 4)
        for n in range(4)
    ]
    model = make_model(nodes, {"x0": np.zeros((1, 16, 48, 48), np.float32)}, constants)
    onnx.save(model, tmp_path / "chain.onnx")
    return "chain.onnx"


@pytest.fixture
def report(swath, plans, tmp_path):
    """Runs ``simulate --json`` on the plan: the report."""
    (tmp_path / "cluster.yaml").write_text(CLUSTER)

    def run(*options: object) -> dict:
        outcome = swath("simulate", plans / "split.json", "--cluster", "cluster.yaml", "--json",
                        *options)  # fmt: skip
        assert outcome.status == 0, outcome
        return outcome.json

    return run


def test_simulate_says_how_often_a_deadline_is_met(report, swath, plans, tmp_path):
    free = report("--channel", CHANNEL, "--trials", 200)
    assert free["reliability"] is None
    assert list(free["latency_quantiles_ms"]) == LEVELS
    times = list(free["latency_quantiles_ms"].values())
    assert times == sorted(times)
    assert times[0] < free["latency_ms"] < times[-1]
    assert free["trials"] == free["requests"] == 200
    deadline = free["latency_quantiles_ms"]["p75"]
    asked = ("--channel", CHANNEL, "--trials", 200, "--deadline", deadline)
    found = report(*asked)
    kept = found["reliability"]
    assert set(kept) == KEYS
    assert kept["probability"] == pytest.approx(0.75, abs=0.01)
    assert 0.65 < kept["low"] < kept["probability"] < kept["high"] < 0.85
    assert (kept["trials"], kept["deadline_ms"]) == (200, pytest.approx(deadline))
    assert (tmp_path / found["picture"]).read_bytes().startswith(b"\x89PNG")
    # The same seed gives the same answer, another one another.
    assert report(*asked) == found
    assert report(*asked, "--seed", 1)["latency_ms"] != found["latency_ms"]
    told = swath("simulate", plans / "split.json", "--cluster", "cluster.yaml", *asked,
                 "--picture", "met.svg").stdout  # fmt: skip
    for words in ("in time", "of 200 trials within", "95% confidence", "99.9%", "met.svg"):
        assert words in told
    assert "inferences that meet it" in (tmp_path / "met.svg").read_text()


def test_without_trials_there_is_no_reliability(report):
    found = report()
    for key in ("reliability", "trials", "latency_quantiles_ms", "picture"):
        assert found[key] is None
    # Nothing varies: every trial takes as long.
    sure = report("--deadline", found["latency_ms"] + 0.001)
    assert sure["reliability"]["probability"] == 1.0
    assert sure["trials"] == 1000
    assert sure["latency_ms"] == pytest.approx(found["latency_ms"])
    late = report("--deadline", found["latency_ms"] - 0.001)["reliability"]
    assert (late["probability"], late["low"]) == (0.0, 0.0)


@pytest.mark.slow
def test_channels_of_some_links_alone(report):
    """Up and down are different links; the last word holds."""
    slow = "gilbert(good=2Mbps, bad=1Mbps, good_time=1s, bad_time=1s)"
    steady, up, down, pair, none = (
        report("--trials", 20, *(part for each in channels for part in ("--channel", each)))
        for channels in (
            [], [f"up: {slow}"], [f"down: {slow}"], [f"b a: {slow}"], [slow, "constant"],
        )
    )  # fmt: skip
    assert none["latency_ms"] == pytest.approx(steady["latency_ms"])
    assert steady["latency_ms"] < min(up["latency_ms"], down["latency_ms"])
    assert max(up["latency_ms"], down["latency_ms"]) < pair["latency_ms"]


def test_pictures_of_several_sizes(swath, plans, report):
    one = report("--trials", 100)
    outcome = swath("simulate", plans / "split.json", plans / "small.json", "--cluster",
                    "cluster.yaml", "--trials", 100, "--json")  # fmt: skip
    assert outcome.status == 0, outcome
    several = outcome.json["latency_quantiles_ms"]
    assert several["p1"] < several["p99"] == pytest.approx(one["latency_quantiles_ms"]["p99"])
    assert outcome.json["bytes_moved"] < one["bytes_moved"]


@pytest.mark.slow
def test_compare_ranks_planners_by_it(swath, tmp_path, chain):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    compare = ("compare", chain, "--cluster", "cluster.yaml", "--channel", CHANNEL,
               "--planners", "whole,even,modnn,auto,pico")  # fmt: skip
    plain = {row["planner"]: row for row in swath(*compare, "--json").json["rows"]}
    assert {row["reliability"] for row in plain.values()} == {None}
    deadline = sorted(plain[name]["predicted_ms"] for name in ("whole", "even", "modnn"))[1]
    asked = (*compare, "--deadline", f"{deadline:.3f}", "--trials", 200)
    outcome = swath(*asked, "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["objective"] == "reliability"
    rows = {row["planner"]: row for row in outcome.json["rows"]}
    assert "knows no objective 'latency'" in rows.pop("pico")["reason"]
    for name, row in rows.items():
        assert set(row["reliability"]) == KEYS
        assert row["reliability"]["trials"] == 200
        assert list(row["latency_quantiles_ms"]) == LEVELS
        assert row["objective"] == ("reliability" if name == "auto" else "latency")
    chances = {name: row["reliability"]["probability"] for name, row in rows.items()}
    assert chances["modnn"] < 1.0, "who is late is ranked, not refused"
    assert chances["auto"] >= max(chances.values()) - 0.1
    told = swath(*asked, "--picture", "met.svg").stdout
    lines = [line.split()[0] for line in told.splitlines() if line and line.split()[0] in rows]
    assert [chances[name] for name in lines] == sorted(chances.values(), reverse=True)
    assert "in time" in told
    assert all(f">{name}<" in (tmp_path / "met.svg").read_text() for name in rows)


@pytest.mark.slow
def test_plan_for_reliability(swath, refused, tmp_path, chain):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    plan = ("plan", chain, "--cluster", "cluster.yaml", "--channel", CHANNEL)
    soonest = swath(*plan, "--planner", "auto", "--json").json
    assert soonest["reliability"] is None
    deadline = f"{soonest['predicted_ms']:.3f}"
    asked = (*plan, "--objective", "reliability", "--deadline", deadline, "--planner", "auto",
             "-o", "plan.json")  # fmt: skip
    made = swath(*asked, "--json").json
    assert made["objective"] == "reliability"
    assert 0 < made["reliability"]["probability"] <= 1
    assert "in time" in swath(*asked).stdout
    # What was promised is what the simulator says of the plan that was written.
    again = swath("simulate", "plan.json", "--cluster", "cluster.yaml", "--channel", CHANNEL,
                  "--deadline", deadline, "--json").json  # fmt: skip
    assert again["reliability"] == made["reliability"]
    late = (*plan, "--objective", "reliability", "--deadline", deadline)
    assert "for reliability: auto" in refused(*late, "--planner", "dpfp")
    assert "give one (--deadline MS)" in refused(*plan, "--objective", "reliability",
                                                 "--planner", "auto")  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--deadline", "0.5"], "no plan meets a deadline of 0.5 ms: computing alone takes"),
        (["--deadline", "0"], "--deadline 0: give the milliseconds"),
        (["--deadline", "50", "--trials", "0"], "--trials"),
        (["--channel", "rayleih(snr=10dB)"], "channel 'rayleih(snr=10dB)' is not known"),
        (["--channel", "rayleigh(snr=10)", "--channel", "left: constant"], "names no link"),
        (["--channel", "a c: constant"], "device 'c' is not in the cluster"),
        (["--trials", "5", "--channel", "trace(short.csv)"], "give a longer recording"),
        (["--channel", "trace(none.csv)"], "none.csv: No such file"),
        (["--deadline", "50", "--requests", "5"], "--requests is about requests that follow"),
        (["--trials", "5", "--trace", "t.json"], "--trace is about requests that follow"),
        (["--picture", "p.png"], "give --trials N"),
        (["--trials", "5", "--picture", "p.gif"], ".png or .svg"),
    ],
)
def test_refused_in_one_line(refusal, plans, tmp_path, options, said):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "short.csv").write_text("seconds,bandwidth\n0,20Mbps\n0.001,10Mbps\n")
    assert said in refusal("simulate", plans / "split.json", "--cluster", "cluster.yaml", *options)


def test_compare_refuses_what_nobody_meets(refusal, tmp_path, chain):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    compare = ("compare", chain, "--cluster", "cluster.yaml", "--planners", "whole")
    assert "computing alone takes" in refusal(*compare, "--deadline", "0.5")
    assert "give --deadline MS too" in refusal(*compare, "--trials", "10")
    assert "is not known" in refusal(*compare, "--channel", "fog(9)")


@pytest.mark.slow
def test_an_interrupt_ends_it_quietly(marked, plans, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    process = subprocess.Popen(
        [SWATH, "simulate", plans / "split.json", "--cluster", "cluster.yaml", "--channel",
         CHANNEL, "--deadline", "50", "--trials", "100000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=marked, text=True,
    )  # fmt: skip
    times = psutil.Process(process.pid).cpu_times
    while times().user < READY:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, said) == ("", "")
    assert not (tmp_path / "swath-out").exists()

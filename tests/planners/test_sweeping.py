"""Sweeps: every combination once, rows that say what `compare` says, files that come back whole."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import InputError, ModelError, PlanError
from swath.planners import Problem
from swath.planners.bound import lower_bound
from swath.planners.comparing import Outcome, compare
from swath.planners.sweep.backends import check_backend, sweep
from swath.planners.sweep.curves import speedup_panels, standings
from swath.planners.sweep.file import check_file, load_rows, save_rows
from swath.planners.sweep.sweeping import (
    Row,
    Scenario,
    remaining,
    run_scenario,
    scenarios,
    uniform_clusters,
)
from swath.trace.curves import Panel, draw_curves

MODEL = "zoo:squeezenet@64x64"
TWO = Cluster((Device("a", gflops=5), Device("b", gflops=5)), "a", default_link=Link(1.25e7, 1e-3))
SCENARIO = Scenario(MODEL, "two", TWO, "even")


def row(planner: str, **figures: Any) -> Row:
    known = Row("id", MODEL, "2x5", "switch", 2, 100.0, planner, 30.0)
    return replace(known, **figures)


def test_all_combinations_are_there_once():
    places = uniform_clusters([1, 2], [1e6, 1e7], ["switch", "star"], (5.0,))
    asked = scenarios(["m", "n"], places, ["whole", "even"])
    assert len(asked) == len({scenario.key for scenario in asked}) == 2 * 8 * 2
    assert len({scenario.problem_id for scenario in asked}) == 16
    assert [scenario.model for scenario in asked] == ["m"] * 16 + ["n"] * 16


def test_uniform_clusters_are_what_they_are_called():
    (name, cluster), *_ = uniform_clusters([4], [2.5e6], ["star"], (5.0, 10.0, 2.5))
    assert name == "4xuneven"
    assert [device.gflops for device in cluster.devices] == [5.0, 10.0, 2.5, 5.0]
    assert cluster.network == "star"
    assert cluster.hub == cluster.source == "device-0"
    assert {link.bandwidth for link in cluster.path("device-1", "device-2")} == {2.5e6}
    assert uniform_clusters([1], [1.0], ["shared"], (7.5,))[0][0] == "1x7.5"


def test_a_row_says_what_compare_says():
    problem = Problem(swath.load(MODEL), nominal_costs(TWO))
    found = dict(compare(problem, ["whole", "even"]))
    even, whole = found["even"], found["whole"]
    assert isinstance(even, Outcome)
    assert isinstance(whole, Outcome)
    made = run_scenario(SCENARIO, swath.load)
    assert made.key == SCENARIO.key
    assert (made.devices, made.network, made.cluster, made.rate_mbit) == (2, "switch", "two", 100)
    assert made.predicted_ms == pytest.approx(even.predicted * 1e3)
    assert made.speedup == pytest.approx(whole.predicted / even.predicted)
    assert made.lower_bound_ms == pytest.approx(lower_bound(problem) * 1e3)
    assert made.bytes_moved == even.bytes_moved
    assert made.redundant_flops_share == even.redundant
    assert made.peak_memory_bytes == max(even.peaks.values())
    assert made.stages == len(even.plan.stages)
    assert made.devices_used == 2
    assert made.plan_ms is not None
    assert made.plan_ms > 0
    assert made.reason is None


def test_a_refusal_has_a_reason_and_no_figures():
    made = run_scenario(replace(SCENARIO, planner="halp"), swath.load)
    assert made.reason is not None
    assert "add devices" in made.reason
    assert made == row("halp", problem_id=SCENARIO.problem_id, cluster="two", reason=made.reason)


def test_nobody_counts_from_a_device_that_is_too_small():
    small = replace(TWO, devices=tuple(replace(d, memory=2**20) for d in TWO.devices))
    made = run_scenario(replace(SCENARIO, cluster=small), swath.load)
    assert made.speedup is None
    assert made.reason is not None


def test_links_of_several_rates_have_no_one_rate():
    mixed = replace(TWO, links={("a", "b"): Link(1e6, 0.0)})
    assert run_scenario(replace(SCENARIO, cluster=mixed), swath.load).rate_mbit is None


def test_what_is_done_is_not_done_again():
    asked = [replace(SCENARIO, planner=name) for name in ("whole", "even", "halp")]
    finished = {
        asked[1].key: row("even", predicted_ms=1.0),
        asked[2].key: row("halp", reason="add devices", budget_s=30.0),
    }
    assert remaining(asked, finished) == asked[:1]
    longer = [replace(scenario, budget=60.0) for scenario in asked]
    assert remaining(longer, finished) == [longer[0], longer[2]]
    elsewhere = [replace(scenario, cluster=replace(TWO, network="shared")) for scenario in asked]
    assert remaining(elsewhere, finished) == elsewhere


def test_a_sweep_in_one_process_makes_every_row():
    asked = [replace(SCENARIO, planner=name) for name in ("whole", "even", "halp")]
    made = {found.key: found for found in sweep(asked, swath.load, jobs=1)}
    assert set(made) == {scenario.key for scenario in asked}
    expected = run_scenario(SCENARIO, swath.load)
    assert replace(made[SCENARIO.key], plan_ms=None) == replace(expected, plan_ms=None)
    assert list(sweep([], swath.load)) == []


GIVEN_UP = """
import swath
from swath.planners.sweep.backends import sweep
from swath.planners.sweep.sweeping import scenarios, uniform_clusters

clusters = uniform_clusters([1, 2, 3], [1e6, 1e7, 1e8], ["switch"], (5.0,))
rows = sweep(scenarios(["zoo:resnet18@64x64"], clusters, ["whole", "even"]), swath.load, jobs=2)
next(rows)
rows.close()
"""


def test_what_is_given_up_is_not_complained_of():
    done = subprocess.run([sys.executable, "-c", GIVEN_UP], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_cannot_be_loaded_ends_the_sweep(tmp_path):
    (tmp_path / "model.onnx").write_text("hello")
    asked = [replace(SCENARIO, model=str(tmp_path / "model.onnx"))]
    with pytest.raises(ModelError, match="is not an ONNX model"):
        list(sweep(asked, swath.load, jobs=1))


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_that_is_not_installed_is_named_with_the_mend(monkeypatch, backend, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PlanError, match=f"needs {package}, .*pip install 'swath\\[{backend}\\]'"):
        check_backend(backend)


figures = st.none() | st.floats(0, 1e12)
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)  # One line.
any_rows = st.lists(
    st.builds(
        Row,
        problem_id=texts,
        model=texts,
        cluster=texts,
        network=st.sampled_from(["switch", "shared", "star"]),
        devices=st.integers(1, 1024),
        rate_mbit=figures,
        planner=texts,
        budget_s=st.floats(1e-3, 1e6),
        predicted_ms=figures,
        bytes_moved=st.none() | st.integers(0, 2**60),
        reason=st.none() | texts,
    ),
    unique_by=lambda found: found.key,
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_comes_back_as_it_was_written(tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    assert load_rows(path) == {}

    @settings(max_examples=30)
    @given(any_rows)
    def round_trip(rows):
        save_rows(rows, path)
        assert list(load_rows(path).values()) == rows
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    round_trip()


def test_parquet_has_a_type_for_every_column(tmp_path):
    import pyarrow.parquet

    save_rows([row("whole", reason="why")], tmp_path / "rows.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["planner"] == types["reason"] == "string"
    assert types["devices"] == types["bytes_moved"] == "int64"
    assert types["predicted_ms"] == types["speedup"] == "double"


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("content", ["hello\n1\n", "model,planner\nm,whole\n"])
def test_a_file_of_something_else_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="name another file") as error:
        load_rows(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_name_has_to_say_the_format(monkeypatch):
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        check_file(Path("rows.xlsx"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_file(Path("rows.csv"))
    with pytest.raises(InputError, match=r"pip install 'swath\[parquet\]', or write a \.csv"):
        check_file(Path("rows.parquet"))


def test_standings_count_who_was_fastest():
    rows = [
        row("whole", problem_id="1", predicted_ms=10.0, speedup=1.0),
        row("even", problem_id="1", predicted_ms=5.0, speedup=2.0),
        row("halp", problem_id="1", reason="add devices"),
        row("whole", problem_id="2", predicted_ms=8.0, speedup=1.0),
        row("even", problem_id="2", predicted_ms=8.0 * (1 + 1e-12), speedup=0.5),
    ]
    even, whole, halp = standings(rows)
    assert (even.planner, even.plans, even.refusals, even.best) == ("even", 2, 0, 2)
    assert even.speedup == pytest.approx(1.0)
    assert (whole.planner, whole.best) == ("whole", 1)
    assert (halp.planner, halp.plans, halp.refusals, halp.speedup) == ("halp", 0, 1, None)


def grid() -> list[Row]:
    return [
        row("even", devices=devices, rate_mbit=rate, speedup=devices * rate / 100)
        for rate in (10.0, 100.0)
        for devices in (4, 1, 2)
    ]


def test_curves_go_against_devices_and_against_rates():
    ((slow, fast, widest),) = speedup_panels(grid())
    assert slow.title == "squeezenet@64x64, switch, 10 Mbit/s"
    assert slow.lines == {"even": [(1, 0.1), (2, 0.2), (4, 0.4)]}
    assert fast.lines == {"even": [(1, 1.0), (2, 2.0), (4, 4.0)]}
    assert widest.title == "squeezenet@64x64, switch, 4 devices"
    assert widest.lines == {"even": [(10, 0.4), (100, 4.0)]}


def test_a_point_is_no_curve():
    assert speedup_panels(grid()[:1]) == []
    (panels,) = speedup_panels([found for found in grid() if found.devices == 4])
    assert [panel.x_label for panel in panels] == ["Mbit/s"]
    assert speedup_panels([row("halp", reason="add devices")]) == []


def test_curves_are_drawn_with_a_legend(tmp_path):
    lines = {f"planner {number}": [(1, 1.0), (4, 1.0 + number)] for number in range(10)}
    rows = [[Panel("left", "devices", lines), Panel("right", "Mbit/s", lines)],
            [Panel("below", "devices", lines)]]  # fmt: skip
    draw_curves(rows, tmp_path / "curves.svg", "speed-up")
    text = (tmp_path / "curves.svg").read_text()
    for word in ("left", "right", "below", "planner 9", "speed-up", "Mbit/s"):
        assert f">{word}<" in text
    draw_curves(rows, tmp_path / "curves.png", "speed-up")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

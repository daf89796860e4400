"""Pictures of plans: what they show, as data; and that every tile is drawn."""

from __future__ import annotations

import itertools
import re

import pytest

from swath.api import load, plan
from swath.cluster import local_cluster
from swath.trace.pictures import PALETTE, draw_plan
from swath.trace.plan_columns import plan_view


def a_plan(model="zoo:squeezenet@64x64", devices=2, planner="even", **options):
    cluster = local_cluster([f"device-{index}" for index in range(devices)], gflops=50)
    return plan(load(model), cluster, planner, **options)


@pytest.mark.parametrize(
    ("split", "axes"),
    [
        ("rows", ("rows",)),
        ("cols", ("columns",)),
        ("channels", ("channels",)),
        ("grid", ("rows", "columns")),
    ],
)
def test_the_axes_of_a_split_are_told(split, axes):
    view = plan_view(a_plan(devices=4, split=split))
    assert view.columns[0].axes == axes
    assert {bar.device for bar in view.columns[0].bars} == set(view.devices)


def test_what_the_bars_of_a_stage_make_is_the_whole():
    for column in plan_view(a_plan(devices=3, split="rows")).columns:
        spans = sorted(bar.made[0] for bar in column.bars)
        assert spans[0][0] == 0
        assert spans[-1][1] == 1
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert end == pytest.approx(start)


def test_halos_reach_beyond_what_is_made():
    first = plan_view(a_plan(devices=2, split="rows")).columns[0]
    upper = min(first.bars, key=lambda bar: bar.made[0])
    lower = max(first.bars, key=lambda bar: bar.made[0])
    assert upper.needed[0][1] > upper.made[0][1]
    assert lower.needed[0][0] < lower.made[0][0]


def test_the_work_of_all_devices_is_the_models_and_what_is_computed_twice():
    view = plan_view(a_plan(devices=3, split="rows"))
    assert sum(view.work.values()) == pytest.approx(1 + view.recomputed)
    assert view.recomputed > 0
    assert sum(column.flops_share for column in view.columns) == pytest.approx(1)


def test_one_device_alone_has_no_axis():
    (column,) = plan_view(a_plan(planner="whole")).columns
    assert column.axes == ()
    assert [bar.made for bar in column.bars] == [((0.0, 1.0),)]


@pytest.mark.parametrize(
    ("devices", "options"), [(2, {}), (3, {"split": "channels"}), (4, {"split": "grid"})]
)
def test_every_tile_is_in_the_svg(tmp_path, devices, options):
    drawn = a_plan(devices=devices, **options)
    path = tmp_path / "plan.svg"
    draw_plan(drawn, path, "a model")
    text = path.read_text()
    tiles = re.findall(r'id="tile-(\d+)-(\d+)"', text)
    bars = sum(len(column.bars) for column in plan_view(drawn).columns)
    assert len(tiles) == len(set(tiles)) == bars
    assert ">a model</text>" in text
    for name in drawn.devices_used:
        assert f"{name} · " in text
    for colour in PALETTE[:devices]:
        assert f"fill: {colour.lower()}" in text


def test_the_same_plan_gives_the_same_svg(tmp_path):
    drawn = a_plan()
    for name in ("one.svg", "two.svg"):
        draw_plan(drawn, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_png(tmp_path):
    draw_plan(a_plan("zoo:resnet34@64x64"), tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")

"""Workload files: what they may say, and what is said of what they may not."""

from __future__ import annotations

import pytest

from swath.errors import WorkloadError
from swath.workload.file import load_workload, parse_workload
from swath.workload.workload import Bursty, Diurnal, Recorded, Service

EXAMPLE = """\
services:
  - {name: doors, model: "zoo:resnet34", rate: 3, deadline: 400ms, priority: 1}   # per second
  - {name: cars, model: "zoo:vgg16", rate: 1, arrivals: {kind: bursty, on: 5s, off: 10s}}
"""


def test_the_example_says_what_it_says(tmp_path):
    (tmp_path / "w.yaml").write_text(EXAMPLE)
    doors, cars = load_workload(tmp_path / "w.yaml").services
    assert doors == Service("doors", "zoo:resnet34", 3.0, 0.4)
    assert cars.arrivals == Bursty(5.0, 10.0), "YAML would read 'on' and 'off' as true and false"
    assert cars.deadline is None


def test_models_and_recordings_lie_beside_the_file(tmp_path):
    (tmp_path / "calls.csv").write_text("seconds\n10\n11\n14\n")
    (tmp_path / "w.yaml").write_text(
        "services: [{name: a, model: net.onnx, arrivals: {kind: recorded, file: calls.csv}}]"
    )
    (found,) = load_workload(tmp_path / "w.yaml").services
    assert found.model == str(tmp_path / "net.onnx")
    assert found.arrivals == Recorded((0.0, 1.0, 4.0), 6.0)
    assert found.rate == 0.5, "that of the recording, unless it is to be played otherwise"


def test_the_day_has_a_night_of_no_requests_unless_told():
    entry = {"name": "a", "model": "zoo:alexnet", "rate": 1}
    (found,) = parse_workload(
        {"services": [entry | {"arrivals": {"kind": "diurnal", "period": "1s"}}]}
    ).services
    assert found.arrivals == Diurnal(1.0, 0.0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"rate": -1}, "w.yaml: service 'a': rate: "),
        ({}, "service 'a': rate is missing"),
        ({"rate": 1, "deadline": "soon"}, "service 'a': deadline: latency 'soon'"),
        ({"rate": 1, "deadline": 0}, "service 'a': deadline: "),
        ({"rate": 1, "color": "red"}, "service 'a': color: "),
        ({"rate": 1, "priority": 0}, "service 'a': priority: "),
        ({"rate": 1, "arrivals": {"kind": "tidal"}}, "'tidal'"),
        ({"rate": 1, "arrivals": {"kind": "bursty", "on": "1s"}}, "arrivals.off: "),
        ({"rate": 1, "arrivals": {"kind": "recorded", "file": "no.csv"}}, "no.csv: No such file"),
    ],
)
def test_mistakes_are_named_with_the_service(entry, said, tmp_path):
    with pytest.raises(WorkloadError) as error:
        parse_workload(
            {"services": [{"name": "a", "model": "zoo:alexnet", **entry}]}, "w.yaml", tmp_path
        )
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "needs 'services'"),
        ("services: []", "services: "),
        ("services: [{name: a, model: m, rate: 1}, {name: a, model: m, rate: 1}]", "twice"),
        ("services: {", "not a YAML file"),
    ],
)
def test_what_is_no_workload_is_refused(text, said, tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(WorkloadError) as error:
        load_workload(path)
    assert said in str(error.value)
    with pytest.raises(WorkloadError, match="name a workload file"):
        load_workload(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds\n1\n3\n2\n", "line 4: 2 s comes after 3 s; sort the rows"),
        ("seconds\n1\n\nx\n", "is no time"),
        ("seconds\n1\nnan\n", "line 3: 'nan' is no time"),
        ("seconds\n1\n", "two requests"),
        ("time\n1\n2\n", "column 'seconds' is missing"),
    ],
)
def test_recordings_are_read_with_care(text, said, tmp_path):
    (tmp_path / "calls.csv").write_text(text)
    entry = {"name": "a", "model": "m", "arrivals": {"kind": "recorded", "file": "calls.csv"}}
    with pytest.raises(WorkloadError) as error:
        parse_workload({"services": [entry]}, "w.yaml", tmp_path)
    assert said in str(error.value)

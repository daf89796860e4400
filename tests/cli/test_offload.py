"""`swath offload`: where paths go and when, what else there is, and how the uplink changes it."""

from __future__ import annotations

import csv

import pytest

import swath as library
from swath.cli.uplinks import parse_sweep
from swath.errors import InputError
from swath.plan.compile import compile_plan

MODEL = "zoo:tiny_yolov2@96x96"
NFL = ("nfl-local", "nfl-remote", "nfl-bestcut")
SLACK = 1.01
"""What the methods reckon with and what is predicted may be apart by that much."""


def described(up: str = "20Mbps", weak: str = "gflops: 2", servers: int = 1) -> str:
    """A cluster file: a weak device and quick servers, each on a link that is quicker down."""
    names = [f"s{number}" for number in range(servers)]
    devices = "".join(f"  - {{name: {name}, gflops: 20}}\n" for name in names)
    links = "".join(f"  weak {name}: {{up: {up}, down: 50Mbps, latency: 1ms}}\n" for name in names)
    links += "  default: {bandwidth: 50Mbps, latency: 1ms}\n"
    return f"source: weak\ndevices:\n  - {{name: weak, {weak}}}\n{devices}links:\n{links}"


@pytest.fixture
def place(tmp_path):
    """Writes a cluster file; its name."""

    def write(**fields: object) -> str:
        (tmp_path / "pair.yaml").write_text(described(**fields))
        return "pair.yaml"

    return write


def test_paths_and_what_becomes_of_them(swath, place, tmp_path):
    done = swath("offload", MODEL, "--cluster", place(), "--json")
    assert done.status == 0, done
    assert done.stderr == ""
    report = done.json
    plan = library.plan(library.load(MODEL), library.load_cluster(tmp_path / place()), "psomw")
    assert report["planner"] == "psomw"
    assert report["devices_used"] == list(plan.devices_used)
    assert report["bytes_moved"] == compile_plan(plan).bytes_moved
    paths = report["paths"]
    assert len(paths) > 1
    assert [path["path"] for path in paths] == report["order"]
    ordered = sorted(paths, key=lambda path: path["path"])
    assert [path["rows"][0] for path in ordered[1:]] == [path["rows"][1] for path in ordered[:-1]]
    assert ordered[-1]["rows"][1] == ordered[0]["rows_of"]
    for path in paths:
        assert path["finished_ms"] < report["predicted_ms"]
        if path["server"] is not None and path["layers_before_cut"]:
            assert path["computed_ms"] < path["received_ms"] < path["finished_ms"]
    assert 0 < sum(path["sent_bytes"] for path in paths) <= report["bytes_moved"]
    instead = {row["planner"]: row["predicted_ms"] for row in report["instead"]}
    assert tuple(instead) == NFL
    assert report["lower_bound_ms"] <= report["predicted_ms"] <= SLACK * min(instead.values())
    assert report["sweep"] is None
    assert (tmp_path / report["picture"]).read_bytes().startswith(b"\x89PNG")


def test_a_table_for_people(swath, place, tmp_path):
    done = swath("offload", MODEL, "--cluster", place(), "--paths", 2, "-o", "gantt.html")
    assert done.status == 0, done
    for words in ("weak computes up to", "order of paths", "no plan takes less than", "gantt.html",
                  "times as long", *NFL):  # fmt: skip
        assert words in done.stdout
    assert "<html" in (tmp_path / "gantt.html").read_text()


def test_a_camera_sends_all_and_says_why_nothing_stays(swath, place):
    report = swath(
        "offload", MODEL, "--cluster", place(weak="compute: false", servers=2), "--json"
    ).json
    assert {path["layers_before_cut"] for path in report["paths"]} == {0}
    (local,) = (row for row in report["instead"] if row["planner"] == "nfl-local")
    assert "computes nothing" in local["reason"]


@pytest.mark.slow
def test_a_sweep_over_the_uplink(swath, place, tmp_path):
    done = swath("offload", MODEL, "--cluster", place(), "--sweep", "bandwidth=1:512:4", "--json",
                 "--picture", "curves.svg", "--table", "curves.csv")  # fmt: skip
    assert done.status == 0, done
    sweep = done.json["sweep"]
    points = sweep["points"]
    assert [point["uplink_mbit"] for point in points] == pytest.approx([1, 8, 64, 512])
    found = {
        name: [row["predicted_ms"] for point in points for row in point["rows"]
               if row["planner"] == name]
        for name in ("psomw", *NFL)
    }  # fmt: skip
    assert len(set(found["nfl-local"])) == 1
    assert found["nfl-remote"] == sorted(found["nfl-remote"], reverse=True)
    for ours, *others in zip(*found.values(), strict=True):
        assert ours <= SLACK * min(others)
    ways = [
        {key: row[key] for key in ("block", "order", "rest_on", "paths")}
        for point in points for row in point["rows"] if row["planner"] == "psomw"
    ]  # fmt: skip
    between = [number for number in range(3) if ways[number] != ways[number + 1]]
    assert [change["uplink_mbit"] for change in sweep["changes"]] == pytest.approx(
        [8**number * 8**0.5 for number in between]
    )
    # The rest of the cluster stays as it is: so it is with a file of that rate.
    single = swath("offload", MODEL, "--cluster", place(up="64Mbps"), "--json").json
    assert single["predicted_ms"] == pytest.approx(found["psomw"][2], rel=1e-6)
    text = (tmp_path / "curves.svg").read_text()
    for word in ("uplink, Mbit/s", "lower bound", "psomw", *NFL):
        assert f">{word}<" in text
    with (tmp_path / "curves.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["planner"] for row in table] == ["psomw", *NFL] * 4
    assert [float(row["predicted_ms"]) for row in table] == pytest.approx(
        [row["predicted_ms"] for point in points for row in point["rows"]]
    )


def test_a_sweep_for_people(swath, place, tmp_path):
    done = swath("offload", MODEL, "--cluster", place(), "--planner", "nfl-bestcut", "--sweep",
                 "bandwidth=0.1:0.4:3")  # fmt: skip
    assert done.status == 0, done
    assert "0.2 Mbit/s" in done.stdout
    assert "as above" in done.stdout
    for suffix in ("png", "csv"):
        name = f"offload-tiny_yolov2-96x96-nfl-bestcut-uplink.{suffix}"
        assert (tmp_path / "swath-out" / name).stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--paths", "99"], "99 paths need as many rows"),
        (["--planner", "nfl-local", "--paths", "2"], "has no option 'paths'"),
        (["--planner", "even"], "psomw"),
        (["--planner", "offload-brute-force", "--option", "limit=10"], "its limit of 10"),
        (["-o", "plan.json"], "a Gantt picture is .png, .svg or .html"),
        (["--picture", "sweep.png"], "give --sweep"),
        (["--sweep", "bandwidth=1:9", "--table", "t.xlsx"], "end the name so"),
        (["--sweep", "bandwidth=0:9"], "begin with a rate above 0"),
    ],
)
def test_refused_in_one_line(refusal, place, tmp_path, arguments, said):
    assert said in refusal("offload", MODEL, "--cluster", place(), *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["pair.yaml"]


def test_a_cluster_without_a_server(refusal, place):
    """Also for a planner that needs none."""
    line = refusal("offload", MODEL, "--cluster", place(servers=0), "--planner", "nfl-local")
    assert "there is no server to offload to; add devices that compute" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency=1:9", "write bandwidth=FROM:TO"),
        ("bandwidth", "write bandwidth=FROM:TO"),
        ("bandwidth=5", "that is no range"),
        ("bandwidth=1:2:3:4", "that is no range"),
        ("bandwidth=1:fast", "these are no numbers"),
        ("bandwidth=1:9:2.5", "these are no numbers"),
        ("bandwidth=-1:9", "begin with a rate above 0"),
        ("bandwidth=nan:9", "begin with a rate above 0"),
        ("bandwidth=9:1", "must be above the first"),
        ("bandwidth=1:inf", "must be above the first"),
        ("bandwidth=1:9:1", "take 2 to"),
    ],
)
def test_a_sweep_that_is_none(text, said):
    with pytest.raises(InputError, match=said) as error:
        parse_sweep(text)
    assert "\n" not in str(error.value)


def test_the_rates_of_a_sweep():
    assert parse_sweep("bandwidth=0.5:50:3") == pytest.approx([62.5e3, 625e3, 6.25e6])
    assert len(parse_sweep("bandwidth=1:1000")) == 13


def test_an_uplink_of_zero(refusal, place):
    line = refusal("offload", MODEL, "--cluster", place(up="0Mbps"))
    assert line.startswith("pair.yaml: links.weak s0.up: ")

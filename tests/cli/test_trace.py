"""`swath run --trace`: what is recorded lies in the file that was asked for."""

from __future__ import annotations

import pytest

from swath.plan.program import COORDINATOR
from swath.trace.chrome import read_chrome

SMALL = "zoo:squeezenet@64x64"


def test_a_file_for_perfetto_holds_every_request(swath, tmp_path):
    report = swath("run", SMALL, "--planner", "even", "--repeat", 1, "--trace", "t.json",
                   "--json").json  # fmt: skip
    assert report["trace"] == "t.json"
    predicted, measured = read_chrome(tmp_path / "t.json")
    assert (predicted.origin, measured.origin) == ("predicted", "measured")
    assert {span.request for span in predicted.spans} == {0}
    assert {span.request for span in measured.spans} == {0, 1, 2}
    for trace in (predicted, measured):
        assert trace.devices == (COORDINATOR, *report["devices"])
        tiles = [span for span in trace.spans if span.lane == "compute"]
        assert len({span.name for span in tiles}) == report["stages"]


@pytest.mark.parametrize("name", ["t.svg", "t.HTML"])
def test_a_picture(swath, tmp_path, name):
    outcome = swath("run", SMALL, "--repeat", 1, "--local", 1, "--trace", name)
    assert outcome.status == 0
    assert name in outcome.stdout
    text = (tmp_path / name).read_text()
    assert SMALL in text
    assert "1 device · " in text


def test_without_it_the_key_is_there(swath):
    assert swath("run", SMALL, "--repeat", 1, "--local", 1, "--json").json["trace"] is None


@pytest.mark.parametrize(
    ("name", "reason"), [("t.txt", ".json (opens in Perfetto)"), ("no/t.json", "no folder 'no'")]
)
def test_another_name_is_refused_before_any_work(refusal, name, reason):
    # The model's name is wrong too, which would come to light with the first work.
    assert reason in refusal("run", "zoo:no-such-model", "--trace", name)

"""`swath run --channel-aware`: what it prints, and what it refuses."""

from __future__ import annotations

import pytest

MODEL = "zoo:squeezenet@64x64"


def test_a_run_says_which_plan_each_request_took(swath):
    outcome = swath("run", MODEL, "--local", 2, "--planner", "neurosurgeon",
                    "--channel-aware", "--repeat", 3, "--json")  # fmt: skip
    assert outcome.status == 0, outcome
    report = outcome.json
    channel = report["channel"]
    assert channel["bands"][0]["from_mbit"] == 0
    assert channel["bands"][-1]["to_mbit"] is None
    for band in channel["bands"]:
        assert band["predicted_ms"] > 0
        assert band["devices"]
        assert band["stages"] > 0
        assert band["planner"] == "neurosurgeon"
    assert [each["requests"] for each in channel["taken"]] == [1, 1, 1]
    for each in channel["taken"]:
        assert 0 <= each["band"] < len(channel["bands"])
        assert each["uplink_mbit"] > 1
    assert 0 <= channel["changes"] <= 2
    assert 0 < channel["choosing_ms"] < 1000
    assert report["within_tolerance"]
    assert report["predicted_ms"] > 0


def test_a_stream_of_one_plan_is_said_in_words(swath):
    outcome = swath("run", MODEL, "--planner", "modnn", "--channel-aware", "--repeat", 2,
                    "--stream", 2)  # fmt: skip
    assert outcome.status == 0, outcome
    # Two one by one, and a batch of six.
    for words in (
        "uplink",
        "Mbit/s",
        "1, by what the uplink carries; changed never",
        "at any rate",
        "8 requests: ",
    ):
        assert words in outcome.stdout


def test_without_it_its_key_is_there_all_the_same(swath):
    report = swath("run", MODEL, "--local", 1, "--repeat", 1, "--json").json
    assert report["channel"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--plan", "plan.json"], "--plan plan.json is to be kept; leave one of them away"),
        (["--channel", "rayleigh(snr=10dB)"], "leave one of them away"),
        (["--local", 1], "one device computes; give two or more"),
        (["--planner", "evn"], "did you mean 'even'?"),
        (["--planner", "neurosurgeon", "--deadline", "0.001"], "deadline of 0.001 ms is not met"),
    ],
)
def test_what_contradicts_it_is_refused(refusal, options, said):
    assert said in refusal("run", MODEL, "--channel-aware", *options)

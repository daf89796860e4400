"""Turns by weights: shares as the weights are, never further off than a tile, nothing saved up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swath.plan.turns import QUANTUM, Turns

weights = st.floats(1e-3, 1e3)
costs = st.floats(1e-6, 1.0)


def served(turns: Turns[str], ready: dict[str, float], cost: dict[str, float], times: int):
    """Seconds that each has computed."""
    seconds = dict.fromkeys(ready, 0.0)
    for _ in range(times):
        key = turns.choose(ready)
        turns.pay(key, cost[key])
        seconds[key] += cost[key]
    return seconds


def test_one_flow_has_every_turn():
    turns: Turns[str] = Turns()
    assert served(turns, {"a": 0.5}, {"a": 0.1}, 3) == {"a": 0.1 + 0.1 + 0.1}


def test_three_to_one():
    turns: Turns[str] = Turns()
    order = []
    for _ in range(12):
        order.append(turns.choose({"a": 3.0, "b": 1.0}))
        turns.pay(order[-1], 1.0)
    assert order.count("a") == 9
    assert "bb" not in "".join(order)


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(weights, costs), min_size=2))
def test_shares_are_as_the_weights_are(flows):
    ready = {key: weight for key, (weight, _) in flows.items()}
    cost = {key: seconds for key, (_, seconds) in flows.items()}
    found = served(Turns(), ready, cost, 300)
    # No flow is ahead of another by more than a tile and a round.
    for one, seconds in found.items():
        for other, others in found.items():
            ahead = seconds / ready[one] - others / ready[other]
            assert ahead <= 1.001 * (cost[one] / ready[one] + QUANTUM) + 1e-6


def test_who_could_not_go_on_has_saved_nothing_up():
    turns: Turns[str] = Turns()
    served(turns, {"a": 1.0, "b": 1.0}, {"a": 0.01, "b": 0.01}, 10)
    served(turns, {"a": 1.0}, {"a": 0.01}, 1000)
    found = served(turns, {"a": 1.0, "b": 1.0}, {"a": 0.01, "b": 0.01}, 100)
    assert abs(found["a"] - found["b"]) <= 0.021


def test_who_had_too_much_pays_it_back_meanwhile():
    def first_turns(pause: int) -> int:
        """How many turns b has before a has one again, which computed for a second."""
        turns: Turns[str] = Turns()
        assert turns.choose({"a": 1.0, "b": 1.0}) == "a"
        turns.pay("a", 1.0)
        served(turns, {"b": 1.0}, {"b": 0.01}, pause)
        count = 0
        while turns.choose({"a": 1.0, "b": 1.0}) == "b":
            turns.pay("b", 0.01)
            count += 1
        return count

    assert 98 <= first_turns(0) <= 102
    assert 48 <= first_turns(50) <= 52
    assert first_turns(200) <= 1

"""Two claim one name: the elder has it, in whatever order they are seen."""

from __future__ import annotations

from itertools import permutations

import pytest

from swath.fabric.fabric import Change, Member
from swath.fabric.membership import Membership

ME = Member("me", "coordinator", 1)
ELDER, YOUNGER = Member("b", "worker", 1), Member("b", "worker", 2)


def test_the_elder_is_kept():
    seen = Membership(ME, "5")
    assert seen.apply(ELDER, "1", True) == [Change(ELDER, True)]
    assert seen.apply(YOUNGER, "2", True) == []
    assert not seen.is_elder("b", "2")
    assert seen.find("b") == (ELDER, "1")
    assert seen.apply(YOUNGER, "2", False) == []
    assert seen.members() == (ELDER, ME)


def test_an_elder_that_is_seen_late_takes_the_place():
    seen = Membership(ME, "5")
    seen.apply(YOUNGER, "2", True)
    assert seen.apply(ELDER, "1", True) == [Change(YOUNGER, False), Change(ELDER, True)]


def test_a_successor_that_is_seen_before_the_elder_goes():
    seen = Membership(ME, "5")
    seen.apply(ELDER, "1", True)
    seen.apply(YOUNGER, "2", True)
    assert seen.apply(ELDER, "1", False) == [Change(ELDER, False), Change(YOUNGER, True)]


@pytest.mark.parametrize(("identity", "is_taken"), [("4", True), ("6", False)])
def test_whoever_sees_an_elder_of_its_own_name_has_to_leave(identity, is_taken):
    seen = Membership(ME, "5")
    assert seen.apply(ME, identity, True) == []
    assert seen.is_taken is is_taken


def test_seeing_oneself_come_or_go_means_nothing():
    seen = Membership(ME, "5")
    assert seen.apply(ME, "5", True) == seen.apply(ME, "5", False) == []
    assert seen.members() == (ME,)


def test_who_was_never_seen_may_go():
    assert Membership(ME, "5").apply(ELDER, "1", False) == []


def test_every_order_ends_alike():
    for order in permutations(["1", "2", "3"]):
        seen = Membership(ME, "5")
        for identity in order:
            seen.apply(ELDER, identity, True)
        assert seen.find("b") == (ELDER, "1")

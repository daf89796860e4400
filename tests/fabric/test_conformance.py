"""What every fabric keeps: members, questions, data."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from swath.errors import FabricError, WorkerError
from swath.fabric.fabric import MAX_QUESTION_BYTES, PROTOCOL_VERSION, Arrival, Change, Member
from swath.fabric.frame import Frame, Kind, Turn
from tests.fabric.conftest import Members

VERSION = "0" * 32
PATIENCE = 5.0


def data(number: int, nbytes: int, request: int = 1) -> Frame:
    return Frame(Kind.DATA, number, request, VERSION, nbytes)


def expect(fabric, wanted, timeout=PATIENCE):
    """The next event of a kind (a class, or an attribute that it has); others are skipped."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        event = fabric.receive(deadline - time.monotonic())
        is_wanted = hasattr(event, wanted) if isinstance(wanted, str) else isinstance(event, wanted)
        if is_wanted:
            return event
    raise AssertionError(f"no {wanted} came")


def expect_change(fabric, name, came):
    while True:
        change = expect(fabric, Change)
        if (change.member.name, change.came) == (name, came):
            return change


def pair(members: Members, **options):
    """Two members that see each other and can send to each other."""
    a, b = members.join("a", "coordinator"), members.join("b", **options)
    expect_change(a, "b", True)
    expect_change(b, "a", True)
    members.reach(a, b)
    members.reach(b, a)
    return a, b


# Members


def test_members_come_and_go(members):
    a = members.join("a", "coordinator")
    b = members.join("b")
    assert expect_change(a, "b", True).member == Member("b", "worker", PROTOCOL_VERSION)
    assert expect_change(b, "a", True).member.role == "coordinator"
    assert [member.name for member in a.members()] == ["a", "b"]
    b.close()
    expect_change(a, "b", False)
    assert [member.name for member in a.members()] == ["a"]
    again = members.join("b")
    expect_change(a, "b", True)
    members.reach(a, again)
    a.send("b", data(1, 2), [b"hi"])
    assert bytes(expect(again, Arrival).payload) == b"hi"


def test_who_goes_and_comes_back_unseen_can_be_reached_again(members, eventually):
    a, b = pair(members)
    b.close()
    eventually(lambda: len(a.members()) == 1)
    again = members.join("b")
    eventually(lambda: len(a.members()) == 2)
    members.reach(a, again)
    expect_change(a, "b", False)
    expect_change(a, "b", True)
    if len(again.address.places) == 0:
        members.reach(a, again)  # In one process a member that has gone is forgotten by name.
    a.send("b", data(1, 2), [b"hi"])
    assert bytes(expect(again, Arrival).payload) == b"hi"


def test_a_taken_name_is_refused_and_the_elder_stays(members, eventually):
    a, b = pair(members)
    with pytest.raises(FabricError, match="the name 'b' is taken in this cluster; choose another"):
        expect(members.join("b"), "never")
    answer = a.ask("b", "which")
    expect(b, "verb").answer(b"the elder")
    assert answer.result() == b"the elder"
    members.close()


def test_a_taken_name_of_a_direct_neighbour_is_refused_at_once(members):
    members.join("a", "coordinator")
    with pytest.raises(FabricError, match="taken"):
        members.join("a")


@pytest.mark.parametrize("name", ["", "a/b", "a*", "a b", "x" * 129, "été"])
def test_names_that_cannot_be_addressed_are_refused(members, name):
    with pytest.raises(FabricError, match="cannot be used"):
        members.join(name)


# Questions


def test_ask_and_answer(members):
    a, b = pair(members)
    answer = a.ask("b", "double", b"\0xyz")
    question = expect(b, "verb")
    assert (question.verb, question.payload) == ("double", b"\0xyz")
    question.answer(question.payload * 2)
    assert answer.result() == b"\0xyz\0xyz"


def test_an_empty_question_gets_an_empty_answer(members):
    a, b = pair(members)
    answer = a.ask("b", "ping")
    expect(b, "verb").answer()
    assert answer.result() == b""


def test_a_refusal_names_the_worker_and_the_reason(members):
    a, b = pair(members)
    answer = a.ask("b", "fly")
    expect(b, "verb").refuse("no wings")
    with pytest.raises(WorkerError, match=r"^worker 'b': no wings$"):
        answer.result()


def test_a_megabyte_travels_as_question_and_answer(members):
    a, b = pair(members)
    content = bytes(range(256)) * 4096
    answers = [a.ask("b", "echo", content) for _ in range(4)]
    for _ in answers:
        question = expect(b, "verb")
        question.answer(question.payload)
    assert all(answer.result() == content for answer in answers)


def test_who_does_not_answer_in_time(members):
    a, b = pair(members)
    answer = a.ask("b", "ponder", timeout=0.2)
    with pytest.raises(FabricError, match="'b' does not answer"):
        answer.result()
    expect(b, "verb").answer(b"too late")


def test_who_goes_without_an_answer_is_noticed_at_once(members):
    a, b = pair(members)
    answer = a.ask("b", "ponder", timeout=60.0)
    expect(b, "verb")
    start = time.monotonic()
    b.close()
    with pytest.raises(FabricError, match="'b' does not answer"):
        answer.result()
    assert time.monotonic() - start < 10.0


def test_an_answer_to_one_who_has_gone_harms_nobody(members):
    a, b = pair(members)
    a.ask("b", "ponder")
    question = expect(b, "verb")
    a.close()
    expect_change(b, "a", False)
    question.answer(b"to nobody")


def test_nobody_of_that_name(members):
    a = members.join("a")
    with pytest.raises(FabricError, match="'nobody' is not there"):
        a.ask("nobody", "hello")


def test_a_question_that_is_too_large_is_refused_here(members):
    a, _ = pair(members)
    with pytest.raises(FabricError, match="64 MiB is the most"):
        a.ask("b", "store", bytes(MAX_QUESTION_BYTES + 1))


def test_another_protocol_version_is_refused_in_one_line(members):
    a, _ = pair(members, version=PROTOCOL_VERSION + 1)
    with pytest.raises(FabricError) as refusal:
        a.ask("b", "hello")
    assert str(refusal.value) == (
        "'b' speaks protocol 2, 'a' speaks 1; install the same version of swath on both"
    )


# Data


def test_data_keeps_its_order(members):
    a, b = pair(members)
    for number in range(200):
        text = b"%d" % number
        a.send("b", data(number, 2 * len(text)), [text, memoryview(text)])
    for number in range(200):
        arrival = expect(b, Arrival)
        assert arrival.frame.number == number
        assert bytes(arrival.payload) == b"%d" % number * 2


def test_frames_arrive_as_they_were_sent(members):
    a, b = pair(members)
    turns = (Turn(), Turn(255, 0.25), Turn(1, 1024.0))
    for kind, turn in itertools.product(Kind, turns):
        frame = Frame(kind, 2**32 - 1, 2**64 - 1, "0123456789abcdef" * 2, 0, turn)
        a.send("b", frame)
        arrival = expect(b, Arrival)
        assert arrival.frame == frame
        assert len(arrival.payload) == 0


def test_a_message_of_very_many_parts(members):
    a, b = pair(members)
    parts = [bytes([index % 256]) * (index % 3) for index in range(5000)]
    content = b"".join(parts)
    a.send("b", data(1, len(content)), parts)
    assert bytes(expect(b, Arrival).payload) == content


def test_large_messages_both_ways_at_the_same_time(members):
    a, b = pair(members)
    nbytes = 30 << 20
    contents = {fabric.name: bytes([index]) * nbytes for index, fabric in enumerate((a, b), 1)}
    received = {}

    def exchange(fabric, other):
        fabric.send(other, data(7, nbytes), [contents[fabric.name]])
        received[fabric.name] = bytes(expect(fabric, Arrival, 20.0).payload)

    threads = [threading.Thread(target=exchange, args=args) for args in ((a, "b"), (b, "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert received == {"a": contents["b"], "b": contents["a"]}


def test_what_waits_to_leave_is_a_copy_and_keeps_its_order(members):
    a, b = pair(members)
    memory = bytearray(4 << 20)
    for number in range(8):
        memory[:] = bytes([number]) * len(memory)
        a.send("b", data(number, len(memory)), [memory])
    for number in range(8):
        arrival = expect(b, Arrival)
        assert arrival.frame.number == number
        assert bytes(arrival.payload) == bytes([number]) * len(memory)


def test_a_message_lands_where_it_is_wanted(members):
    memory = bytearray(8)
    b = members.join("b", land=lambda frame: memoryview(memory) if frame.nbytes == 8 else None)
    a = members.join("a")
    members.reach(a, b)
    a.send("b", data(1, 8), [b"12345678"])
    a.send("b", data(2, 3), [b"abc"])
    first, second = expect(b, Arrival), expect(b, Arrival)
    assert bytes(memory) == b"12345678" == bytes(first.payload)
    assert bytes(second.payload) == b"abc"


def test_a_message_that_nobody_waits_for_harms_no_other_member(members, eventually):
    def land(frame):
        if frame.number == 13:
            raise ValueError("nobody waits for this")

    b, a, c = members.join("b", land=land), members.join("a"), members.join("c")
    for sender in (a, c):
        members.reach(sender, b)
    a.send("b", data(13, 100), [bytes(100)])
    for number in range(3):
        c.send("b", data(number, 1), [b"c"])
        assert expect(b, Arrival).frame.number == number
    eventually(lambda: [member.name for member in b.members()] == ["a", "b", "c"])


def test_who_was_not_reached_cannot_be_sent_to(members):
    a = members.join("a")
    members.join("b")
    with pytest.raises(FabricError, match="'b' was not reached yet, or has gone"):
        a.send("b", data(1, 0))


def test_who_has_gone_cannot_be_sent_to(members):
    a, b = pair(members)
    b.close()
    expect_change(a, "b", False)
    with pytest.raises(FabricError, match="'b' was not reached yet, or has gone"):
        a.send("b", data(1, 0))


# Waiting


def test_receive_waits_no_longer_than_told(members):
    a = members.join("a")
    start = time.monotonic()
    assert a.receive(0.0) is None
    assert a.receive(0.1) is None
    assert time.monotonic() - start < 3.0


def test_wake_from_another_thread(members):
    a = members.join("a")
    timer = threading.Timer(0.1, a.wake)
    timer.start()
    assert a.receive(None) is None
    timer.join()


def test_no_wake_up_is_lost_between_two_receives(members):
    a = members.join("a")
    for _ in range(100):
        a.wake()
        assert a.receive(None) is None


def test_no_event_is_lost_under_many_wake_ups(members):
    a, b = pair(members)
    answers = []

    def ask():
        for _ in range(50):
            answers.append(a.ask("b", "ping"))
            b.wake()

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(50):
        expect(b, "verb").answer(b"pong")
    thread.join()
    assert [answer.result() for answer in answers] == [b"pong"] * 50


# Leaving


def test_leaving_twice_and_what_may_be_called_afterwards(members):
    a, b = pair(members)
    a.send("b", data(1, 1), [b"x"])
    a.close()
    a.close()
    a.wake()
    with pytest.raises(FabricError, match="has left"):
        a.receive(0.0)
    with pytest.raises(FabricError):
        a.send("b", data(1, 0))
    with pytest.raises(FabricError):
        a.ask("b", "hello").result()
    expect_change(b, "a", False)


def test_leaving_drops_what_a_frozen_receiver_does_not_take(members):
    a, b = pair(members)
    for number in range(4):
        a.send("b", data(number, 20 << 20), [bytes(20 << 20)])
    start = time.monotonic()
    a.close()
    assert time.monotonic() - start < 5.0
    b.close()

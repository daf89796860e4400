"""Memory that two members share: what goes in comes out, in order, and never more than fits."""

from __future__ import annotations

import mmap
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.fabric.ring import RingReader, RingWriter


@pytest.fixture
def ends():
    """A writer of 4 KB and its reader."""
    writer = RingWriter(4096)
    reader = RingReader(os.dup(writer.fd))
    yield writer, reader
    writer.close()
    reader.close()


def taken(reader: RingReader, place: int, nbytes: int) -> bytes:
    target = bytearray(nbytes)
    reader.take(place, memoryview(target))
    return bytes(target)


def test_parts_come_out_as_one(ends):
    writer, reader = ends
    place = writer.put([b"ab", bytearray(b"cd"), memoryview(b"ef")], 6)
    assert taken(reader, place, 6) == b"abcdef"


def test_a_full_ring_takes_nothing_until_something_is_taken_out(ends):
    writer, reader = ends
    first, second = (writer.put([bytes([n]) * 2000], 2000) for n in (1, 2))
    assert writer.put([bytes(2000)], 2000) == 0
    assert taken(reader, first, 2000) == b"\1" * 2000
    third = writer.put([b"\3" * 1000], 1000)
    assert third
    assert taken(reader, second, 2000) == b"\2" * 2000
    assert taken(reader, third, 1000) == b"\3" * 1000


def test_an_empty_ring_starts_again_where_the_memory_is_warm(ends):
    writer, reader = ends
    for number in range(5):
        place = writer.put([bytes([number]) * 100], 100)
        assert place == 1
        assert taken(reader, place, 100) == bytes([number]) * 100


def test_what_never_fits_is_refused(ends):
    writer, _ = ends
    assert writer.put([bytes(5000)], 5000) == 0
    assert writer.put([], 0) == 0


@settings(max_examples=60)
@given(st.lists(st.one_of(st.integers(1, 3000), st.none()), max_size=60))
def test_whatever_the_sizes_the_order_is_kept(steps):
    """A number is a message of so many bytes; None takes the oldest out."""
    writer = RingWriter(4096)
    reader = RingReader(os.dup(writer.fd))
    waiting: list[tuple[int, bytes]] = []
    try:
        for number, nbytes in enumerate(steps):
            if nbytes is not None:
                content = bytes([number % 251]) * nbytes
                place = writer.put([content], nbytes)
                if place:
                    waiting.append((place, content))
            elif waiting:
                place, content = waiting.pop(0)
                assert taken(reader, place, len(content)) == content
        for place, content in waiting:
            assert taken(reader, place, len(content)) == content
    finally:
        writer.close()
        reader.close()


def test_a_message_outside_of_the_ring_is_refused(ends):
    _, reader = ends
    with pytest.raises(ValueError, match="outside"):
        taken(reader, 1000, 100)


def test_memory_that_could_be_cut_short_is_refused():
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(loose, mmap.PAGESIZE)
    with pytest.raises(ValueError, match="not sealed"):
        RingReader(loose)
    read_end, write_end = os.pipe()
    os.close(write_end)
    with pytest.raises(ValueError, match="not a ring"):
        RingReader(read_end)

"""Weights and tile models on their way: only what was asked for, each byte once."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from swath.graph.weights import WeightSlice
from swath.ops import Region
from swath.plan.compile import compile_plan
from swath.plan.program import Compute
from swath.plan.transport import weight_to_json
from swath.runtime.blobs import BlobStore, Wanted, chunks
from tests.plan.plans import chain_graph, two_devices

GRAPH = chain_graph()
PROGRAMS = compile_plan(two_devices(GRAPH))
PROGRAM = PROGRAMS.by_device["a"]


def content_of(weight: WeightSlice) -> memoryview:
    part = np.ascontiguousarray(GRAPH.weights[weight.digest][weight.region.slices()])
    return part.reshape(-1).view(np.uint8).data


def all_chunks(wanted: Wanted, nbytes: int = 100) -> list[bytes]:
    found = []
    for digest in wanted.models:
        found += chunks({"model": digest}, memoryview(PROGRAMS.models[digest]), nbytes)
    for weight in wanted.weights:
        found += chunks({"weight": weight_to_json(weight)}, content_of(weight), nbytes)
    return found


def assert_complete(store: BlobStore) -> None:
    assert store.lacks("one") == ()
    for step in PROGRAM.steps:
        if isinstance(step, Compute):
            assert store.models[step.model] == PROGRAMS.models[step.model]
            for weight in step.weights.values():
                held = store.weights.get(weight)
                np.testing.assert_array_equal(
                    held, GRAPH.weights[weight.digest][weight.region.slices()]
                )


def test_what_is_missing_is_asked_for_and_kept():
    store = BlobStore()
    wanted = store.want("one", PROGRAM)
    assert len(wanted.weights) == 3
    assert Wanted.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted
    for chunk in all_chunks(wanted):
        assert store.lacks("one")
        store.take(chunk)
    assert_complete(store)
    assert store.want("two", PROGRAM) == Wanted((), ())
    assert store.weights.nbytes == sum(weight.nbytes for weight in wanted.weights)


def test_two_may_ask_for_the_same_and_send_it_at_the_same_time():
    store = BlobStore()
    sent = [all_chunks(store.want(owner, PROGRAM)) for owner in ("one", "two")]
    assert sent[0] == sent[1]
    for index, chunk in enumerate(sent[0]):
        store.take(chunk)
        if index % 3 == 0:
            store.take(sent[1][index // 2])
    for chunk in sent[1]:
        store.take(chunk)
    assert_complete(store)
    assert store.lacks("two") == ()


def test_a_blob_that_nobody_asked_for_is_refused():
    store = BlobStore()
    with pytest.raises(ValueError, match="nobody asked for"):
        store.take(next(iter(chunks({"model": "abc"}, memoryview(b"xyz"), 100))))
    chunk = all_chunks(store.want("one", PROGRAM))[0]
    store.forget("one")
    with pytest.raises(ValueError, match="nobody asked for"):
        store.take(chunk)


def head(**fields):
    text = json.dumps(fields).encode()
    return struct.pack("<I", len(text)) + text


WEIGHT = BlobStore().want("one", PROGRAM).weights[0]
AS_JSON = weight_to_json(WEIGHT)


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (b"", "broken chunk"),
        (b"\x05\x00", "broken chunk"),
        (b"\xff\xff\xff\xff{}", "broken chunk"),
        (struct.pack("<I", 2) + b"[]", "broken chunk"),
        (head(weight=AS_JSON), "broken chunk"),
        (head(weight=[1, 2], offset=0, total=1), "broken chunk"),
        (head(weight=AS_JSON, offset=0, total=WEIGHT.nbytes + 1) + b"x", "bytes, not"),
        (head(weight=AS_JSON, offset=0, total=4) + b"1234", "bytes, not"),
        (head(weight=AS_JSON, offset=-1, total=WEIGHT.nbytes) + b"x", "outside"),
        (head(weight=AS_JSON, offset=WEIGHT.nbytes, total=WEIGHT.nbytes) + b"x", "outside"),
        (head(weight=AS_JSON, offset=0, total=WEIGHT.nbytes) + bytes(WEIGHT.nbytes + 1), "outside"),
        (head(weight=AS_JSON, offset=100, total=WEIGHT.nbytes) + b"x", "does not fit"),
    ],
)
def test_broken_chunks_are_refused_and_the_right_ones_still_taken(chunk, reason):
    store = BlobStore()
    wanted = store.want("one", PROGRAM)
    with pytest.raises(ValueError, match=reason):
        store.take(chunk)
    for right in all_chunks(wanted):
        store.take(right)
    assert_complete(store)


def test_a_truncated_chunk_leaves_a_gap_that_is_noticed():
    store = BlobStore()
    first, second, *_ = all_chunks(store.want("one", PROGRAM))
    store.take(first[:-10])
    with pytest.raises(ValueError, match="does not fit"):
        store.take(second)
    assert store.lacks("one")


def test_a_model_of_absurd_size_is_refused_before_memory_is_taken():
    store = BlobStore()
    digest = store.want("one", PROGRAM).models[0]
    with pytest.raises(ValueError, match="too large"):
        store.take(head(model=digest, offset=0, total=1 << 40) + b"x")


def test_what_no_program_needs_can_be_dropped():
    store = BlobStore()
    for chunk in all_chunks(store.want("one", PROGRAM)):
        store.take(chunk)
    store.keep_only([PROGRAM])
    assert_complete(store)
    store.keep_only([])
    assert store.weights.nbytes == 0
    assert store.models == {}
    assert len(store.want("two", PROGRAM).weights) == 3


def test_only_the_missing_part_of_a_constant_is_asked_for():
    store = BlobStore()
    digest, whole = WEIGHT.digest, WEIGHT.region
    upper = whole.replace(0, (0, 2))
    store.weights.put(digest, upper, GRAPH.weights[digest][upper.slices()])
    asked = [w.region for w in store.want("one", PROGRAM).weights if w.digest == digest]
    assert asked == [whole.replace(0, (2, 4))]
    for chunk in all_chunks(store.want("one", PROGRAM)):
        store.take(chunk)
    assert_complete(store)


def test_an_empty_constant():
    content = list(chunks({"model": "m"}, memoryview(b""), 100))
    assert len(content) == 1
    assert Region.whole((0, 2)).size == 0

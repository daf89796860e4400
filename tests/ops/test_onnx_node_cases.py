"""Every operator case that comes with ONNX and that ONNX Runtime runs, split along every axis.

Cases that feed shapes, axes and other parameters at run time are run a second time with these as
constants, because only then rules can look at them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.backend.test.loader import load_model_tests

from swath.errors import ModelError
from swath.graph.prepare import prepare, runtime_limits
from swath.ops import RANDOM_OPERATORS
from tests.splitting import SplitCount, check_split, session, with_constants

pytestmark = pytest.mark.xdist_group("onnx cases")
"""Loading them takes longer than most groups: once is enough."""

LEAST_SPLIT = {
    "node a-b": 194, "node c": 84, "node d-f": 61, "node g-l": 218, "node m-q": 107,
    "node ra-re": 127, "node rf-sk": 31, "node sl-z": 125,
    "pytorch-converted": 75, "pytorch-operator": 30, "simple": 7,
}  # fmt: skip
"""How many cases of each group are really split: a rule that falls back to whole shows here."""

SLOW = ("node a-b", "node g-l")
"""They take longer than all others together."""

GROUPS = [pytest.param(g, marks=pytest.mark.slow) if g in SLOW else g for g in LEAST_SPLIT]


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    yield counted
    print(f"\nONNX operator cases: {dict(sorted(counted.items()))}")


@pytest.mark.parametrize("group", GROUPS)
def test_cases_split_as_they_run_whole(group: str, tally: Counter[str]) -> None:
    found: Counter[str] = Counter()
    wrong = []
    for case in _cases(group):
        kind = _kind_of(case)
        if kind is None:
            try:
                kind = _check(case)
            except Exception as error:
                wrong.append(f"{case.name}: {type(error).__name__}: {str(error)[:300]}")
                continue
        found[kind] += 1
    print(f"\n{group}: {dict(sorted(found.items()))}")
    tally.update(found)
    assert not wrong, "\n".join(wrong)
    assert found["split"] >= LEAST_SPLIT[group]


def _kind_of(case: Case) -> str | None:
    """Why a case says nothing about splitting; None for one that does."""
    model, feeds = _model_and_feeds(case)
    if model is None:
        return "not an inference"
    if any(node.op_type in RANDOM_OPERATORS for node in model.graph.node):
        return "random"
    try:
        session(model.SerializeToString()).run(None, feeds)
    except Exception:
        return "not run by ONNX Runtime"
    return None


def _check(case: Case) -> str:
    model, feeds = _model_and_feeds(case)
    assert model is not None
    count = check_split(model, feeds)
    parameters = {
        name: array
        for name, array in list(feeds.items())[1:]
        if isinstance(array, np.ndarray) and (array.ndim < 2 or array.size <= 16)
    }
    if parameters:
        fixed = with_constants(model, parameters)
        others = {name: value for name, value in feeds.items() if name not in parameters}
        if _runs(fixed, others):
            count += check_split(fixed, others)
    return _verdict(count)


def _verdict(count: SplitCount) -> str:
    return "split" if count.split else "whole"


def _runs(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> bool:
    try:
        session(model.SerializeToString()).run(None, feeds)
    except Exception:
        return False
    return True


def _cases(group: str) -> list[Case]:
    kind, _, letters = group.partition(" ")
    if not letters:
        return _all_cases(kind)
    first, last = letters.split("-") if "-" in letters else (letters, letters)
    names = (case.name.removeprefix("test_").lower() for case in _all_cases(kind))
    return [
        case
        for name, case in zip(names, _all_cases(kind), strict=True)
        if first <= name[: len(first)] and name[: len(last)] <= last
    ]


@cache
def _all_cases(kind: str) -> list[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sorted(load_model_tests(kind=kind), key=lambda case: str(case.name))


def _model_and_feeds(case: Case) -> tuple[onnx.ModelProto | None, dict[str, Any]]:
    if case.model is not None:
        model, arrays = case.model, case.data_sets[0][0]
    else:
        folder = Path(case.model_dir)
        model = onnx.load(folder / "model.onnx")
        files = sorted((folder / "test_data_set_0").glob("input_*.pb"))
        arrays = [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]
    model = _at_known_version(model)
    if model is None or "training" in case.name:
        return None, {}
    given = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in given]
    return model, {
        name: np.asarray(array) if isinstance(array, np.generic) else array
        for name, array in zip(names, arrays, strict=False)
    }


def _at_known_version(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The case at an opset and IR version that ONNX Runtime takes, where that changes nothing."""
    opset, ir_version = runtime_limits()
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.ir_version = min(model.ir_version, ir_version)
    default = next((entry for entry in model.opset_import if entry.domain == ""), None)
    if default is None:
        model.opset_import.add(domain="", version=opset)
    elif default.version < 7:
        try:
            return prepare(model)
        except ModelError:
            return model
    elif default.version > opset and all(
        onnx.defs.get_schema(node.op_type, default.version, "").since_version <= opset
        for node in model.graph.node
        if not node.domain
    ):
        default.version = opset
    return model

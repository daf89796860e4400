"""What is prepared computes the same in plain ONNX Runtime, and is as clean as promised."""

from __future__ import annotations

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from swath.errors import ModelError
from swath.graph.fold import static_shape
from swath.graph.prepare import load, prepare, runtime_limits

NEWEST_OPSET, NEWEST_IR = runtime_limits()
FLOAT = TensorProto.FLOAT


def model(nodes, inputs, outputs, weights=None, opset=17, ir_version=8, domains=("com.microsoft",)):
    """A model from nodes in ONNX's text form; outputs are floats of unknown shape."""
    graph = helper.make_graph(
        [parser.parse_node(node) if isinstance(node, str) else node for node in nodes],
        "test",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def seeded(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def norm_weights(channels, prefix="n"):
    return {
        f"{prefix}s": seeded(channels, seed=1),
        f"{prefix}b": seeded(channels, seed=2),
        f"{prefix}m": seeded(channels, seed=3),
        f"{prefix}v": np.abs(seeded(channels, seed=4)) + 0.3,
    }


def session(proto):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(proto, feeds):
    ready = session(proto)
    names = [value.name for value in ready.get_inputs()]
    return ready.run(None, {name: feeds[name] for name in names if name in feeds})


def difference(reference, other):
    """max|a - b| / max|a|, and infinity where type or shape differ."""
    if isinstance(reference, list):
        return max((difference(a, b) for a, b in zip(reference, other, strict=True)), default=0.0)
    if reference is None or other is None:
        return 0.0 if reference is other else np.inf
    a, b = np.asarray(reference), np.asarray(other)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
        return 0.0
    if a.dtype.kind not in "biuf":
        return np.inf
    return np.abs(a.astype(np.float64) - b).max() / np.abs(a).max()


def agrees(proto, dimensions=None, seed=5):
    """Prepares a model, compares it with the original, and returns what was prepared."""
    before = proto.SerializeToString(deterministic=True)
    prepared = prepare(proto, dimensions)
    assert proto.SerializeToString(deterministic=True) == before
    feeds = {
        value.name: seeded(*static_shape(value.type), seed=seed) for value in prepared.graph.input
    }
    got = run(prepared, feeds)
    assert difference(run(proto, feeds), got) <= 1e-5
    for value, array in zip(prepared.graph.output, got, strict=True):
        assert static_shape(value.type) in (None, np.shape(array))
    names = [node.name for node in prepared.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    return prepared


def operators(proto):
    return [node.op_type for node in proto.graph.node]


NORM = "y = BatchNormalization (t, ns, nb, nm, nv)"
ABSORBED = {
    "conv": (["t = Conv <pads=[1,1,1,1]> (x, w)", NORM], [1, 3, 8, 8], {"w": seeded(6, 3, 3, 3)}),
    "conv with bias": (
        ["t = Conv (x, w, c)", NORM],
        [1, 3, 8, 8],
        {"w": seeded(6, 3, 3, 3), "c": seeded(6)},
    ),
    "grouped conv": (
        ["t = Conv <group=3> (x, w)", NORM],
        [2, 3, 8],
        {"w": seeded(6, 1, 3)},
    ),
    "grouped transposed conv": (
        ["t = ConvTranspose <group=2, strides=[2,2]> (x, w, c)", NORM],
        [1, 4, 5, 6],
        {"w": seeded(4, 3, 3, 2), "c": seeded(6)},
    ),
    "gemm": (
        ["t = Gemm <alpha=0.5, beta=2.0> (x, w, c)", NORM],
        [3, 5],
        {"w": seeded(5, 6), "c": seeded(1, 6)},
    ),
    "transposed gemm, scalar bias": (
        ["t = Gemm <transB=1> (x, w, c)", NORM],
        [3, 5],
        {"w": seeded(6, 5), "c": np.float32(2)},
    ),
    "large conv": (["t = Conv (x, w)", NORM], [1, 64, 4, 4], {"w": seeded(6, 64, 3, 3)}),
    "behind identity": (
        ["u = Conv (x, w)", "t = Identity (u)", NORM],
        [1, 3, 8, 8],
        {"w": seeded(6, 3, 3, 3)},
    ),
}


@pytest.mark.parametrize(
    ("case", "opset"),
    [
        (case, opset)
        for case in ABSORBED
        for opset in (9, 13, 15, 21, NEWEST_OPSET)
        if opset >= 11 or "scalar" not in case  # Gemm of opset 9 wants a bias with dimensions.
    ],
)
def test_batch_norm_is_absorbed(case, opset):
    nodes, shape, weights = ABSORBED[case]
    proto = model(nodes, {"x": shape}, ["y"], weights | norm_weights(6), opset)
    assert len(operators(agrees(proto))) == 1


KEPT = {
    "layer is an output": (["t = Conv (x, w)", NORM], ["y", "t"], {}),
    "layer is read twice": (["t = Conv (x, w)", NORM, "z = Relu (t)"], ["y", "z"], {}),
    "norm in training": (
        ["t = Conv (x, w)", "y, p, q = BatchNormalization <training_mode=1> (t, ns, nb, nm, nv)"],
        ["y"],
        {},
    ),
    "no variance": (
        ["t = Conv (x, w)", "y = BatchNormalization <epsilon=0.0> (t, ns, nb, nm, nv)"],
        ["y"],
        {"nv": np.zeros(6, np.float32), "nm": np.full(6, 1e9, np.float32)},
    ),
    "matrix as bias": (["t = Gemm (f, w, c)", NORM], ["y"], {"c": seeded(3, 6)}),
}


@pytest.mark.parametrize("case", KEPT)
def test_batch_norm_is_kept(case):
    nodes, outputs, weights = KEPT[case]
    gemm = "Gemm" in nodes[0]
    weights = norm_weights(6) | {"w": seeded(5, 6) if gemm else seeded(6, 3, 3, 3)} | weights
    inputs = {"f": [3, 5]} if gemm else {"x": [1, 3, 8, 8]}
    assert "BatchNormalization" in operators(agrees(model(nodes, inputs, outputs, weights)))


@pytest.mark.parametrize("norms", [("n", "n"), ("n", "o")])
def test_batch_norm_after_shared_weights(norms):
    nodes = []
    for i, n in enumerate(norms):
        nodes += [
            f"a{i} = Conv (x{i}, w)",
            f"y{i} = BatchNormalization (a{i}, {n}s, {n}b, {n}m, {n}v)",
        ]
    nodes.append("z = Conv (x0, w)")
    weights = norm_weights(6) | {"w": seeded(6, 3, 3, 3)}
    weights |= {f"o{k[1:]}": v * 2 for k, v in norm_weights(6).items()}
    shape = [1, 3, 8, 8]
    prepared = agrees(model(nodes, {"x0": shape, "x1": shape}, ["y0", "y1", "z"], weights))
    assert operators(prepared) == ["Conv"] * 3
    assert len(prepared.graph.initializer) == (3 if norms[0] == norms[1] else 5)


FLATTEN = [
    "s = Shape (x)",
    "zero = Constant <value_int=0> ()",
    "axes = Constant <value_ints=[0]> ()",
    "rest = Constant <value_ints=[-1]> ()",
    "n = Gather <axis=0> (s, zero)",
    "u = Unsqueeze (n, axes)",
    "c = Concat <axis=0> (u, rest)",
    "y = Reshape (x, c)",
]
SHUFFLE = [
    "s = Shape (x)",
    "one = Constant <value_int=1> ()",
    "two = Constant <value_ints=[2]> ()",
    "n = Shape <start=0, end=1> (x)",
    "hw = Shape <start=2> (x)",
    "c = Gather <axis=0> (s, one)",
    "minus = Constant <value_ints=[-1]> ()",
    "c1 = Reshape (c, minus)",
    "half = Div (c1, two)",
    "split = Concat <axis=0> (n, two, half, hw)",
    "a = Reshape (x, split)",
    "b = Transpose <perm=[0,2,1,3,4]> (a)",
    "joined = Shape (x)",
    "y = Reshape (b, joined)",
]
FOLDED = {
    "exported flatten": (FLATTEN, ["N", 4, 3, 3], {}, ["Reshape"]),
    "exported channel shuffle": (SHUFFLE, ["N", 4, 3, 3], {}, ["Reshape", "Transpose", "Reshape"]),
    "chained shapes": (
        [*FLATTEN[:-1], "v = Reshape (x, c)", "t = Shape (v)", "y = Reshape (x, t)"],
        ["N", 4, 3, 3],
        {},
        ["Reshape"],
    ),
    "weight arithmetic": (
        ["t = Transpose (w)", "d = Exp (t)", "y = MatMul (x, d)"],
        ["N", 700],
        {"w": seeded(600, 700) * 0.1},
        ["MatMul"],
    ),
    "identity and dropout": (
        ["a = Identity (x)", "b, mask = Dropout (a)", "c = Relu (b)", "y = Identity (c)"],
        ["N", 4],
        {},
        ["Relu"],
    ),
    "nothing to compute": (["y = Identity (x)"], ["N", 4], {}, ["Identity"]),
    "dead nodes": (["d = Exp (x)", "e = Add (d, w)", "y = Relu (x)"], ["N", 4], {"w": seeded(4)},
                   ["Relu"]),
    "expansion": (
        ["shape = Constant <value_ints=[8,1024,1024]> ()", "e = Expand (w, shape)",
         "r = ReduceMax <keepdims=0> (e)", "y = Add (x, r)"],
        ["N", 4],
        {"w": seeded(1)},
        ["Expand", "ReduceMax", "Add"],
    ),
    "random": (
        ["r = RandomNormal <shape=[4], seed=1.0> ()", "z = Mul (r, w)", "y = Add (x, z)"],
        ["N", 4],
        {"w": np.zeros(4, np.float32)},
        ["RandomNormal", "Mul", "Add"],
    ),
    "quantised weights": (
        ["d = DequantizeLinear (q, s, p)", "y = MatMul (x, d)"],
        ["N", 4],
        {"q": np.arange(20, dtype=np.int8).reshape(4, 5), "s": np.float32(0.1), "p": np.int8(3)},
        ["DequantizeLinear", "MatMul"],
    ),
    "absent inputs and outputs": (
        ["lowest = Constant <value = float {-0.5}> ()", "c = Clip (x, lowest)",
         "y, mask = Dropout (c, , )"],
        ["N", 4],
        {},
        ["Clip"],
    ),
    "unsorted": (
        ["y = Relu (t)", "t = Neg (x)"],
        ["N", 4],
        {},
        ["Neg", "Relu"],
    ),
    "data-dependent": (
        ["i = NonZero (x)", "f = Cast <to=1> (i)", "y = ReduceSum <keepdims=0> (f)"],
        ["N", 4],
        {},
        ["NonZero", "Cast", "ReduceSum"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDED)
def test_constants_are_folded(case):
    nodes, shape, weights, left = FOLDED[case]
    proto = model(nodes, {"x": shape}, ["y"], weights)
    prepared = agrees(proto, {"N": 2})
    assert operators(prepared) == left
    known = {value.name: static_shape(value.type) for value in prepared.graph.value_info}
    if case != "data-dependent":
        assert all(known[n] is not None for node in prepared.graph.node[:-1] for n in node.output)


def branch(text):
    return parser.parse_graph(text)


@pytest.mark.parametrize("size", [1, 2])
def test_branch_of_a_known_condition_is_taken(size):
    conditional = helper.make_node(
        "If",
        ["k"],
        ["y"],
        then_branch=branch("then () => (float[?,4] a) { k2 = Exp (x) a = Add (k2, w) }"),
        else_branch=branch("other () => (float[?,4] b) { b = Neg (x) }"),
    )
    nodes = ["n = Shape <end=1> (x)", "one = Constant <value_ints=[1]> ()", "k = Equal (n, one)"]
    proto = model([*nodes, conditional], {"x": ["N", 4]}, ["y"], {"w": seeded(4)})
    assert operators(agrees(proto, {"N": size})) == (["Exp", "Add"] if size == 1 else ["Neg"])


def test_captures_of_a_loop_survive():
    body = branch(
        "body (int64 i, bool go, float[2,4] state) => (bool go2, float[2,4] next, float[2,4] scan)"
        "{ go2 = Identity (go) next = Add (state, held) scan = Mul (next, w) }"
    )
    nodes = [
        "trips = Constant <value_int=3> ()",
        "held = Identity (x)",
        "start = Constant <value_float=1.0> ()",
        "w = Exp (start)",
        helper.make_node("Loop", ["trips", "", "x"], ["y", "z"], body=body),
    ]
    prepared = agrees(model(nodes, {"x": ["N", 4]}, ["y", "z"]), {"N": 2})
    assert operators(prepared) == ["Identity", "Loop"]


def test_sequences_survive():
    nodes = [
        "s = SequenceConstruct (x, w)",
        "i = Constant <value_int=1> ()",
        "t = Identity (s)",
        "a = SequenceAt (t, i)",
        "y = ConcatFromSequence <axis=0> (t)",
    ]
    agrees(model(nodes, {"x": ["N", 4]}, ["y", "a"], {"w": seeded(3, 4)}), {"N": 2})


@pytest.mark.parametrize("outputs", [["x", "y"], ["w", "y"], ["y", "y"], ["k", "y"], ["x"], ["w"]])
def test_unusual_outputs_survive(outputs):
    nodes = ["k = Exp (w)", "y = Add (x, k)"]
    agrees(model(nodes, {"x": ["N", 4]}, outputs, {"w": seeded(4)}), {"N": 2})


def test_model_without_inputs():
    prepared = agrees(model(["a = Exp (w)", "y = Neg (a)"], {}, ["y"], {"w": seeded(4)}))
    assert operators(prepared) == []


def test_initializers_that_are_inputs_become_constants():
    proto = model(
        ["y = MatMul (x, w)"],
        {"x": ["N", 40], "w": [40, 50]},
        ["y"],
        {"w": seeded(40, 50)},
        opset=9,
        ir_version=3,
        domains=(),
    )
    prepared = agrees(proto, {"N": 2})
    assert [value.name for value in prepared.graph.input] == ["x"]


def test_operators_of_onnx_runtime_keep_their_shapes():
    quantised = {"s": np.float32(0.1), "p": np.uint8(3), "w": np.arange(4, dtype=np.uint8)}
    nodes = [
        "q = QuantizeLinear (x, s, p)",
        "a = com.microsoft.QLinearAdd (q, s, p, w, s, p, s, p)",
        "f = com.microsoft.Gelu (x)",
        "d = DequantizeLinear (a, s, p)",
        "y = Add (d, f)",
    ]
    prepared = agrees(model(nodes, {"x": ["N", 4]}, ["y"], quantised), {"N": 2})
    shapes = {value.name: static_shape(value.type) for value in prepared.graph.value_info}
    assert shapes == dict.fromkeys("qafd", (2, 4))
    assert len(operators(prepared)) == 5


def test_functions_are_inlined():
    proto = model(
        [helper.make_node("twice", ["x"], ["y"], domain="own")], {"x": ["N", 4]}, ["y"],
        domains=("own",),
    )  # fmt: skip
    body = [parser.parse_node("o = Add (i, i)")]
    opsets = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("own", "twice", ["i"], ["o"], body, opsets))
    assert operators(agrees(proto, {"N": 2})) == ["Add"]


def test_nodes_are_named_apart():
    nodes = ["a = Exp (w)", "b = Neg (a)", "t = Add (x, b)", "u = Neg (t)", "y = Abs (u)"]
    proto = model(nodes, {"x": [2, 4]}, ["y"], {"w": seeded(4)})
    for node, name in zip(proto.graph.node, ["n", "n", "n", "n", ""], strict=True):
        node.name = name
    prepared = prepare(proto)  # ONNX Runtime refuses it as it is
    assert len({node.name for node in prepared.graph.node} - {""}) == 3
    assert operators(prepared) == ["Add", "Neg", "Abs"]


def test_a_model_that_cannot_be_folded_stays_as_it_is(monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr("swath.graph.prepare.fold_constants", fail)
    nodes, shape, weights, _ = FOLDED["exported flatten"]
    prepared = agrees(model(nodes, {"x": shape}, ["y"], weights), {"N": 2})
    assert "Gather" in operators(prepared)


def test_stale_shapes_are_forgotten():
    proto = model(["t = Relu (x)", "y = Neg (t)"], {"x": ["N", 4]}, [])
    proto.graph.value_info.append(helper.make_tensor_value_info("t", FLOAT, [1, 4]))
    proto.graph.output.append(helper.make_tensor_value_info("y", FLOAT, [1, 4]))
    prepared = prepare(proto, {"N": 2})
    assert static_shape(prepared.graph.output[0].type) == (2, 4)
    assert static_shape(prepared.graph.value_info[0].type) == (2, 4)


@pytest.mark.parametrize("opset", [7, 8, NEWEST_OPSET + 1, onnx.defs.onnx_opset_version()])
def test_foreign_versions_are_brought_near(opset):
    proto = model(["y = Relu (x)"], {"x": ["N", 4]}, ["y"], opset=opset, ir_version=onnx.IR_VERSION)
    prepared = prepare(proto, {"N": 2})
    assert 9 <= prepared.opset_import[0].version <= NEWEST_OPSET
    assert prepared.ir_version <= NEWEST_IR
    assert (
        difference(run(prepared, {"x": -np.ones((2, 4), np.float32)}), [np.zeros((2, 4), "f")]) == 0
    )


def test_upsample_of_opset_8():
    nodes = ['y = Upsample <scales=[1.0,1.0,2.0,2.0], mode="nearest"> (x)']
    prepared = agrees(model(nodes, {"x": [1, 2, 3, 3]}, ["y"], opset=8, domains=()))
    assert prepared.opset_import[0].version == 9


REFUSED = {
    "free by name": (["N", 4], {}, r"'x' has the free dimension 'N' \(axis 0\).*--dim N=1"),
    "free without name": ([None, 4], {}, r"'x' has the free dimension in axis 0.*--dim x:0=1"),
    "unknown rank": (None, {}, "'x' has no known number of dimensions"),
    "no such name": (["N", 4], {"N": 1, "M": 2}, "no free dimension 'M': it has N"),
    "bound to nothing": (["N", 4], {"N": 0}, "'N' is bound to 0"),
    "fixed": ([3, 4], {"x:0": 2}, "'x' has 3 in axis 0, which cannot be bound to 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_dimensions_are_refused(case):
    shape, dimensions, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        prepare(model(["y = Relu (x)"], {"x": shape}, ["y"]), dimensions)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dimensions", [{"N": 2}, {"x:0": 2}, {"N": 7, "x:0": 2}])
def test_dimensions_are_bound(dimensions):
    prepared = prepare(model(["y = Relu (x)"], {"x": ["N", 4]}, ["y"]), dimensions)
    assert static_shape(prepared.graph.output[0].type) == (2, 4)


UNUSABLE = {
    "unknown operator": (["y = Nonsense (x)"], 17, "ONNX Runtime does not take the model"),
    "circle": (["y = Add (x, z)", "z = Neg (y)"], 17, "need each other in a circle"),
    "PRelu of opset 6": (["y = PRelu (x, x)"], 6, "opset 6 cannot be brought to 9"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_models_are_refused(case):
    nodes, opset, message = UNUSABLE[case]
    with pytest.raises(ModelError, match=message) as caught:
        prepare(model(nodes, {"x": [2, 4]}, ["y"], opset=opset, domains=()))
    assert "\n" not in str(caught.value)


def plain(value):
    """A test case's value as ONNX Runtime takes it; None where numpy cannot hand it over."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, list):
        return [np.asarray(item) for item in value]
    return np.asarray(value)


@pytest.mark.slow
def test_every_operator_case_of_onnx(capsys):
    """Those that plain ONNX Runtime runs give the same after they are prepared, to the last bit."""
    with np.errstate(all="ignore"):
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    counts: collections.Counter[str] = collections.Counter()
    wrong = {}
    for case in cases:
        proto = case.model
        names = [value.name for value in proto.graph.input]
        try:
            feeds = {n: plain(v) for n, v in zip(names, case.data_sets[0][0], strict=False)
                     if v is not None}  # fmt: skip
            reference = run(proto, feeds)
        except Exception:
            counts["not run by ONNX Runtime"] += 1
            continue
        dimensions = {
            f"{value.name}:{axis}": np.shape(feeds[value.name])[axis]
            for value in proto.graph.input
            if value.type.HasField("tensor_type")
            for axis, extent in enumerate(value.type.tensor_type.shape.dim)
            if not extent.HasField("dim_value")
        }
        try:
            prepared = load(proto, dimensions).whole()
            got = run(prepared, feeds)
            worst = difference(reference, got)
        except Exception as error:
            worst, got = str(error), []
        if worst == 0 and all(
            static_shape(value.type) in (None, getattr(array, "shape", None))
            for value, array in zip(prepared.graph.output, got, strict=True)
        ):
            counts["equal"] += 1
        elif case.name == "test_scan_sum":
            counts["refused"] += 1
            assert "opset 8" in str(worst)
        else:
            wrong[case.name] = worst
    assert not wrong
    assert counts["equal"] >= 1400
    with capsys.disabled():
        print(f" {dict(counts)}", end="")

"""``qgait.Requant`` of standard ONNX operators equals the integer rule, in ONNX Runtime and in onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from parity import assert_codes_equal

from qgait.export.onnx.requant import DOMAIN, NAME, OPSET, requant_function
from qgait.fixedpoint import requantize

Feeds = dict[str, NDArray[np.integer]]


def model(zero_point: int, lo: int, hi: int) -> onnx.ModelProto:
    """One node, its accumulators, multipliers and shifts as inputs [n]."""
    inputs = [
        helper.make_tensor_value_info("accumulator", TensorProto.INT32, ["n"]),
        helper.make_tensor_value_info("multiplier", TensorProto.INT32, ["n"]),
        helper.make_tensor_value_info("shift", TensorProto.INT8, ["n"]),
    ]
    output = helper.make_tensor_value_info("codes", TensorProto.INT8, ["n"])
    names = [value.name for value in inputs]
    node = helper.make_node(NAME, names, ["codes"], domain=DOMAIN, zero_point=zero_point, lo=lo, hi=hi)
    return helper.make_model(
        helper.make_graph([node], "requant", inputs, [output]),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        functions=[requant_function()],
        ir_version=10,
    )


def in_onnx_runtime(proto: onnx.ModelProto, feeds: Feeds) -> NDArray[np.int8]:
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)[0]


def in_reference_evaluator(proto: onnx.ModelProto, feeds: Feeds) -> NDArray[np.int8]:
    return ReferenceEvaluator(proto).run(None, feeds)[0]


def cases() -> Feeds:
    """Every shift; accumulators at both limits, near zero, at ties of power-of-two multipliers, and random."""
    rng = np.random.default_rng(0)
    columns = []
    for s in range(2, 63):
        limit = min(2 ** (s - 1), 2**28) - 1
        ties = np.arange(-300, 300) * 2 ** max(0, s - 32)
        small = rng.integers(-min(limit, 500), min(limit, 500) + 1, 100)
        spread = min(limit, 2 ** max(1, s - 22))
        for m, acc in (
            (np.full(600, 2**30), np.clip(ties, -limit, limit)),
            (rng.integers(2**30, 2**31, 100), small),
            (rng.integers(2**30, 2**31, 400), rng.integers(-spread, spread + 1, 400)),
            (np.array([2**30, 2**30, 2**31 - 1, 2**31 - 1]), np.array([-limit, limit, -limit, limit])),
        ):
            columns.append((acc, m, np.full(len(m), s)))
    acc, m, s = (np.concatenate(column) for column in zip(*columns, strict=True))
    return {"accumulator": acc.astype(np.int32), "multiplier": m.astype(np.int32), "shift": s.astype(np.int8)}


@pytest.mark.parametrize("run", [in_onnx_runtime, in_reference_evaluator])
@pytest.mark.parametrize(("zero_point", "lo", "hi"), [(0, -128, 127), (-128, -128, 127), (5, -8, 7), (0, 0, 15)])
def test_equals_the_integer_rule(
    run: Callable[[onnx.ModelProto, Feeds], NDArray[np.int8]], zero_point: int, lo: int, hi: int
) -> None:
    feeds = cases()
    expected = requantize(feeds["accumulator"], feeds["multiplier"], feeds["shift"], zero_point, lo, hi)
    assert (expected.min(), expected.max()) == (lo, hi)
    assert np.count_nonzero((expected > lo) & (expected < hi)) > 3000
    assert_codes_equal(run(model(zero_point, lo, hi), feeds), expected)


def test_the_cases_would_find_another_rounding() -> None:
    """Half to even, half away from zero and truncation all differ from the rule somewhere."""
    feeds = cases()
    acc, m = feeds["accumulator"].astype(np.float64), feeds["multiplier"].astype(np.float64)
    real = acc * np.ldexp(m, -feeds["shift"].astype(np.int64))
    rule = requantize(feeds["accumulator"], feeds["multiplier"], feeds["shift"], 0, -128, 127)
    for other in (np.rint(real), np.sign(real) * np.floor(np.abs(real) + 0.5), np.trunc(real + 0.5)):
        assert np.any(np.clip(other, -128, 127) != rule)


def test_no_signed_shift_and_no_division() -> None:
    body = requant_function().node
    assert {node.op_type for node in body} <= {"Cast", "Constant", "Sub", "Add", "Mul", "BitShift", "Clip"}
    proto = model(0, -128, 127)
    inferred = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(proto))
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    shifts = [node for node in inferred.graph.node if node.op_type == "BitShift"]
    assert len(shifts) == 3
    assert all(types[node.output[0]] == TensorProto.UINT64 for node in shifts)

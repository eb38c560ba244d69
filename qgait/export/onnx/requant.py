"""The integer rule as an ONNX function, ``qgait.Requant``: one box a layer in a viewer, standard operators inside.

ONNX has no signed right shift (BitShift is unsigned, and a traced ``>>`` becomes a division that truncates towards
zero). So the sum is made non-negative first: 2**62 is a multiple of 2**s for every s up to 62, hence

    (v >> s) == ((v + 2**62) >>> s) - (2**62 >>> s)        for -2**62 <= v < 2**62

where ``>>>`` is the unsigned shift.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

DOMAIN = "qgait"
NAME = "Requant"
OPSET = 21  # of the standard operators, here and in the graph


def requant_function() -> onnx.FunctionProto:
    """Requant(accumulator int32, multiplier int32, shift int8; zero_point, lo, hi) -> codes int8.

    ``multiplier`` and ``shift`` broadcast against the accumulator; the attributes are integers.
    """
    node = helper.make_node
    body = [
        node("Cast", ["accumulator"], ["acc64"], to=TensorProto.INT64),
        node("Cast", ["multiplier"], ["m64"], to=TensorProto.INT64),
        node("Cast", ["shift"], ["s64"], to=TensorProto.INT64),
        node("Cast", ["s64"], ["s"], to=TensorProto.UINT64),
        # half = 1 << (s - 1)
        node("Constant", [], ["one"], value_int=1),
        node("Cast", ["one"], ["one_unsigned"], to=TensorProto.UINT64),
        node("Sub", ["s64", "one"], ["s_less_one64"]),
        node("Cast", ["s_less_one64"], ["s_less_one"], to=TensorProto.UINT64),
        node("BitShift", ["one_unsigned", "s_less_one"], ["half_unsigned"], direction="LEFT"),
        node("Cast", ["half_unsigned"], ["half"], to=TensorProto.INT64),
        # offset = 2**62, and what the shift leaves of it
        node("Constant", [], ["offset"], value_int=2**62),
        node("Cast", ["offset"], ["offset_unsigned"], to=TensorProto.UINT64),
        node("BitShift", ["offset_unsigned", "s"], ["offset_shifted_unsigned"], direction="RIGHT"),
        node("Cast", ["offset_shifted_unsigned"], ["offset_shifted"], to=TensorProto.INT64),
        # (acc * m + half) >> s
        node("Mul", ["acc64", "m64"], ["product"]),
        node("Add", ["half", "offset"], ["half_and_offset"]),
        node("Add", ["product", "half_and_offset"], ["sum"]),
        node("Cast", ["sum"], ["sum_unsigned"], to=TensorProto.UINT64),
        node("BitShift", ["sum_unsigned", "s"], ["shifted_unsigned"], direction="RIGHT"),
        node("Cast", ["shifted_unsigned"], ["shifted"], to=TensorProto.INT64),
        node("Sub", ["shifted", "offset_shifted"], ["rounded"]),
        _attribute("zero_point"),
        _attribute("lo"),
        _attribute("hi"),
        node("Add", ["rounded", "zero_point"], ["code"]),
        node("Clip", ["code", "lo", "hi"], ["clipped"]),
        node("Cast", ["clipped"], ["codes"], to=TensorProto.INT8),
    ]
    return helper.make_function(
        DOMAIN,
        NAME,
        ["accumulator", "multiplier", "shift"],
        ["codes"],
        body,
        [helper.make_opsetid("", OPSET)],
        attributes=["zero_point", "lo", "hi"],
        doc_string="clip(((accumulator * multiplier + (1 << (shift - 1))) >> shift) + zero_point, lo, hi)",
    )


def _attribute(name: str) -> onnx.NodeProto:
    """An attribute of the function as an int64 scalar."""
    constant = helper.make_node("Constant", [], [name])
    constant.attribute.append(
        onnx.AttributeProto(name="value_int", ref_attr_name=name, type=onnx.AttributeProto.AttributeType.INT)
    )
    return constant

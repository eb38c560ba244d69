"""Nodes and initialisers of one ONNX graph while it is written, and the few patterns that all operators share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from qgait.export.graph import Graph
from qgait.export.onnx.arrays import Layout, to_onnx_arrays
from qgait.export.onnx.names import initializer_name, value_name
from qgait.export.onnx.requant import DOMAIN, NAME
from qgait.export.operators import Op, Tensor


class NodeList:
    """Collects nodes and initialisers of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: set[str] = set()
        self._made: dict[tuple[object, ...], str] = {}

    def arrays(self, op: Op, layout: Layout) -> None:
        """Stores the arrays of an operator under their own names."""
        for field, array in to_onnx_arrays(op, self.graph.tensors[op.inputs[0]], layout).items():
            self.initializers.append(numpy_helper.from_array(array, initializer_name(op.name, field)))

    def node(self, kind: str, inputs: Sequence[str], output: str, layer: str = "", **attributes: object) -> str:
        """Appends a node and returns its output; it is called like ``layer``, or else like its output.

        What another node has computed already, without being a layer, is taken from there.
        """
        what = (kind, tuple(inputs), repr(sorted(attributes.items())))
        if not layer and what in self._made:
            return self._made[what]
        self.nodes.append(helper.make_node(kind, inputs, [output], name=layer or output, **attributes))
        self._made.setdefault(what, output)
        return output

    def layer(self, kind: str, op: Op, inputs: Sequence[str], **attributes: object) -> None:
        """The node that makes the operator's result and carries its name."""
        self.node(kind, inputs, value_name(self.graph, op.output), layer=op.name, **attributes)

    def constant(self, value: int | list[int], dtype: type[np.integer] = np.int32) -> str:
        """An initialiser shared by all nodes that need this value, named by it: "int32/128"."""
        array: NDArray[np.integer] = np.array(value, dtype)
        name = f"{array.dtype}/{'_'.join(str(v) for v in array.ravel())}" + ("/vector" if array.ndim else "")
        if name not in self._constants:
            self._constants.add(name)
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def centred(self, prefix: str, x: str, source: Tensor) -> str:
        """``code - zero_point`` in int32."""
        wide = self.node("Cast", [x], f"{prefix}/int32", to=TensorProto.INT32)
        if source.zero_point == 0:
            return wide
        return self.node("Sub", [wide, self.constant(source.zero_point)], f"{prefix}/centred")

    def joined(self, parts: list[str], output: str, axis: int) -> str:
        """``parts`` along ``axis``; one alone is what it is."""
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, output, axis=axis)

    def index(self, op: Op, x: str) -> str:
        """``code + 128``, int32: where a code stands in a table."""
        code = self.node("Cast", [x], f"{op.name}/code", to=TensorProto.INT32)
        return self.node("Add", [code, self.constant(128)], f"{op.name}/index")

    def requant(self, op: Op, acc: str) -> None:
        """The operator's result from its accumulators."""
        result = self.graph.tensors[op.output]
        self.node(
            NAME,
            [acc, initializer_name(op.name, "multiplier"), initializer_name(op.name, "shift")],
            value_name(self.graph, op.output),
            layer=f"{op.name}/requant",
            domain=DOMAIN,
            zero_point=result.zero_point,
            lo=result.lo,
            hi=result.hi,
        )

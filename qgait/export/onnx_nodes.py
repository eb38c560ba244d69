"""The ONNX nodes of each operator: int8 codes in, int8 codes out, standard integer operators and ``qgait.Requant``.

Inside the file maps are [frames or 1, C, H, W] and parts [frames or 1, P, C].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    Graph,
    MaxPool2d,
    Op,
    PartLinear,
    StripPool,
    Table,
    Tensor,
)
from qgait.export.onnx_arrays import to_onnx_arrays
from qgait.export.onnx_names import INPUT, initializer_name, value_name
from qgait.export.onnx_requant import DOMAIN, NAME


class NodeList:
    """Collects nodes and initialisers of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[str, str] = {}

    def add_input(self) -> None:
        """Pixels uint8 [frames, H, W] to codes int8 [frames, 1, H, W]: the pixel minus 128."""
        pixels = self._node("Cast", [INPUT], f"{INPUT}/int32", to=TensorProto.INT32)
        centred = self._node("Sub", [pixels, self._constant(128)], f"{INPUT}/centred")
        codes = self._node("Cast", [centred], f"{INPUT}/int8", to=TensorProto.INT8)
        axis = self._constant([1], np.int64)
        self._node("Unsqueeze", [codes, axis], value_name(self.graph, self.graph.input), layer=self.graph.input)

    def add(self, op: Op) -> None:
        """Appends the nodes of one operator."""
        sources = [self.graph.tensors[name] for name in op.inputs]
        inputs = [value_name(self.graph, name) for name in op.inputs]
        for field, array in to_onnx_arrays(op, sources[0]).items():
            self.initializers.append(numpy_helper.from_array(array, initializer_name(op.name, field)))
        match op:
            case Conv2d():
                self._conv2d(op, inputs[0], sources[0])
            case Table():
                self._table(op, inputs[0])
            case MaxPool2d():
                kernel = [op.kernel, op.kernel]
                self._layer("MaxPool", op, inputs, kernel_shape=kernel, strides=kernel)
            case Add():
                self._add(op, inputs, sources)
            case FrameMax():
                self._layer("ReduceMax", op, [*inputs, self._constant([0], np.int64)], keepdims=1)
            case StripPool():
                self._strip_pool(op, inputs[0], sources[0])
            case PartLinear():
                self._part_linear(op, inputs[0], sources[0])
            case Concat():
                maps = len(sources[0].shape) == 3
                self._layer("Concat", op, inputs, axis=2 if maps else 1)
            case _:
                raise TypeError(f"the ONNX writer has no {type(op).__name__}")

    def _conv2d(self, op: Conv2d, x: str, source: Tensor) -> None:
        product = self._node(
            "ConvInteger",
            [x, initializer_name(op.name, "weight"), self._constant(source.zero_point, np.int8)],
            f"{op.name}/product",
            layer=op.name,
            kernel_shape=list(op.weight.shape[1:3]),
            pads=list(op.padding),
            strides=list(op.stride),
        )
        self._requant(op, self._biased(op, product))

    def _table(self, op: Table, x: str) -> None:
        code = self._node("Cast", [x], f"{op.name}/int32", to=TensorProto.INT32)
        index = self._node("Add", [code, self._constant(128)], f"{op.name}/index")
        self._layer("Gather", op, [initializer_name(op.name, "table"), index], axis=0)

    def _add(self, op: Add, inputs: list[str], sources: list[Tensor]) -> None:
        terms = []
        for side, x, source, factor in zip("ab", inputs, sources, op.factors, strict=True):
            centred = self._centred(f"{op.name}/{side}", x, source)
            terms.append(self._node("Mul", [centred, self._constant(factor)], f"{op.name}/{side}/scaled"))
        self._requant(op, self._node("Add", terms, f"{op.name}/acc", layer=op.name))

    def _strip_pool(self, op: StripPool, x: str, source: Tensor) -> None:
        height, width, _ = source.shape
        centred = self._centred(op.name, x, source)
        parts = []
        for bins in op.bins:
            prefix = f"{op.name}/{bins}"
            shape = self._constant([0, 0, bins, -1], np.int64)
            strips = self._node("Reshape", [centred, shape], f"{prefix}/strips")  # [n, C, bins, H * W / bins]
            axis = self._constant([3], np.int64)
            total = self._node("ReduceSum", [strips, axis], f"{prefix}/sum", keepdims=0)
            largest = self._node("ReduceMax", [strips, axis], f"{prefix}/max", keepdims=0)
            count = self._constant(height * width // bins)
            weighted = self._node("Mul", [largest, count], f"{prefix}/weighted")
            parts.append(self._node("Add", [total, weighted], f"{prefix}/acc"))
        joined = self._node("Concat", parts, f"{op.name}/channels_first", axis=2)
        self._requant(op, self._node("Transpose", [joined], f"{op.name}/acc", perm=[0, 2, 1], layer=op.name))

    def _part_linear(self, op: PartLinear, x: str, source: Tensor) -> None:
        axis = self._constant([2], np.int64)
        rows = self._node("Unsqueeze", [x, axis], f"{op.name}/rows")  # [n, P, 1, I]
        product = self._node(
            "MatMulInteger",
            [rows, initializer_name(op.name, "weight"), self._constant(source.zero_point, np.int8)],
            f"{op.name}/products",
            layer=op.name,
        )
        self._requant(op, self._biased(op, self._node("Squeeze", [product, axis], f"{op.name}/product")))

    def _biased(self, op: Op, product: str) -> str:
        return self._node("Add", [product, initializer_name(op.name, "bias")], f"{op.name}/acc")

    def _centred(self, prefix: str, x: str, source: Tensor) -> str:
        """``code - zero_point`` in int32."""
        wide = self._node("Cast", [x], f"{prefix}/int32", to=TensorProto.INT32)
        return self._node("Sub", [wide, self._constant(source.zero_point)], f"{prefix}/centred")

    def _requant(self, op: Op, acc: str) -> None:
        result = self.graph.tensors[op.output]
        self._node(
            NAME,
            [acc, initializer_name(op.name, "multiplier"), initializer_name(op.name, "shift")],
            value_name(self.graph, op.output),
            layer=f"{op.name}/requant",
            domain=DOMAIN,
            zero_point=result.zero_point,
            lo=result.lo,
            hi=result.hi,
        )

    def _layer(self, kind: str, op: Op, inputs: Sequence[str], **attributes: object) -> None:
        """The node that makes the operator's result and carries its name."""
        self._node(kind, inputs, value_name(self.graph, op.output), layer=op.name, **attributes)

    def _node(self, kind: str, inputs: Sequence[str], output: str, layer: str = "", **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=layer or output, **attributes))
        return output

    def _constant(self, value: int | list[int], dtype: type[np.integer] = np.int32) -> str:
        """An initialiser shared by all nodes that need this value, named by it: "int32/128"."""
        array: NDArray[np.integer] = np.array(value, dtype)
        name = f"{array.dtype}/{'_'.join(str(v) for v in array.ravel())}" + ("/vector" if array.ndim else "")
        if name not in self._constants:
            self._constants[name] = name
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

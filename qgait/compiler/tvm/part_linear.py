"""The head: one matrix a part, run once an embedding."""

from __future__ import annotations

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import function, lanes_of, load, local, splat, store, widen
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.requantize import requantized
from qgait.compiler.tvm.weights import Weights
from qgait.export.graph import Graph
from qgait.export.operators import PartLinear


def part_linear_kernel(group: Group, op: PartLinear, graph: Graph) -> Kernel:
    """[P, I] -> [P, O]: 16 outputs at a time, products in int16 (a weight is never -128), sums in int32."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    parts, inputs, outputs = op.weight.shape
    lanes = lanes_of(outputs)
    with function(group) as f:
        data = f.input(source)
        weight = Weights.declare(f, op.weight.reshape(parts, -1), op.weight_bits)
        bias = f.constant(op.bias, "int32")
        multiplier = f.constant(np.broadcast_to(op.requant.multiplier, (parts, outputs)), "int32")
        shift = f.constant(np.broadcast_to(op.requant.shift, (parts, outputs)), "int32")
        out = f.output(result)
        acc = local(lanes, "int32")
        weight.begin()
        with T.serial(0, parts) as p:
            here = weight.bring(p)
            with T.serial(0, outputs // lanes) as block:
                at = p * outputs + block * lanes
                store(acc, 0, load(bias, at, lanes), lanes)
                with T.serial(0, inputs) as i:
                    weights = load(weight.buffer, (here * inputs + i) * outputs + block * lanes, lanes)
                    product = widen(weights, "int16", lanes) * splat(load(data, p * inputs + i, 1), "int16", lanes)
                    store(acc, 0, load(acc, 0, lanes) + widen(product, "int32", lanes), lanes)
                rule = load(multiplier, at, lanes), load(shift, at, lanes)
                store(out, at, requantized(load(acc, 0, lanes), *rule, result, lanes), lanes)
    return f.kernel()

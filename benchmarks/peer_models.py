"""The trunk of a backbone as other tools run it: float ONNX, and int8 by ONNX Runtime's own quantizer (QDQ)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qgait.models.layers import INPUT, Layer, shapes

ACTIVATIONS = {"relu": ("Relu", {}), "leaky_relu": ("LeakyRelu", {"alpha": 0.01})}


def float_trunk(layers: list[Layer], path: Path, frames: int = 1) -> None:
    """Writes the per-frame layers as float32 ONNX: [frames, 1, H, W] in [0, 1] to what set pooling reads."""
    sizes = shapes(layers)
    nodes, weights, outputs = [], [], []
    for layer in layers:
        if layer.kind == "frame_max":
            outputs.append(layer.inputs[0])
        if not layer.per_frame:
            continue
        result = layer.name if layer.activation == "none" else f"{layer.name}.pre"
        match layer.kind:
            case "conv":
                names = [f"{layer.name}.weight", f"{layer.name}.bias"]
                bias = np.zeros(len(layer.weight)) if layer.bias is None else layer.bias.numpy()
                for name, value in zip(names, (layer.weight.numpy(), bias), strict=True):
                    weights.append(numpy_helper.from_array(value.astype(np.float32), name))
                pads = list(layer.padding)
                inputs = [*layer.inputs, *names]
                nodes.append(helper.make_node("Conv", inputs, [result], layer.name, pads=pads, strides=layer.stride))
            case "add":
                nodes.append(helper.make_node("Add", list(layer.inputs), [result], layer.name))
            case "max_pool":
                k = [layer.kernel, layer.kernel]
                nodes.append(
                    helper.make_node("MaxPool", list(layer.inputs), [result], layer.name, kernel_shape=k, strides=k)
                )
        if layer.activation != "none":
            kind, attributes = ACTIVATIONS[layer.activation]
            nodes.append(helper.make_node(kind, [result], [layer.name], f"{layer.name}.activation", **attributes))
    graph = helper.make_graph(
        nodes,
        "trunk",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [frames, *sizes[INPUT]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [frames, *sizes[name]]) for name in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def int8_trunk(float_path: Path, path: Path, frames: np.ndarray) -> None:
    """Quantizes ``float_path`` by ONNX Runtime: uint8 activations, int8 weights per channel, ranges of ``frames``."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(frames)

        def get_next(self) -> dict[str, np.ndarray] | None:
            frame = next(self.left, None)
            return None if frame is None else {INPUT: frame[None, None].astype(np.float32) / 255}

    quantize_static(
        float_path,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )

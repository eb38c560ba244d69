"""The trunk of a backbone as LiteRT runs it: an int8 TFLite file, written operator by operator."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as tfl

from qgait.models.layers import INPUT, LEAKY_SLOPE, Layer, shapes

OPERATORS = tfl.BuiltinOperator
FUSED = {
    "none": tfl.ActivationFunctionType.NONE,
    "leaky_relu": tfl.ActivationFunctionType.NONE,  # an operator of its own
    "relu": tfl.ActivationFunctionType.RELU,
}


def activation_ranges(float_path: Path, frames: np.ndarray) -> dict[str, tuple[float, float]]:
    """(lowest, highest) of every tensor of the float trunk ``float_path`` over ``frames`` uint8 [n, 64, 44]."""
    model = onnx.load(float_path)
    names = [node.output[0] for node in model.graph.node]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = [session.run(names, {INPUT: frame[None, None].astype(np.float32) / 255}) for frame in frames]
    found = {
        name: (min(float(x.min()) for x in values), max(float(x.max()) for x in values))
        for name, values in zip(names, zip(*seen, strict=True), strict=True)
    }
    return {INPUT: (0.0, 1.0), **found}


def tflite_trunk(layers: list[Layer], float_path: Path, path: Path, frames: np.ndarray) -> None:
    """Writes the per-frame layers as TFLite: int8 [1, 64, 44, 1] with scale 1/255 to what set pooling reads, NHWC.

    Activations are asymmetric int8 with the ranges of ``frames``; weights symmetric int8, one scale an output channel,
    narrow range; biases int32: TFLite's 8-bit quantization specification.
    """
    writer = _Writer(layers, activation_ranges(float_path, frames))
    for layer in layers:
        if layer.per_frame:
            writer.layer(layer)
    writer.save([layer.inputs[0] for layer in layers if layer.kind == "frame_max"], path)


class _Writer:
    """One subgraph under construction."""

    def __init__(self, layers: list[Layer], ranges: dict[str, tuple[float, float]]) -> None:
        self.sizes, self.ranges = shapes(layers), ranges
        self.codes: list[int] = []
        self.buffers = [tfl.BufferT()]  # buffer 0 is empty by convention
        self.tensors: list[tfl.TensorT] = []
        self.operators: list[tfl.OperatorT] = []
        self.index: dict[str, int] = {}
        self.activation(INPUT, self.sizes[INPUT], *self.grid(INPUT))

    def grid(self, name: str) -> tuple[float, int]:
        """(scale, zero point) whose int8 codes span the range of ``name``; real 0 is a code."""
        low, high = min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0)
        scale = (high - low) / 255
        return scale, round(-128 - low / scale)

    def tensor(self, name: str, kind: int, shape: list[int], scales: list[float], zeros: list[int], buffer: int) -> int:
        quantization = tfl.QuantizationParametersT(scale=scales, zeroPoint=zeros) if scales else None
        self.tensors.append(
            tfl.TensorT(shape=shape, type=kind, buffer=buffer, name=name.encode(), quantization=quantization)
        )
        self.index[name] = len(self.tensors) - 1
        return self.index[name]

    def activation(self, name: str, size: tuple[int, ...], scale: float, zero: int) -> int:
        channels, height, width = size
        return self.tensor(name, tfl.TensorType.INT8, [1, height, width, channels], [scale], [zero], 0)

    def constant(self, name: str, values: np.ndarray, scales: list[float]) -> int:
        self.buffers.append(tfl.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
        kind = tfl.TensorType.INT8 if values.dtype == np.int8 else tfl.TensorType.INT32
        return self.tensor(name, kind, list(values.shape), scales, [0] * len(scales), len(self.buffers) - 1)

    def operator(self, code: int, inputs: list[int], output: int, options: object) -> None:
        if code not in self.codes:
            self.codes.append(code)
        kind = getattr(tfl.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.operators.append(
            tfl.OperatorT(
                opcodeIndex=self.codes.index(code),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )

    def scale_of(self, tensor: int) -> tuple[float, int]:
        quantization = self.tensors[tensor].quantization
        return quantization.scale[0], quantization.zeroPoint[0]

    def layer(self, layer: Layer) -> None:
        leaky = layer.activation == "leaky_relu"
        name, size = f"{layer.name}.pre" if leaky else layer.name, self.sizes[layer.name]
        inputs = [self.index[x] for x in layer.inputs]
        match layer.kind:
            case "conv":
                self.conv(layer, inputs[0], self.activation(name, size, *self.grid(name)))
            case "add":
                options = tfl.AddOptionsT(fusedActivationFunction=FUSED[layer.activation])
                self.operator(OPERATORS.ADD, inputs, self.activation(name, size, *self.grid(name)), options)
            case "max_pool":
                k = layer.kernel
                options = tfl.Pool2DOptionsT(
                    padding=tfl.Padding.VALID, strideW=k, strideH=k, filterWidth=k, filterHeight=k
                )
                output = self.activation(name, size, *self.scale_of(inputs[0]))  # a maximum keeps its codes
                self.operator(OPERATORS.MAX_POOL_2D, inputs, output, options)
            case _:
                raise NotImplementedError(f"{layer.name}: {layer.kind} has no TFLite form here")
        if leaky:
            output = self.activation(layer.name, size, *self.grid(layer.name))
            self.operator(OPERATORS.LEAKY_RELU, [self.index[name]], output, tfl.LeakyReluOptionsT(alpha=LEAKY_SLOPE))

    def conv(self, layer: Layer, source: int, output: int) -> None:
        weight = layer.weight.numpy().transpose(0, 2, 3, 1)  # OHWI
        steps = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-12) / 127
        codes = np.round(weight / steps[:, None, None, None]).astype(np.int8)
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.numpy()
        bias_steps = steps * self.scale_of(source)[0]
        constants = [
            self.constant(f"{layer.name}.weight", codes, steps.tolist()),
            self.constant(f"{layer.name}.bias", np.round(bias / bias_steps).astype(np.int32), bias_steps.tolist()),
        ]
        (top, left, bottom, right), (kh, kw) = layer.padding, weight.shape[1:3]
        # SAME pads a convolution of stride 2 on other sides than OpenGait's networks do
        same = layer.stride == (1, 1) and (top + bottom, left + right) == (kh - 1, kw - 1)
        if not same and any(layer.padding):
            source = self.pad(layer, source)
        options = tfl.Conv2DOptionsT(
            padding=tfl.Padding.SAME if same else tfl.Padding.VALID,
            strideH=layer.stride[0],
            strideW=layer.stride[1],
            fusedActivationFunction=FUSED[layer.activation],
        )
        self.operator(OPERATORS.CONV_2D, [source, *constants], output, options)

    def pad(self, layer: Layer, source: int) -> int:
        top, left, bottom, right = layer.padding
        channels, height, width = self.sizes[layer.inputs[0]]
        size = (channels, height + top + bottom, width + left + right)
        output = self.activation(f"{layer.name}.padded", size, *self.scale_of(source))
        amounts = self.constant(
            f"{layer.name}.padding", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32), []
        )
        self.operator(OPERATORS.PAD, [source, amounts], output, tfl.PadOptionsT())
        return output

    def save(self, outputs: list[str], path: Path) -> None:
        graph = tfl.SubGraphT(
            tensors=self.tensors,
            inputs=[self.index[INPUT]],
            outputs=[self.index[name] for name in outputs],
            operators=self.operators,
            name=b"trunk",
        )
        # version 2 of CONV_2D and MAX_POOL_2D, ADD, PAD, LEAKY_RELU: int8; 3 of CONV_2D: a scale a channel
        codes = [
            tfl.OperatorCodeT(
                deprecatedBuiltinCode=code, builtinCode=code, version=3 if code == OPERATORS.CONV_2D else 2
            )
            for code in self.codes
        ]
        model = tfl.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=self.buffers)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))

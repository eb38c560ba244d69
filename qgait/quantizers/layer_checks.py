"""Whether a list of layers from a file is a network: names, order, sides of the cut between frame and clip, shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from torch import nn

from qgait.models.layers import INPUT, Layer, shape_of
from qgait.models.series import WINDOWS, min_frames
from qgait.network_limits import LARGEST, LONGEST
from qgait.quantizers.step_owners import StepOwners, has_table

PAIRS = ("add", "multiply")
MAPS = ("conv", "max_pool", "row_slice", "strip_pool", "gem_pool")

Shapes = Mapping[str, tuple[int, ...]]


def offence(layers: Sequence[Layer], frame_size: tuple[int, int]) -> str | None:
    """A clause that says what is wrong with ``layers`` for frames of (H, W); None when they are a network."""
    return next(_offences(layers, frame_size), None)


def _offences(layers: Sequence[Layer], frame_size: tuple[int, int]) -> Iterator[str]:
    shapes: dict[str, tuple[int, ...]] = {INPUT: (1, *frame_size)}
    before: dict[str, Layer] = {}
    for layer in layers:
        yield from _place(layer, before)
        yield from (f"{layer.name} {clause}" for clause in _fit(layer, before, [shapes[name] for name in layer.inputs]))
        shapes[layer.name] = shape_of(layer, [shapes[name] for name in layer.inputs])
        if prod(shapes[layer.name]) > LARGEST:
            yield f"{layer.name} makes {prod(shapes[layer.name]):,} codes, more than {LARGEST:,}"
        before[layer.name] = layer
    read = {name for layer in layers for name in layer.inputs}
    yield from (f"nothing reads {layer.name}" for layer in layers[:-1] if layer.name not in read)
    if layers[-1].per_frame or len(shapes[layers[-1].name]) != 2:
        yield f"{layers[-1].name}, the last layer, does not make the parts of a clip"
    yield from _time(layers)
    yield from _joins(layers, shapes)


def _place(layer: Layer, before: Mapping[str, Layer]) -> Iterator[str]:
    """The name is new, what is read was made before, on the same side of the cut."""
    if layer.name in before or layer.name == INPUT:
        yield f"two tensors are called {layer.name}"
    if layer.name.endswith(".pre") or hasattr(nn.ParameterDict(), layer.name):
        yield f"no layer can be called {layer.name}"
    yield from (
        f"{layer.name} reads {name}, which no layer before it makes"
        for name in layer.inputs
        if name != INPUT and name not in before
    )
    wanted = 2 if layer.kind in PAIRS else 1
    if len(layer.inputs) != wanted and layer.kind != "concat":
        yield f"{layer.name} reads {len(layer.inputs)} tensors, not {wanted}"
    sides = {name == INPUT or before[name].per_frame for name in layer.inputs}
    if len(sides) > 1:
        yield f"{layer.name} joins a tensor of a frame with a tensor of a clip"
    if (layer.kind == "frame_max" or layer.kind in WINDOWS) and sides != {True}:
        yield f"{layer.name} looks along frames of a clip's tensor"
    if layer.per_frame != (sides == {True} and layer.kind != "frame_max"):
        yield f"{layer.name} is on the wrong side of the cut between frame and clip"


def _fit(layer: Layer, before: Mapping[str, Layer], shapes: list[tuple[int, ...]]) -> Iterator[str]:
    """Clauses without the layer's name; ``shapes`` are those of what it reads."""
    first = shapes[0]
    if layer.kind in MAPS and len(first) != 3:
        yield "reads parts, not a map"
    weight = () if layer.weight is None else tuple(layer.weight.shape)
    match layer.kind:
        case "conv":
            outputs, inputs, *kernel = weight
            if inputs != first[0] and not (inputs == 1 and outputs == first[0]):
                yield f"has weights for {inputs} channels, but reads {first[0]}"
            top, left, bottom, right = layer.padding
            height, width = first[1] + top + bottom, first[2] + left + right
            if kernel[0] > height or kernel[1] > width:
                yield f"has a kernel of {kernel[0]} x {kernel[1]}, which does not fit into {height} x {width}"
            if layer.shares:
                yield from _shared(layer, before.get(layer.shares))
        case "part_linear" if len(first) != 2 or weight[:2] != first:
            yield f"has weights {list(weight)} for a tensor {list(first)}"
        case "max_pool" if layer.kernel > min(first[1:]):
            yield f"pools {layer.kernel} x {layer.kernel}, which does not fit into {first[1]} x {first[2]}"
        case "row_slice" if not 0 <= layer.start < layer.stop <= first[1]:
            yield f"takes rows {layer.start} to {layer.stop} of {first[1]}"
        case "strip_pool" if any(first[1] % bins for bins in layer.bins):
            yield f"splits {first[1]} rows into {_few(layer.bins)} strips, which are not equal"
        case "gem_pool" if sum(layer.rows) != first[1] or len(layer.rows) != len(layer.powers):
            yield f"has regions of {_few(layer.rows)} rows with {len(layer.powers)} powers for {first[1]} rows"
        case "window_pool" if layer.size % 2 == 0 or layer.frames_padding != layer.size // 2:
            yield f"pools {layer.size} values with padding {layer.frames_padding}, which have no middle one"
        case "window" | "window_max" if layer.frames_padding >= layer.size:
            yield f"has windows of {layer.size} with padding {layer.frames_padding}, which look at nothing"
        case "add" if shapes[1] != first:
            yield f"adds {list(first)} and {list(shapes[1])}"
        case "multiply" if shapes[1] != first and (len(first) != 3 or shapes[1] != (1, first[0])):
            yield f"multiplies {list(first)} by {list(shapes[1])}"
        case "concat" if any((*s[:-2], s[-1]) != (*first[:-2], first[-1]) for s in shapes):
            yield "joins tensors of different sizes"


def _shared(layer: Layer, owner: Layer | None) -> Iterator[str]:
    if owner is None or owner.kind != "conv" or owner.shares:
        yield f"shares the weight of {layer.shares}, which is no convolution before it with one of its own"
    elif has_table(owner) != has_table(layer):
        yield f"shares the weight of {owner.name} and has another kind of activation"


def _time(layers: Sequence[Layer]) -> Iterator[str]:
    try:
        fewest = min_frames(layers)
    except ValueError as error:  # which names the layer
        yield str(error)
    else:
        if fewest > LONGEST:
            yield f"its windows need clips of {fewest:,} frames, more than {LONGEST:,}"


def _joins(layers: Sequence[Layer], shapes: Shapes) -> Iterator[str]:
    try:
        StepOwners(layers, shapes)
    except ValueError as error:  # its sentence
        yield str(error)


def _few(numbers: Sequence[int]) -> str:
    return f"{list(numbers[:4])}"[:-1] + (", ...]" if len(numbers) > 4 else "]")

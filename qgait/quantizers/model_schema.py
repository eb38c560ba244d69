"""What the JSON in a model file may say: a Struct a kind of layer, with the fields of `Layer` that the kind has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from qgait.models.layers import Layer
from qgait.quantizers.grid import MAX_BITS, MIN_BITS, FirstLast
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.structured import Code, Notes, Size, Text, Word

FORMAT = 4  # 1 had no fields of layers over time, of rows and of gates, 2 no digest, 3 weights in float32

LayerName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[A-Za-z0-9_.-]*\Z")]
OwnerName = Annotated[str, Meta(max_length=200, pattern=r"\A[A-Za-z0-9_.-]*\Z")]  # "": nobody
Side = Annotated[int, Meta(ge=1, le=2**12)]
Step = Annotated[int, Meta(ge=1, le=2**10)]
Edge = Annotated[int, Meta(ge=0, le=2**10)]
Row = Annotated[int, Meta(ge=0, le=2**16)]
Sizes = Annotated[tuple[Size, ...], Meta(min_length=1, max_length=2**10)]
Power = Annotated[float, Meta(ge=0.01, le=1000)]
Bits = Annotated[int, Meta(ge=MIN_BITS, le=MAX_BITS)]
Activation = Literal["none", "relu", "leaky_relu", "sigmoid"]


class _Layer(Struct, tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    name: LayerName
    inputs: Annotated[tuple[LayerName, ...], Meta(min_length=1, max_length=256)]
    per_frame: bool


class _Conv(_Layer, tag="conv"):
    """``weight`` is the weight's shape, here and below."""

    activation: Activation
    weight: tuple[Size, Size, Size, Size]
    stride: tuple[Step, Step]
    padding: tuple[Edge, Edge, Edge, Edge]
    shares: OwnerName


class _PartLinear(_Layer, tag="part_linear"):
    activation: Activation
    weight: tuple[Size, Size, Size]


class _Add(_Layer, tag="add"):
    activation: Activation


class _Multiply(_Layer, tag="multiply"):
    pass


class _MaxPool(_Layer, tag="max_pool"):
    kernel: Step


class _RowSlice(_Layer, tag="row_slice"):
    start: Row
    stop: Row


class _StripPool(_Layer, tag="strip_pool"):
    bins: Sizes
    pool: Literal["mean_max", "mean"]


class _GemPool(_Layer, tag="gem_pool"):
    rows: Sizes
    powers: Annotated[tuple[Power, ...], Meta(min_length=1, max_length=2**10)]


class _Window(_Layer, tag="window"):
    size: Step
    frames_stride: Step
    frames_padding: Edge


class _WindowMax(_Layer, tag="window_max"):
    size: Step
    frames_stride: Step
    frames_padding: Edge


class _WindowPool(_Layer, tag="window_pool"):
    size: Step
    frames_stride: Literal[1]
    frames_padding: Edge


class _FrameMax(_Layer, tag="frame_max"):
    pass


class _Concat(_Layer, tag="concat"):
    pass


AnyLayer = (
    _Conv
    | _PartLinear
    | _Add
    | _Multiply
    | _MaxPool
    | _RowSlice
    | _StripPool
    | _GemPool
    | _Window
    | _WindowMax
    | _WindowPool
    | _FrameMax
    | _Concat
)
KINDS: dict[str, type[_Layer]] = {str(kind.__struct_config__.tag): kind for kind in _Layer.__subclasses__()}


class GridFacts(Struct, forbid_unknown_fields=True):
    """A `Grid`."""

    lo: Code
    hi: Code
    zero_point: Code


class Description(Struct, forbid_unknown_fields=True):
    """The whole JSON. ``provenance`` is for people."""

    format: Literal[4]
    model: Text
    bits: Annotated[str, Meta(pattern=r"\Aw[2-8]a[2-8]\Z")]
    first_last: FirstLast
    frame_size: tuple[Side, Side]
    layers: Annotated[list[AnyLayer], Meta(min_length=1, max_length=2000)]
    grids: Annotated[dict[Word, GridFacts], Meta(max_length=4000)]
    weight_bits: Annotated[dict[Word, Bits], Meta(max_length=2000)]
    trained: bool
    provenance: Notes = {}


def describe(network: SimulatedNetwork) -> dict[str, Any]:
    """What the JSON says of ``network``."""
    return {
        "format": FORMAT,
        "model": network.model,
        "bits": str(network.recipe),
        "first_last": network.recipe.first_last,
        "frame_size": network.frame_size,
        "layers": [to_builtins(_facts(layer)) for layer in network.layers],
        "grids": {name: asdict(grid) for name, grid in network.grids.items()},
        "weight_bits": network.weight_bits,
        "trained": network.trained,
        "provenance": {key: value for key, value in network.provenance.items() if key != "model"},
    }


def _facts(layer: Layer) -> _Layer:
    kind = KINDS[layer.kind]
    told = {field: getattr(layer, field) for field in kind.__struct_fields__}
    return kind(**told | ({} if layer.weight is None else {"weight": tuple(layer.weight.shape)}))


def settings(facts: _Layer) -> dict[str, Any]:
    """The fields of a `Layer`, without its weight and bias."""
    told = {field: getattr(facts, field) for field in facts.__struct_fields__ if field != "weight"}
    return {"kind": facts.__struct_config__.tag, **told}

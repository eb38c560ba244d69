"""Weights of 2 to 7 bits in ONNX files: as many bytes, the same graph and codes again, every damage named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import GraphBuilder, silhouettes
from graph_edits import with_op
from onnx import helper, numpy_helper
from parity import assert_codes_equal
from small_networks import clips, layers

from qgait.calibration.calibrate import calibrate
from qgait.errors import QgaitError
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.onnx.exported import write_file
from qgait.export.onnx.metadata import DIGEST_KEY, set_metadata
from qgait.export.onnx.packed_weights import pack_weights, packed_weight, unpack_weights
from qgait.export.onnx.reader import load, read
from qgait.export.onnx.simplify import simplify
from qgait.export.onnx.writer import to_onnx, write
from qgait.export.operators import Weighted
from qgait.models import checkpoint, shipped
from qgait.models.backbone import describe
from qgait.quantizers.grid import FirstLast, Recipe, weight_limit
from qgait.runtime.ort import OPTIMIZATION_LEVELS, OnnxRuntime
from qgait.runtime.reference import Reference
from qgait.verification.fresh_export import file_differences

CLIP = silhouettes(3, 0, 16, 12)
Edit = Callable[[onnx.ModelProto], object]


def narrow(bits: int) -> Graph:
    """A small graph whose weights have ``bits``, and odd numbers of them, so that some bytes are not full."""
    b, rng = GraphBuilder(0, 16, 12), np.random.default_rng(bits)
    x = b.pool(b.leaky(b.conv("silhouette", 3, 5, zero_point=-90)))
    late = b.frame_max(b.conv(x, 5, 3))
    b.linear(b.strips(late, (4, 2, 1)), 11)
    graph = b.graph("narrow")
    for op in graph.ops:
        if isinstance(op, Weighted):
            limit = weight_limit(bits)
            weight = rng.integers(-limit, limit + 1, op.weight.shape).astype(np.int8)
            weight.flat[:2] = limit, -limit
            graph = with_op(graph, op.name, weight=weight)
    return graph


def weights(graph: Graph) -> dict[str, np.ndarray]:
    return {op.name: op.weight for op in graph.ops if isinstance(op, Weighted)}


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_is_read_and_run_as_it_was_written(bits: int, tmp_path: Path) -> None:
    graph, path = narrow(bits), tmp_path / "m.onnx"
    write(graph, path)
    again = read(path)
    for name, weight in weights(graph).items():
        np.testing.assert_array_equal(weights(again)[name], weight)
        assert weights(again)[name].dtype == np.int8
    assert file_differences(load(path), graph) == []
    wanted = Reference(graph).embed(CLIP)
    assert wanted.min() < wanted.max()
    for level in OPTIMIZATION_LEVELS:
        assert_codes_equal(OnnxRuntime(path, level, threads=1).embed(CLIP), wanted)


@pytest.mark.parametrize("bits", range(2, 9))
def test_bytes_of_weights_are_their_bits(bits: int) -> None:
    graph = narrow(bits)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in to_onnx(graph).graph.initializer}
    for name, weight in weights(graph).items():
        parts = [array for key, array in stored.items() if key.startswith(f"{name}.weight") and key[-6:] != ".shape"]
        found = sum(array.nbytes for array in parts)
        assert 0 <= found - weight.size * bits / 8 < 3, name
        assert {array.dtype for array in parts} == {np.dtype(np.int8 if bits == 8 else np.uint8)}


@pytest.mark.parametrize(("bits", "first_last"), [(4, "8"), (4, "same"), (3, "same"), (2, "same")])
def test_a_trained_network_takes_what_its_bits_take(bits: int, first_last: FirstLast, tmp_path: Path) -> None:
    real = describe(checkpoint.load(shipped.checkpoint()))
    net = calibrate("gaitset", real, clips(2, 4), Recipe(bits, bits, first_last))[0]
    graph = fold(net)
    write(graph, tmp_path / "m.onnx")
    model = load(tmp_path / "m.onnx")
    found = sum(
        len(tensor.raw_data)
        for tensor in model.graph.initializer
        if packed_weight(tensor.name) or tensor.name.endswith(".weight")
    )
    wanted = sum(weight.size * net.weight_bits[name] for name, weight in weights(graph).items()) / 8
    assert graph.parameters > 160_000 and found <= 1.05 * wanted
    assert (tmp_path / "m.onnx").stat().st_size < found + 110_000, "biases, multipliers, nodes and the JSON"


@pytest.mark.parametrize("first_last", ["8", "same"])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_onnx_runtime_gives_the_codes_of_the_simulation(bits: int, first_last: FirstLast, tmp_path: Path) -> None:
    net = calibrate("gaitbase", list(layers("gaitbase")), clips(2, 4), Recipe(bits, bits, first_last))[0]
    write(fold(net), tmp_path / "m.onnx")
    clip = clips(1, 3, seed=9)[0]
    for level in OPTIMIZATION_LEVELS:
        assert_codes_equal(OnnxRuntime(tmp_path / "m.onnx", level, threads=1).embed(clip), net.embed(clip))


def test_onnxsim_finds_nothing_and_leaves_weights_packed(tmp_path: Path) -> None:
    graph = narrow(3)
    made = write_file(graph, tmp_path / "m.onnx")
    assert made.simplified.startswith("onnxsim finds nothing")
    assert (tmp_path / "m.onnx").read_bytes() == to_onnx(graph).SerializeToString()


def test_what_onnxsim_simplified_is_packed(tmp_path: Path) -> None:
    graph, path = narrow(3), tmp_path / "m.onnx"
    write(graph, path)
    model = load(path)
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    position = list(model.graph.node).index(pool)
    model.graph.node.insert(position, helper.make_node("Identity", [pool.input[0]], ["detour"], name="detour"))
    model.graph.node[position + 1].input[0] = "detour"
    forge(model, path)
    assert simplify(path, graph, [CLIP]).startswith("Simplified by onnxsim")
    again = load(path)
    assert [node.name for node in again.graph.node if node.op_type == "Unpack"]
    assert not any(tensor.name.endswith(".weight") for tensor in again.graph.initializer)
    assert_codes_equal(OnnxRuntime(path).embed(CLIP), Reference(graph).embed(CLIP))


def test_unpacking_is_the_inverse_of_packing() -> None:
    graph = narrow(5)
    model = to_onnx(graph)
    packed = {tensor.name: tensor.SerializeToString() for tensor in model.graph.initializer}
    nodes = [node.name for node in model.graph.node]
    unpack_weights(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {f"{name}.weight" for name in weights(graph)} <= set(stored)
    assert not any("unpack" in name or "bits" in name for name in stored) and len(model.functions) == 1
    pack_weights(model, graph)
    assert {tensor.name: tensor.SerializeToString() for tensor in model.graph.initializer} == packed
    assert [node.name for node in model.graph.node] == nodes


def forge(model: onnx.ModelProto, path: Path) -> None:
    """Writes ``model`` with a digest that fits."""
    set_metadata(model, {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY})
    path.write_bytes(model.SerializeToString())


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        tensor = initializer(model, name)
        tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))

    return edit


def lowest_bit(plane: np.ndarray) -> np.ndarray:
    plane[1] ^= 1
    return plane


def highest_bit(plane: np.ndarray) -> np.ndarray:
    plane[-1] |= 0x80
    return plane


def beyond(plane: np.ndarray) -> np.ndarray:
    plane[0] = (plane[0] & 0xF0) | 0x08
    return plane


def test_one_flipped_bit_is_refused_and_with_a_digest_that_fits_it_is_named(tmp_path: Path) -> None:
    graph, path = narrow(4), tmp_path / "m.onnx"
    write(graph, path)
    model = load(path)
    replaced("conv0.weight.4bits", lowest_bit)(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(QgaitError, match="was altered after its export"):
        read(path)
    forge(model, path)
    before = weights(graph)["conv0"].transpose(0, 3, 1, 2)
    after = weights(read(path))["conv0"].transpose(0, 3, 1, 2)
    place = tuple(int(i) for i in np.unravel_index(2, before.shape))
    found = [str(difference) for difference in file_differences(load(path), graph)]
    assert found == [f"conv0.weight[{', '.join(map(str, place))}] is {after[place]}, not {before[place]}"]


def test_a_weight_of_other_bits_is_named_too() -> None:
    graph = narrow(3)
    weight = weights(graph)["conv0"].copy()
    weight.flat[4] = 99
    found = [str(difference) for difference in file_differences(to_onnx(with_op(graph, "conv0", weight=weight)), graph)]
    assert any(line.startswith("conv0.weight[") for line in found), found


DAMAGE: dict[str, tuple[Edit, str]] = {
    "padding": (replaced("conv0.weight.4bits", highest_bit), "conv0.weight has bits set behind its last number"),
    "a code beyond the grid": (replaced("conv0.weight.4bits", beyond), "conv0.weight has the code -8, which is not"),
    "a byte too few": (replaced("conv0.weight.4bits", lambda plane: plane[:-1]), "conv0.weight has "),
    "a byte too many": (replaced("conv0.weight.4bits", lambda plane: np.append(plane, plane[:1])), "where it needs"),
    "another shape": (replaced("conv0.weight.shape", lambda shape: shape + 1), "where it needs"),
    "a huge shape": (replaced("conv0.weight.shape", lambda shape: shape + 2**40), "where it needs"),
    "a negative shape": (replaced("conv0.weight.shape", lambda shape: -shape), "no planes of 2 to 7 bits, or no shape"),
    "a plane with a sign": (replaced("conv0.weight.4bits", lambda plane: plane.view(np.int8)), "that are not uint8"),
    "no plane": (
        lambda model: model.graph.initializer.remove(initializer(model, "conv0.weight.4bits")),
        "conv0.weight has no planes of 2 to 7 bits",
    ),
    "no shape": (
        lambda model: model.graph.initializer.remove(initializer(model, "conv0.weight.shape")),
        "conv0 has no initializer conv0.weight",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_was_not_packed_so_is_refused_by_name(what: str, tmp_path: Path) -> None:
    edit, words = DAMAGE[what]
    path = tmp_path / "m.onnx"
    graph = narrow(4)
    assert weights(graph)["conv0"].size % 2, "the last byte has to be half full"
    model = to_onnx(graph)
    edit(model)
    forge(model, path)
    with pytest.raises(QgaitError) as caught:
        read(path)
    assert words in caught.value.problem and len(caught.value.problem) < 300


@pytest.mark.parametrize("name", ["unpack/3/2bits", "conv0.weight.shape"])
def test_a_changed_table_is_not_given_to_onnx_runtime(name: str, tmp_path: Path) -> None:
    model = to_onnx(narrow(3))
    if name.startswith("unpack"):
        replaced(name, lambda table: table[::-1].copy())(model)
    else:
        replaced(name, lambda shape: np.append(shape, 1))(model)
    forge(model, tmp_path / "m.onnx")
    with pytest.raises(QgaitError, match=r"is not that of its graph|has an initializer for its weight of shape"):
        OnnxRuntime(tmp_path / "m.onnx")


def test_files_of_format_3_with_int8_weights_are_read(tmp_path: Path) -> None:
    graph, path = narrow(3), tmp_path / "m.onnx"
    model = to_onnx(graph)
    unpack_weights(model)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    set_metadata(model, entries | {"qgait.format": "3"})
    path.write_bytes(model.SerializeToString())
    for name, weight in weights(read(path)).items():
        np.testing.assert_array_equal(weight, weights(graph)[name])
    with pytest.raises(QgaitError, match=r"does not compute what it describes.*export it again"):
        OnnxRuntime(path)

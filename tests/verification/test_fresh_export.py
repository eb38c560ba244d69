"""An ONNX file against a fresh fold of its model: whatever is changed is named, data or no data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import parts_graph, tiny_graph
from onnx import numpy_helper
from quantized_backbones import NAMES, folded
from small_networks import clips, network

from qgait.cli import run
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.onnx.exported import write_file
from qgait.export.onnx.metadata import DIGEST_KEY, set_metadata
from qgait.export.onnx.reader import load
from qgait.export.onnx.writer import to_onnx, write
from qgait.quantizers import model_file
from qgait.runtime.dequantizer import Dequantizer
from qgait.runtime.reference import Reference
from qgait.verification.fresh_export import file_differences
from qgait.verification.parity import Parity, compare, expected_codes, meaning_of
from qgait.verification.verify import verify

Edit = Callable[[onnx.ModelProto], None]


def differences(graph: Graph, edit: Edit) -> list[str]:
    """What is said of the file of ``graph`` after ``edit``, with its digest made right again."""
    model = to_onnx(graph)
    edit(model)
    set_metadata(model, {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY})
    return [str(difference) for difference in file_differences(model, graph)]


def element(name: str, place: int, change: int) -> Edit:
    """Adds ``change`` to one element of the first constant whose name ends in ``name``."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith(name))
        array = numpy_helper.to_array(tensor).copy()
        array.flat[place] += change
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return edit


def scaled(factors: Callable[[int], float]) -> Edit:
    """The scales of the embedding times ``factors`` of the part, in both places that the file has them."""

    def edit(model: onnx.ModelProto) -> None:
        entries = {entry.key: entry for entry in model.metadata_props}
        layout, graph = (json.loads(entries[key].value) for key in ("qgait.embedding", "qgait.graph"))
        scales = [
            float(np.float32(float.fromhex(scale) * factors(part))).hex() for part, scale in enumerate(layout["scale"])
        ]
        layout["scale"] = scales
        next(tensor for tensor in graph["tensors"] if tensor["name"] == graph["output"])["scale"] = scales
        entries["qgait.embedding"].value, entries["qgait.graph"].value = json.dumps(layout), json.dumps(graph)

    return edit


def attribute(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Requant")
    next(one for one in node.attribute if one.name == "lo").i += 1


def rewired(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Add" and node.name.endswith("/acc"))
    node.input[1] = next(
        t.name for t in model.graph.initializer if t.name.endswith(".bias") and t.name != node.input[1]
    )


def one_more(model: onnx.ModelProto) -> None:
    last = model.graph.node[-1]
    node = model.graph.node.add()
    node.CopyFrom(last)
    node.name, node.output[0] = "more", "more"


def function(model: onnx.ModelProto) -> None:
    node = next(node for node in model.functions[0].node if node.op_type == "BitShift")
    node.attribute[0].s = b"RIGHT"


def renamed(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].name += "?"


def retyped(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.int16), tensor.name))


def documented(model: onnx.ModelProto) -> None:
    model.graph.node[3].doc_string = "harmless"


def other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version -= 1


CHANGES = {
    "one weight by one": (element(".weight", 5, 1), r"\.weight\[[\d, ]+\] is -?\d+, not -?\d+$"),
    "the lowest bit of a multiplier": (element(".multiplier", 2, 1), r"\.multiplier\[2, 0, 0\] is \d+, not \d+$"),
    "one shift": (element(".shift", 0, 1), r"\.shift\[0"),
    "one bias": (element(".bias", 1, -1), r"\.bias\[1"),
    "one entry of a table": (element(".table", 250, -1), r"\.table\[250\] is"),
    "a shared constant": (element("int32/128", 0, 1), r"int32/128\[\] is 129, not 128$"),
    "all scales doubled": (scaled(lambda part: 2), r"qgait.embedding.scale\[0\] is 0x"),
    "one part's scale a hundredfold": (scaled(lambda part: 100 if part == 3 else 1), r"qgait.embedding.scale\[3\] is"),
    "a bound": (attribute, r"node \d+ \([^)]*requant\).attribute lo is -?\d+, not -?\d+$"),
    "an input": (rewired, r"node \d+ \(.*/acc\).inputs\[1\] is .*bias, not .*bias$"),
    "one more node": (one_more, "the number of nodes is 88, not 87$"),
    "the integer rule": (function, r"the function qgait.Requant: node \d+ \(BitShift\).attribute direction"),
    "the name of a constant": (renamed, r"the constant .* is (missing, not there|there, not missing)$"),
    "the type of a constant": (retyped, r" is int16 \["),
    "a remark": (documented, r"node 3 .*is written otherwise, not as qgait writes it$"),
    "the operator set": (other_opset, "the field opset_import is .*, not "),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_change_is_named(what: str) -> None:
    edit, words = CHANGES[what]
    found = differences(tiny_graph(), edit)
    assert any(re.search(words, line) for line in found), found


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_nobody_changed_is_a_fresh_one(name: str, tmp_path: Path) -> None:
    graph = folded(name)
    write(graph, tmp_path / "model.onnx")
    assert file_differences(load(tmp_path / "model.onnx"), graph) == []


@pytest.mark.parametrize("name", ["gaitset", "gaitgl", "hstl"])
def test_onnxsim_finds_nothing_in_networks_of_this_project(name: str, tmp_path: Path) -> None:
    """So a file is the same wherever it is exported."""
    graph = folded(name)
    assert write_file(graph, tmp_path / "model.onnx").simplified.startswith("onnxsim finds nothing")
    assert file_differences(load(tmp_path / "model.onnx"), graph) == []


def test_a_simplified_file_is_compared_with_a_simplified_one(tmp_path: Path) -> None:
    """Two equal windows, one of which onnxsim removes."""
    graph = parts_graph(0)
    made = write_file(graph, tmp_path / "model.onnx")
    assert made.simplified.startswith("Simplified")
    model = load(tmp_path / "model.onnx")
    assert file_differences(model, graph) == []
    element(".weight", 5, 1)(model)
    assert ".weight[" in file_differences(model, graph)[0].place


def test_a_file_of_another_network_differs_in_many_places() -> None:
    found = file_differences(to_onnx(fold(network("gaitset", seed=1))), fold(network("gaitset")))
    assert len(found) > 20


def test_the_proof_holds_only_with_the_file(tmp_path: Path) -> None:
    """Scales that are written wrong change no code; the file and the real embeddings show them."""
    right = network("gaitset")
    graph = fold(right)
    output = graph.tensors[graph.output]
    wrong = replace(graph, tensors={**graph.tensors, graph.output: replace(output, scale=output.scale * 2)})
    good, bad = (verify(one, right, clips(2, 3), ["reference", "ort"]) for one in (graph, wrong))
    assert good.holds and good.file == ()
    assert not bad.holds and len(bad.file) > 0
    assert {result.mismatches for result in bad.runtimes.values()} == {0}
    assert all(result.real_mismatches > 0 for result in bad.runtimes.values())
    assert bad.to_dict()["file"]["differences"] == len(bad.file)
    assert not replace(bad, file=()).holds, "real embeddings alone are enough"
    assert not replace(good, file=bad.file).holds, "the file alone is enough"


def test_real_embeddings_are_those_of_the_model() -> None:
    graph = fold(network("gaitset"))
    some = clips(2, 3)
    expected = expected_codes(graph, some)
    meaning = meaning_of(network("gaitset"))
    np.testing.assert_array_equal(meaning.scale, graph.tensors[graph.output].scale)
    one_part = meaning.scale.copy()
    one_part[3] *= 100
    shifted = Reference(graph)
    shifted.dequantizer = Dequantizer(one_part, meaning.zero_point)
    result = compare(shifted, graph, some, expected, meaning=meaning)
    assert result.mismatches == 0 and 0 < result.real_mismatches <= 2 * graph.tensors[graph.output].shape[1]
    assert not Parity(2, 1, None, {"wrong": result}).holds


def test_the_command_fails_and_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_file.save(network("gaitset"), tmp_path / "model.safetensors")
    write(fold(network("gaitset")), tmp_path / "model.onnx")
    words = ["verify", str(tmp_path / "model.onnx"), "--model", str(tmp_path / "model.safetensors")]
    words += ["--runtime", "reference", "--json", str(tmp_path / "facts.json")]
    assert run(words) == 0
    assert "Every constant of" in capsys.readouterr().out
    model = load(tmp_path / "model.onnx")
    element(".multiplier", 2, 1)(model)
    set_metadata(model, {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY})
    onnx.save(model, tmp_path / "model.onnx")
    assert run(words) == 1
    printed = capsys.readouterr()
    assert ".multiplier[2, 0, 0] is" in " ".join(printed.out.split())
    assert "itself, in 1 places" in printed.err
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["file"]["differences"] == 1 and facts["runtimes"]["reference"]["real_mismatches"] == 0

"""Whether `qgait verify` sees every single change: of ONNX files, of bundles and of model files.

    python benchmarks/proof_mutations.py
    python benchmarks/proof_mutations.py --count 5000 --model MODEL.safetensors --seed 3 --json FIGURES.json

Every change is one: of an element of a constant (by 1, in any kind of constant, low bits of multipliers included, which
change no result), of a scale, zero point, bound, size or name in the metadata, of an attribute or an input of a node,
of a byte of a bundle's files, of a number of its manifest, of a bit of a model file. Digests and checksums are then
made right again, as somebody who wants to deceive would; of a model file, whose content alone says what is right, they
are not. Exits with 1 when a change goes unseen.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from exit_code import exit_code
from onnx import numpy_helper

from qgait.commands.output import progress, table, write_json
from qgait.errors import ParityError, QgaitError
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.onnx.metadata import DIGEST_KEY, PROVENANCE_KEY, set_metadata
from qgait.export.onnx.reader import load
from qgait.export.onnx.writer import write
from qgait.models import shipped
from qgait.progress import Progress
from qgait.quantizers import model_file
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST, sign
from qgait.verification.fresh_bundle import FreshBundle, bundle_differences, rebuild
from qgait.verification.fresh_export import file_differences

Rng = np.random.Generator
OnnxChange = Callable[[onnx.ModelProto, Rng], str]


def change_constant(model: onnx.ModelProto, rng: Rng) -> str:
    """One element of one initialiser, by 1."""
    tensor = model.graph.initializer[rng.integers(len(model.graph.initializer))]
    array = numpy_helper.to_array(tensor).copy()
    place = int(rng.integers(array.size))
    limits = np.iinfo(array.dtype)
    old = int(array.flat[place])
    array.flat[place] = old + 1 if old < limits.max and (old == limits.min or rng.integers(2)) else old - 1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return f"constant: {tensor.name.rsplit('.', 1)[-1].split('/')[0]}"


def change_metadata(model: onnx.ModelProto, rng: Rng) -> str:
    """One value somewhere in one entry of the metadata."""
    entries = [entry for entry in model.metadata_props if entry.key not in (DIGEST_KEY, PROVENANCE_KEY)]
    entry = entries[rng.integers(len(entries))]
    try:
        content = json.loads(entry.value)
    except ValueError:
        content = entry.value
    places = list(leaves(content, ()))
    path, value = places[rng.integers(len(places))]
    entry.value = str(changed(value, rng)) if not path else json.dumps(replaced(content, path, changed(value, rng)))
    names = [step for step in path if isinstance(step, str)]
    return f"metadata: {names[-1] if names else entry.key}"


def change_attribute(model: onnx.ModelProto, rng: Rng) -> str:
    """One integer or text of a node, in the graph or in a function."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    having = [node for node in nodes if node.attribute]
    attributes = having[rng.integers(len(having))].attribute
    attribute = attributes[rng.integers(len(attributes))]
    if attribute.ref_attr_name:
        attribute.ref_attr_name = {"lo": "hi", "hi": "lo"}.get(attribute.ref_attr_name, "lo")
    elif attribute.ints:
        attribute.ints[rng.integers(len(attribute.ints))] += 1
    elif attribute.s:
        attribute.s = b"LEFT" if attribute.s == b"RIGHT" else b"RIGHT"
    else:
        attribute.i += 1 if attribute.i < 2**62 else -1
    return "attribute of a node"


def change_input(model: onnx.ModelProto, rng: Rng) -> str:
    """One node reads something else of the graph."""
    nodes = [node for node in model.graph.node if node.input]
    node = nodes[rng.integers(len(nodes))]
    names = sorted({name for other in nodes for name in other.input} - set(node.input))
    node.input[rng.integers(len(node.input))] = names[rng.integers(len(names))]
    return "input of a node"


def change_scale(model: onnx.ModelProto, rng: Rng) -> str:
    """A scale of the embedding, wherever the file has it: all parts doubled, or one part a hundred times as large."""
    by_part = bool(rng.integers(2))
    for entry in model.metadata_props:
        if entry.key == "qgait.embedding":
            content = json.loads(entry.value)
            scales = content["scale"]
            part = int(rng.integers(len(scales)))
            for i, scale in enumerate(scales):
                factor = (100 if i == part else 1) if by_part else 2
                scales[i] = float(np.float32(float.fromhex(scale) * factor)).hex()
            entry.value = json.dumps(content)
            wanted = scales
    for entry in model.metadata_props:
        if entry.key == "qgait.graph":
            content = json.loads(entry.value)
            for tensor in content["tensors"]:
                if tensor["name"] == content["output"]:
                    tensor["scale"] = wanted
            entry.value = json.dumps(content)
    return "scale of the embedding, everywhere"


ONNX_CHANGES: tuple[OnnxChange, ...] = (
    *(change_constant,) * 6,
    *(change_metadata,) * 4,
    *(change_attribute,) * 2,
    change_input,
    change_scale,
)


def leaves(content: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every single value in plain data, with the way to it."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, (*path, key))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from leaves(value, (*path, i))
    else:
        yield path, content


def replaced(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of plain data with one value changed."""
    result = copy.deepcopy(content)
    inner = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return result


def changed(value: Any, rng: Rng) -> Any:
    """Something of the same kind that is not the same; of a hexadecimal float, the next one or its double."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + (1 if rng.integers(2) else -1)
    if isinstance(value, float):
        return value * 2 if value else 1.0
    if isinstance(value, str) and value.startswith("0x"):
        scale = np.float32(float.fromhex(value))
        return float(np.nextafter(scale, np.float32(np.inf)) if rng.integers(2) else scale * 2).hex()
    return f"{value}x" if isinstance(value, str) else "something"


def onnx_mutations(graph: Graph, count: int, rng: Rng, folder: Path, report: Progress) -> Counter[tuple[str, str]]:
    """(kind of change, how it ended) of ``count`` changes of the ONNX file of ``graph``."""
    path = folder / "model.onnx"
    write(graph, path)
    original = load(path)
    ends: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        model = onnx.ModelProto()
        model.CopyFrom(original)
        kind = ONNX_CHANGES[rng.integers(len(ONNX_CHANGES))](model, rng)
        set_metadata(model, {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY})
        path.write_bytes(model.SerializeToString())
        ends[kind, onnx_end(path, graph)] += 1
        report("changes of the ONNX file", number + 1, count)
    return ends


def onnx_end(path: Path, graph: Graph) -> str:
    """What `qgait verify` makes of the file before any code is computed."""
    try:
        return "named" if file_differences(load(path), graph) else "UNSEEN"
    except QgaitError:
        return "refused"


def bundle_mutations(graph: Graph, count: int, rng: Rng, folder: Path, report: Progress) -> Counter[tuple[str, str]]:
    """(kind of change, how it ended) of ``count`` changes of a bundle for this machine."""
    from qgait.compiler.bundle import write as write_bundle
    from qgait.export.probe import probe_clips
    from qgait.targets.processors import find

    whole = write_bundle(graph, find("host"), folder / "whole", probe_clips(graph), trace=True)
    fresh = rebuild(whole, graph, folder / "fresh", report)
    if bundle_differences(whole, fresh):
        raise ParityError("A bundle that nobody changed is not the same as a fresh one.")
    files = sorted(whole.manifest["files"])
    ends: Counter[tuple[str, str]] = Counter()
    place = folder / "changed"
    shutil.copytree(whole.path, place)
    manifest = {key: value for key, value in whole.manifest.items() if key not in ("files", "checksum")}
    for number in range(count):
        told: dict[str, Any] = manifest
        name = files[rng.integers(len(files))] if rng.integers(3) else MANIFEST
        if name == MANIFEST:
            paths = [(path, value) for path, value in leaves(manifest, ()) if path[0] not in ("versions", "provenance")]
            path, value = paths[rng.integers(len(paths))]
            told, kind = replaced(manifest, path, changed(value, rng)), f"manifest: {path[0]}"
        else:
            content = bytearray((place / name).read_bytes())
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
            (place / name).write_bytes(content)
            kind = f"a bit of {name.split('/')[0]}"
        sign(place, told)
        ends[kind, bundle_end(place, fresh)] += 1
        if name != MANIFEST:
            shutil.copyfile(whole.path / name, place / name)
        report("changes of the bundle", number + 1, count)
    return ends


def bundle_end(place: Path, fresh: FreshBundle) -> str:
    """What `qgait verify` makes of the bundle before it is run."""
    try:
        return "named" if bundle_differences(Bundle.open(place), fresh) else "UNSEEN"
    except QgaitError:
        return "refused"


def model_mutations(model: Path, count: int, rng: Rng, folder: Path, report: Progress) -> Counter[tuple[str, str]]:
    """(kind of change, how it ended) of ``count`` flipped bits of a model file."""
    content = model.read_bytes()
    path = folder / "model.safetensors"
    ends: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            model_file.load(path)
            ends["a bit of the model file", "UNSEEN"] += 1
        except QgaitError:
            ends["a bit of the model file", "refused"] += 1
        report("changes of the model file", number + 1, count)
    return ends


def main(arguments: argparse.Namespace) -> None:
    """Tries everything and prints what became of it."""
    graph = fold(model_file.load(arguments.model))
    rng = np.random.default_rng(arguments.seed)
    ends: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="qgait-") as folder, progress() as report:
        ends += onnx_mutations(graph, arguments.count, rng, Path(folder), report)
        ends += bundle_mutations(graph, arguments.count, rng, Path(folder), report)
        ends += model_mutations(arguments.model, arguments.count, rng, Path(folder), report)
    kinds = sorted({kind for kind, _ in ends})
    rows = [[kind, *(ends[kind, end] for end in ("named", "refused", "UNSEEN"))] for kind in kinds]
    total = ends.total()
    unseen = sum(row[3] for row in rows)
    title = f"{total - unseen:,} of {total:,} single changes of {graph.model} {graph.bits} were seen"
    table(title, ("change", "named", "refused", "UNSEEN"), rows)
    write_json(arguments.json, {"changes": total, "unseen": unseen, "rows": rows})
    if unseen:
        raise ParityError(f"{unseen} changes went unseen.")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--model", type=Path, default=shipped.path(), help="a quantized model; else the one that qgait ships"
    )
    made.add_argument("--count", type=int, default=1000, help="changes of each kind of file")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--json", type=Path, help="write the table as JSON")
    return made


def run(words: list[str] | None = None) -> int:
    """The exit code of one command line."""
    return exit_code(main, parser(), words)


if __name__ == "__main__":
    sys.exit(run())

"""Mutations of model files, ONNX files and manifests, with digests that fit, and what has to become of each.

``CASES[format](content, rng)`` gives (what was done, content). ``OUTCOMES[format](content, folder)`` reads it as qgait
does: None when it works, or the QgaitError that refuses it. Everything else that is raised is a defect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from example_graphs import silhouettes
from model_edits import forged
from mutations import Random, mutated_arrays, mutated_bytes, mutated_json
from onnx import numpy_helper
from safetensors.numpy import load

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.export.onnx.metadata import DIGEST_KEY, GRAPH_KEY, set_metadata
from qgait.export.onnx.reader import from_onnx
from qgait.export.onnx.reader import load as load_onnx
from qgait.quantizers import model_file
from qgait.quantizers.stored_tensors import opened
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST, checksum
from qgait.runtime.ethosu.estimate import estimate
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import Reference

Case = tuple[str, bytes]
LONGEST = 300  # characters of a sentence, without the name of the file
LARGEST_WORK = 2 * 10**8  # multiply-accumulates of a clip that is tried
PYTHON = ("Error(", "object at 0x", "NoneType", "KeyError", "Traceback", "<class", "numpy.", "msgspec", "dtype('")


def model_json(content: bytes, rng: Random) -> Case:
    what, text = mutated_json(opened(content, "")[0], rng)
    return what, forged(text.encode("utf-8", "replace").decode(), load(content))


def model_tensors(content: bytes, rng: Random) -> Case:
    what, arrays = mutated_arrays(load(content), rng)
    return what, forged(opened(content, "")[0], arrays)


def any_bytes(content: bytes, rng: Random) -> Case:
    return mutated_bytes(content, rng)


def onnx_metadata(content: bytes, rng: Random) -> Case:
    """The JSON of the graph mostly, or one of the others, or one of the entries itself."""
    model = onnx.load_model_from_string(content)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    key = GRAPH_KEY if rng.random() < 0.8 else rng.choice(sorted(entries))
    if rng.random() < 0.05:
        what, entries = mutated_entries(entries, rng)
    elif entries[key].startswith("{"):
        what, text = mutated_json(entries[key], rng)
        entries[key] = text.encode("utf-8", "replace").decode()
    else:
        what, entries[key] = "word", rng.choice(("", "0", "9" * 400, "-1", "three", "x" * 999, "1.5", "\x00"))
    set_metadata(model, entries)
    return f"{key}: {what}", model.SerializeToString()


def mutated_entries(entries: dict[str, str], rng: Random) -> tuple[str, dict[str, str]]:
    key = rng.choice(sorted(entries))
    rest = {name: text for name, text in entries.items() if name != key}
    return rng.choice((("dropped", rest), ("added", entries | {"note": "x"}), ("renamed", rest | {key + "x": "x"})))


def onnx_tensors(content: bytes, rng: Random) -> Case:
    model = onnx.load_model_from_string(content)
    initializer = rng.choice(list(model.graph.initializer))
    array = numpy_helper.to_array(initializer)
    match rng.choice(("dims", "type", "external", "raw", "value", "value", "value", "name", "drop")):
        case "dims":
            initializer.dims[:] = [rng.choice((-1, 0, 1, 3, 2**31, 2**62)) for _ in range(rng.randrange(6))]
        case "type":
            initializer.data_type = rng.randrange(0, 30)
        case "external":
            onnx.external_data_helper.set_external_data(initializer, rng.choice(("/etc/passwd", "x", "../x")))
        case "raw":
            initializer.raw_data = mutated_bytes(initializer.raw_data + b"\0", rng)[1]
        case "value":
            changed = array.copy()
            limits = np.iinfo(array.dtype) if array.dtype != bool else np.iinfo(np.int8)
            values = (limits.min, limits.max, 0, 1, limits.max // 2)
            changed.reshape(-1)[rng.randrange(max(array.size, 1)) :][:1] = np.array(rng.choice(values)).astype(
                array.dtype
            )
            initializer.CopyFrom(numpy_helper.from_array(changed, initializer.name))
        case "name":
            initializer.name = rng.choice(list(model.graph.initializer)).name
        case _:
            model.graph.initializer.remove(initializer)
    return f"initializer {initializer.name}", redigested(model)


def onnx_protobuf(content: bytes, rng: Random) -> Case:
    """Bytes of the file; where they are still protobuf, the digest fits half of the time."""
    what, changed = mutated_bytes(content, rng)
    try:
        return what, redigested(onnx.load_model_from_string(changed)) if rng.random() < 0.5 else changed
    except Exception:
        return what, changed


def redigested(model: onnx.ModelProto) -> bytes:
    set_metadata(model, {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY})
    return model.SerializeToString()


def manifest_json(content: bytes, rng: Random) -> Case:
    what, text = mutated_json(content.decode(), rng)
    try:
        plain: Any = json.loads(text)
        if isinstance(plain, dict) and rng.random() < 0.95:
            plain["checksum"] = checksum(plain)
        return what, (json.dumps(plain, indent=1) + "\n").encode()
    except (ValueError, RecursionError):
        return what, text.encode()


def model_outcome(content: bytes, folder: Path) -> QgaitError | None:
    """It loads, folds and passes the graph's checks, or is refused."""
    file = folder / "m.safetensors"
    file.write_bytes(content)
    try:
        graph = fold(model_file.load(file))
        check_graph(graph)
    except QgaitError as error:
        return error
    return None


def onnx_outcome(content: bytes, folder: Path) -> QgaitError | None:
    """It is read and gives an embedding of a short clip, in numpy and by ONNX Runtime, or is refused."""
    file = folder / "m.onnx"
    file.write_bytes(content)
    try:
        graph = from_onnx(load_onnx(file), file)
    except QgaitError as error:
        return error
    height, width, _ = graph.tensors[graph.input].shape
    if graph.min_frames * graph.frame_macs + graph.clip_macs < LARGEST_WORK:
        clip = silhouettes(2, 3, height, width)
        codes = Reference(graph).embed(clip)
        assert codes.shape == graph.tensors[graph.output].shape
        try:  # its nodes may be others than those of the graph: that they differ is for `qgait verify` to say
            OnnxRuntime(file, threads=1).embed(clip)
        except QgaitError as error:
            return error
    return None


def bundle_outcome(content: bytes, folder: Path) -> QgaitError | None:
    """The bundle in ``folder`` opens with this manifest and tells what it is, or is refused."""
    (folder / MANIFEST).write_bytes(content)
    try:
        bundle = Bundle.open(folder)
    except QgaitError as error:
        return error
    parts, channels = bundle.embedding_shape
    assert bundle.scale.shape == (parts,) and parts * channels > 0 and min(bundle.frame_shape) > 0
    assert bundle.target.name and bundle.target_name and bundle.gait_run and bundle.model is not None
    assert -128 <= bundle.zero_point <= 127 and bundle.library_bytes >= 0
    facts = bundle.manifest
    assert facts["macs"]["frame"] >= 0 and facts["timing"]["stride"] > 0 and facts["memory"]["arena_bytes"] >= 0
    assert all(facts["memory"]["tensors"][name]["shape"] for kernel in facts["kernels"] for name in kernel["outputs"])
    assert len(facts["selftest"]["frames"]) > 0
    if bundle.npu is not None:
        estimate(bundle.npu)
    return None


def fault(error: QgaitError, folder: Path) -> str | None:
    """What is wrong with the sentence of a refusal; None for a good one."""
    said = str(error).replace(str(folder), "")
    if len(error.problem.replace(str(folder), "")) > LONGEST:
        return f"{len(said)} characters: {said}"
    if any(word in said for word in PYTHON) or not said.isprintable() or not error.fix:
        return f"not our words: {said!r}"
    return None


CASES: dict[str, Callable[[bytes, Random], Case]] = {
    "model JSON": model_json,
    "model tensors": model_tensors,
    "model bytes": any_bytes,
    "ONNX metadata": onnx_metadata,
    "ONNX tensors": onnx_tensors,
    "ONNX protobuf": onnx_protobuf,
    "manifest": manifest_json,
}
OUTCOMES: dict[str, Callable[[bytes, Path], QgaitError | None]] = {
    "model": model_outcome,
    "ONNX": onnx_outcome,
    "manifest": bundle_outcome,
}


def outcome(case: str, content: bytes, folder: Path) -> QgaitError | None:
    """By the first word of the kind of case."""
    return OUTCOMES[case.split()[0]](content, folder)

"""Command lines with one damaged file: how it is damaged, and which command gets to read it."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from array_mutations import array_files
from byte_mutations import mutated
from checkpoint_mutations import STRUCTURES, damaged_files, saved
from file_mutations import CASES
from fuzzing.material import Material
from mutations import mutated_json
from picture_mutations import picture_files
from text_mutations import mutated_texts

OUT = "out"
CLIP = "clip.npy"


@dataclass(frozen=True)
class Case:
    """``words`` are run in a folder with all material, where ``content`` lies as ``name``.

    What begins with one of ``writes`` may be changed there.
    """

    words: tuple[str, ...]
    name: str
    content: bytes
    writes: tuple[str, ...] = (OUT,)


Family = Callable[[Material, int], Case]


def _embed(network: str, clip: str, *more: str) -> tuple[str, ...]:
    """Reads a network in any form and a walk, and computes with them."""
    return ("embed", network, clip, "--out", f"{OUT}.npz", *more)


def _network(kind: str) -> Family:
    """A damaged model or ONNX file, or manifest, with digests that fit."""

    def family(material: Material, seed: int) -> Case:
        rng = random.Random(seed)
        if kind == "manifest":
            content = (material.bundle / "manifest.json").read_bytes()
            return Case(_embed("bundle", CLIP), "bundle/manifest.json", CASES[kind](content, rng)[1])
        file = material.onnx if kind.startswith("ONNX") else material.model
        runtime = "ort" if file == material.onnx and seed % 2 else "reference"
        _, content = CASES[kind](file.read_bytes(), rng)
        return Case(_embed(f"bad{file.suffix}", CLIP, "--runtime", runtime), f"bad{file.suffix}", content)

    return family


def arrays(material: Material, seed: int) -> Case:
    """A damaged .npy file, or one of those that were made to break readers."""
    return Case(_embed("model.onnx", "bad.npy"), "bad.npy", next(array_files(seed, 1)))


def pickles(material: Material, seed: int) -> Case:
    """A damaged pickle of silhouettes."""
    good = [pickle.dumps(np.load(material.clip), protocol) for protocol in range(6)]
    return Case(_embed("model.onnx", "bad.pkl"), "bad.pkl", next(mutated(good, seed, 1)))


def pictures(material: Material, seed: int) -> Case:
    """A damaged picture among good ones."""
    return Case(_embed("model.onnx", "pictures"), "pictures/1.png", next(picture_files(seed, 1)))


def checkpoints(material: Material, seed: int) -> Case:
    """A damaged checkpoint, or one whose tensors are odd."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        content = next(damaged_files([material.checkpoint.read_bytes()], seed, 1))
    else:
        spoil, _ = STRUCTURES[rng.choice(sorted(STRUCTURES))]
        state = torch.load(io.BytesIO(material.checkpoint.read_bytes()), weights_only=True)["model"]
        content = saved(spoil(state))
    return Case(_embed("bad.pt", CLIP, "--level", "float"), "bad.pt", content)


def settings(material: Material, seed: int) -> Case:
    """A damaged configuration."""
    text = next(mutated_texts([material.settings.read_text()], seed, 1))
    words = ("train", "--config", "bad.yaml", "--data", "nowhere", "--out", OUT)
    return Case(words, "bad.yaml", text.encode(errors="surrogatepass"))


def setting(material: Material, seed: int) -> Case:
    """One setting from the command line."""
    good = ["losses.triplet.margin=0.3", "batch.people=4", "model.channels=[8, 12]", "optimizer={kind: adam}"]
    text = next(mutated_texts(good, seed, 1)).replace("\0", "").encode(errors="replace").decode()
    return Case(("train", "--set", text, "--data", "nowhere", "--out", OUT), "unused", b"")


def partitions(material: Material, seed: int) -> Case:
    """A damaged partition file."""
    _, text = mutated_json(material.partition.read_text(), random.Random(seed))
    words = ("data", "info", "walks", "--partition", "bad.json")
    return Case(words, "bad.json", text.encode(errors="surrogatepass"))


FAMILIES: dict[str, Family] = {
    **{kind: _network(kind) for kind in CASES},
    "arrays": arrays,
    "pickles": pickles,
    "pictures": pictures,
    "checkpoints": checkpoints,
    "settings": settings,
    "a setting": setting,
    "partitions": partitions,
}


def lay_out(case: Case, folder: Path) -> None:
    """Writes the damaged file into ``folder``, which has all material."""
    place = folder / case.name
    place.unlink(missing_ok=True)  # it may be a link to the good one
    place.write_bytes(case.content)

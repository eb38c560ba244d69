"""Checkpoints that are not what they look like: odd tensors, odd containers, damaged files."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
from byte_mutations import mutated

Spoil = Callable[[dict[str, Any]], object]


def saved(content: object, **keywords: Any) -> bytes:
    """As torch.save writes it."""
    file = io.BytesIO()
    torch.save(content, file, **keywords)
    return file.getvalue()


def first_with(state: dict[str, Any], ending: str) -> str:
    """The first name that ends so."""
    return next(key for key in state if key.endswith(ending))


def changed(ending: str, change: Callable[[torch.Tensor], Any]) -> Spoil:
    """A state dict in which one tensor is another."""

    def spoil(state: dict[str, Any]) -> object:
        key = first_with(state, ending)
        return {**state, key: change(state[key])}

    return spoil


def quantized(tensor: torch.Tensor) -> torch.Tensor:
    """As torch quantizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


def compressed(tensor: torch.Tensor) -> torch.Tensor:
    """Rows as torch compresses them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tensor[0].to_sparse_csr()


def filled(value: float, dtype: torch.dtype = torch.float32) -> Callable[[torch.Tensor], torch.Tensor]:
    """A tensor of the same shape with one value."""
    return lambda tensor: torch.full_like(tensor, value, dtype=dtype)


def doubling(depth: int) -> object:
    """Tuples of the same tuple twice, which pickle as a few bytes each."""
    value: object = ()
    for _ in range(depth):
        value = (value, value)
    return value


class TextSubclass(str):
    """Not a plain text."""


def _deep(depth: int) -> object:
    value: object = torch.zeros(1)
    for _ in range(depth):
        value = [value]
    return value


def _cyclic(state: dict[str, Any]) -> object:
    whole: dict[str, Any] = {"model": state, "optimizer": {}}
    whole["optimizer"]["self"] = whole
    whole["model"] = {**state, "again": whole}
    return whole


# how the state dict of a small gaitbase is spoilt, and what the sentence says of it
STRUCTURES: dict[str, tuple[Spoil, str]] = {
    "sparse": (changed("conv1.weight", lambda t: t.to_sparse()), "is sparse or nested"),
    "compressed": (changed("FCs.fc_bin", compressed), "is sparse or nested"),
    "meta": (changed("conv1.weight", lambda t: t.to("meta")), "has no values"),
    "quantized": (changed("conv1.weight", quantized), "is quantized by torch"),
    "float8": (changed("conv1.weight", lambda t: t.to(torch.float8_e4m3fn)), "is float8_e4m3fn, not floating point"),
    "complex": (changed("conv1.weight", lambda t: t.to(torch.complex64)), "is complex64, not floating point"),
    "bool": (changed("conv1.weight", lambda t: t > 0), "is bool, not floating point"),
    "int64": (changed("conv1.weight", lambda t: t.long()), "is int64, not floating point"),
    "expanded": (changed("conv1.weight", lambda t: torch.zeros(1).expand(t.shape)), "shows 4 bytes as the shape"),
    "expanded beyond memory": (
        changed("fc_bin", lambda t: torch.zeros(1).expand(1 << 20, 1 << 20, 16)),
        "shows 4 bytes as the shape",
    ),
    "a huge classifier": (
        lambda state: {**state, "BNNecks.fc_bin": torch.zeros(1).expand(16, 10, 1 << 40)},
        "shows 4 bytes as the shape",
    ),
    "no values": (changed("conv1.weight", lambda t: t[:0]), "has the shape|lacks"),
    "no channels": (changed("layer1.0.conv1.weight", lambda t: t[:0]), "needs 4 dimensions"),
    "one dimension": (changed("layer1.0.conv1.weight", lambda t: t.flatten()), "needs 4 dimensions"),
    "no dimension": (changed("fc_bin", lambda t: torch.tensor(1.0)), "needs 3 dimensions"),
    "a wide network": (
        changed("layer4.0.conv1.weight", lambda t: torch.zeros(1 << 20, 1, 1, 1)),
        "channels of gaitbase is .* has to be a list of 4 whole numbers from 1 to 4,096",
    ),
    "a hundred gigabytes": (
        changed("fc_bin", lambda t: torch.zeros(1, 1, 1 << 20)),
        "embedding of gaitbase is 1048576, but has to be a whole number from 1 to 4,096",
    ),
    "NaN": (changed("conv1.weight", filled(float("nan"))), "NaN or infinite values"),
    "infinite as float32": (changed("conv1.weight", filled(1e300, torch.float64)), "NaN or infinite values"),
    "infinite bfloat16": (changed("conv1.weight", filled(float("inf"), torch.bfloat16)), "NaN or infinite values"),
    "a NaN variance": (changed("running_var", filled(float("nan"))), "NaN or infinite values"),
    "a negative variance": (changed("running_var", filled(-0.5)), "has negative variances"),
    "a small negative variance": (changed("running_var", filled(-1e-30)), "has negative variances"),
    "a NaN counter": (changed("num_batches_tracked", lambda t: torch.tensor(float("nan"))), "NaN or infinite values"),
    "a sparse counter": (changed("num_batches_tracked", lambda t: torch.zeros(2).to_sparse()), "is sparse"),
    "a number as name": (lambda state: {**state, 5: torch.zeros(1)}, "5 is no name of a tensor"),
    "a tuple as name": (lambda state: {**state, (1, 2): torch.zeros(1)}, r"\(1, 2\) is no name of a tensor"),
    "nothing as name": (lambda state: {**state, None: torch.zeros(1)}, "None is no name of a tensor"),
    "a long name": (lambda state: {**state, "x" * 100_000: torch.zeros(1)}, "which gaitbase does not have"),
    "a name like markup": (lambda state: {**state, "[red]\n\x1b": torch.zeros(1)}, "which gaitbase does not have"),
    "a name twice": (lambda state: {**state, f"module.{next(iter(state))}": torch.zeros(1)}, "twice, with 'module.'"),
    "many names": (lambda state: {f"layer{i}.x": torch.zeros(()) for i in range(5_001)}, "has 5,001 names"),
    "thousands of unknown names": (
        lambda state: {**state, **{f"layer1.{i}.{'y' * 300}": torch.zeros(()) for i in range(4_000)}},
        "which gaitbase does not have",
    ),
    "a mapping inside": (lambda state: {"model": {"a": {"b": torch.zeros(1)}}}, "'a' is no tensor"),
    "a text inside": (lambda state: {**state, "name": "gaitbase"}, "'name' is no tensor"),
    "a list": (lambda state: list(state.values()), "holds a list, no state dict"),
    "a tensor": (lambda state: torch.zeros(3), "holds a Tensor, no state dict"),
    "nothing": (lambda state: None, "holds nothing, no state dict"),
    "an empty state": (lambda state: {"model": {}}, "holds no tensors"),
    "itself": (_cyclic, "'again' is no tensor"),
    "lists in lists": (lambda state: {**state, "deep": _deep(60)}, "nested more than 50 deep"),
    "tuples without end": (lambda state: {**state, "t": doubling(40)}, "not a whole checkpoint"),
}


def doubling_key(depth: int = 60) -> bytes:
    """A pickle of a hundred bytes whose one key would be hashed for years."""
    return b"\x80\x02})" + b"q\x00h\x00\x86" * depth + b"K\x01s."


def archive(original: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A .pt file with other contents of its entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return file.getvalue()


def damaged_files(files: list[bytes], seed: int, count: int) -> Iterator[bytes]:
    """``count`` of them: bytes anywhere, and for archives those of the pickle inside."""
    rng = random.Random(seed)
    zipped = [file for file in files if file.startswith(b"PK")]
    for number, content in enumerate(mutated(files, seed, count, head=3000)):
        if number % 2:
            yield content
            continue
        original, inner = rng.choice(zipped), rng.randrange(1 << 30)

        def change(name: str, content: bytes, inner: int = inner) -> bytes:
            return next(mutated([content], inner, 1, head=5000)) if name.endswith("data.pkl") else content

        yield archive(original, change)

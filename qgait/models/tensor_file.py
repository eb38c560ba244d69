"""Files of tensors that come from strangers: nothing in them runs, nor takes more memory than they have bytes."""

from __future__ import annotations

import io
import mmap
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from qgait.errors import QgaitError
from qgait.models.pickle_sizes import check_pickle
from qgait.reading import open_regular
from qgait.shown import short, shown

MAX_BYTES = 4 << 30
MAX_DEPTH = 50
FIX = "give the path of a .pt or .safetensors file."


class _BrokenError(Exception):
    """It is no such file, or not all of one."""


def read(path: Path, allowed: list[Any]) -> object:
    """What the file holds: tensors and plain containers only, and the classes ``allowed``.

    QgaitError when it holds more, is broken or is no regular file, and for a tensor that is not its own bytes in the
    processor's memory: sparse, quantized, without values, or few values shown as many.
    """
    with open_regular(path, MAX_BYTES, FIX) as file:
        try:
            _check_archive(file)
            content = _load(path, allowed)
        except Exception as error:  # a broken file makes torch and safetensors raise nearly anything
            forbidden = re.search(r"unsupported (?:global: )?GLOBAL (\S+)", str(error), re.IGNORECASE)
            if forbidden:
                problem = f"{path} holds {short(forbidden[1])}, which is no tensor and was not run."
                fix = "if you trust where it is from, save its tensors alone: torch.save({'model': state_dict}, path)."
                raise QgaitError(problem, fix) from None
            raise QgaitError(
                f"{path} is not a whole checkpoint: its end is missing or it is another kind of file.",
                "download or copy it again and compare the sizes.",
            ) from None
    _check_tensors(path, content)
    return content


def _load(path: Path, allowed: list[Any]) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's about what it deprecates; what is odd here is refused
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(file: BinaryIO) -> None:
    """torch.save packs nothing: entries that are larger than the file would unpack to any size."""
    start = file.read(4)
    if start != b"PK\x03\x04":
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # older torch: five pickles, then bytes
            for _ in range(5):
                if content[content.tell() : content.tell() + 1] == b"\x80":
                    check_pickle(content)
        return
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > os.fstat(file.fileno()).st_size:
            raise _BrokenError
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                check_pickle(io.BytesIO(archive.read(entry)))


def _check_tensors(path: Path, content: object) -> None:
    """Containers are looked through without recursion, and each once: they can hold themselves."""
    waiting: list[tuple[str, object, int]] = [("", content, 0)]
    seen: set[int] = set()
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, torch.Tensor):
            if odd := _oddity(value):
                problem = f"{short(name) or 'A tensor'} in {path} {odd}."
                raise QgaitError(problem, "save state_dict() of the float network, each tensor as .contiguous().")
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            if depth == MAX_DEPTH:
                raise QgaitError(f"{path} is nested more than {MAX_DEPTH} deep.", "save model.state_dict() alone.")
            inside = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, item in inside:
                below = key if isinstance(key, str) else shown(key)
                waiting.append((short(f"{name}.{below}" if name else below, 200), item, depth + 1))


def _oddity(tensor: torch.Tensor) -> str | None:
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "is sparse or nested, not an ordinary tensor"
    if tensor.is_quantized:
        return "is quantized by torch, not floating point"
    if tensor.device.type != "cpu":
        return "has no values: it was saved from the meta device"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"shows {tensor.untyped_storage().nbytes():,} bytes as the shape {shown(tuple(tensor.shape))}"
    return None

"""What the entries of a manifest have to say about each other."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from qgait.runtime.bundle_names import Names, names_for
from qgait.runtime.manifest_schema import Manifest
from qgait.targets.accelerators import find_npu


def contradiction(manifest: Manifest) -> str | None:
    """A clause that says what cannot be; None when everything fits."""
    return next(_contradictions(manifest), None)


def _contradictions(manifest: Manifest) -> Iterator[str]:
    yield from _files(manifest)
    yield from _npu(manifest)
    parts = manifest.output.shape[0]
    if len(manifest.output.scales) != parts:
        yield f"output has {len(manifest.output.scales)} scales for {parts} parts"
    memory = manifest.memory
    written = [name for kernel in manifest.kernels for name in kernel.outputs]
    for name in (*written, *memory.state, *memory.rings):
        if name not in memory.tensors:
            yield f"memory.tensors does not have {name}"
    for number, kernel in enumerate(manifest.kernels):
        if (kernel.symbol is UNSET) == (kernel.segment is UNSET):
            yield f"kernels[{number}] is not either a symbol or a segment"


def _files(manifest: Manifest) -> Iterator[str]:
    """What opens a bundle, runs it and shows it relies on these; those of the self-test have the sizes of clips."""
    names: Names = names_for(manifest.prefix)
    bare = manifest.target.board is not None
    wanted = [names.header, names.archive]
    if manifest.npu is UNSET:
        wanted += [f"{names.prefix}-run{'.elf' if bare else ''}", *([] if bare else [names.shared])]
    else:
        wanted += [name for segment in manifest.npu.segments for name in _forms(segment)]
    sizes: dict[str, int | None] = dict.fromkeys(wanted)
    (height, width), (parts, channels) = manifest.input.shape, manifest.output.shape
    for number, frames in enumerate(manifest.selftest.frames):
        sizes[f"selftest/clip{number}.frames"] = frames * height * width
        sizes[f"selftest/clip{number}.codes"] = parts * channels
    for name, size in sizes.items():
        if name not in manifest.files:
            yield f"files does not have {name}"
        elif size not in (None, manifest.files[name].bytes):
            yield f"{name} has {manifest.files[name].bytes:,} bytes, and by the shapes of input and output {size:,}"


def _forms(segment: object) -> Iterator[str]:
    forms = segment.files  # type: ignore[attr-defined]
    yield from (forms.tosa, forms.tflite, forms.commands, forms.weights)


def _npu(manifest: Manifest) -> Iterator[str]:
    if manifest.npu is UNSET:
        return
    if find_npu(manifest.npu.accelerator) is None:
        yield f"npu.accelerator is {manifest.npu.accelerator}, which is unknown"
    for number, segment in enumerate(manifest.npu.segments):
        figures = segment.estimate
        if min(figures.cycles, figures.clock, figures.weight_bandwidth) <= 0:
            yield f"npu.segments[{number}].estimate has a figure that is not positive"

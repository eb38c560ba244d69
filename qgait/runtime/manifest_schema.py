"""What manifest.json may say; docs/targets.md explains every entry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from qgait.runtime.ethosu.segment import Figures
from qgait.structured import Code, Count, Notes, Size, Text, Word, closed
from qgait.targets.processors import Target

FORMAT, VERSION = "qgait-bundle", 4  # the library of 3 did not say what it was built with

Names = Annotated[tuple[Word, ...], Meta(max_length=2**13)]
Frames = Annotated[int, Meta(ge=1, le=2**20)]
Scale = Annotated[float, Meta(gt=0, lt=2**128)]  # of float32
Sum = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Argument = Annotated[str, Meta(max_length=60, pattern=r"\A[A-Za-z0-9.-]+\Z")]
Emulator = tuple[Literal["qemu-aarch64", "qemu-arm", "qemu-system-arm"], Literal["-cpu", "-M"], Argument]
Phase = Literal["frame", "clip"]

# a manifest has exactly the entries of a `Target`; it names no program to be started but an emulator
_Target: Any = closed(Target, leave_out=("qemu",), more=[("qemu", Emulator | None)])
_Figures: Any = closed(Figures)


class _Closed(Struct, forbid_unknown_fields=True):
    pass


class _Input(_Closed):
    name: Word
    dtype: Literal["uint8"]
    shape: tuple[Size, Size]


class _Output(_Closed):
    name: Word
    dtype: Literal["int8"]
    shape: tuple[Size, Size]
    scales: Annotated[tuple[Scale, ...], Meta(max_length=2**16)]
    zero_point: Code


class _Macs(_Closed):
    frame: Count
    embedding: Count


class _Timing(_Closed):
    min_frames: Frames
    delay: Annotated[int, Meta(ge=0, le=2**20)]
    stride: Frames


class _Place(_Closed):
    offset: Count
    shape: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=4)]


class _Memory(_Closed):
    arena_bytes: Count
    flash_bytes: Count
    header_bytes: Count
    state_bytes: Count
    state: Names
    rings: Annotated[dict[Word, Frames], Meta(max_length=2**13)]
    tensors: Annotated[dict[Word, _Place], Meta(max_length=2**13)]
    scratch: Annotated[dict[Word, Count], Meta(max_length=2**13)]


class _Kernel(_Closed):
    phase: Phase
    layers: Names
    inputs: Names
    outputs: Names
    constant_bytes: Count
    scratch_bytes: Count
    symbol: Word | UnsetType = UNSET
    segment: Word | UnsetType = UNSET


class _SelfTest(_Closed):
    frames: Annotated[tuple[Frames, ...], Meta(min_length=1, max_length=1000)]


class _Port(_Closed):
    name: Word
    shape: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=4)]
    offset: Count


class _Forms(_Closed):
    tosa: Word
    tflite: Word
    commands: Word
    weights: Word


class _Segment(_Closed):
    name: Word
    phase: Phase
    stride: Frames
    files: _Forms
    operators: Names
    macs: Count
    inputs: Annotated[tuple[_Port, ...], Meta(max_length=1000)]
    outputs: Annotated[tuple[_Port, ...], Meta(max_length=1000)]
    scratch_bytes: Count
    fast_bytes: Count
    estimate: _Figures


class _Host(_Closed):
    operator: Word
    kind: Word
    reason: Text
    fix: Text


class _Choice(_Closed):
    what: Text
    npu_ms: float
    host_ms: float
    place: Literal["npu", "host"]


class _Asked(_Closed):
    sram_bytes: Count | None
    host_fallback: bool
    vela_config: Sum | None


class _Npu(_Closed):
    accelerator: Word
    system_config: Word
    memory_mode: Word
    options: _Asked
    segments: Annotated[tuple[_Segment, ...], Meta(min_length=1, max_length=1000)]
    host: Annotated[tuple[_Host, ...], Meta(max_length=2**13)]
    choices: Annotated[tuple[_Choice, ...], Meta(max_length=100)]


class _File(_Closed):
    bytes: Count
    sha256: Sum


class Manifest(_Closed):
    """The whole file. Bundles from before there were prefixes have none; ``provenance`` is for people."""

    format: Literal["qgait-bundle"]
    version: Literal[4]
    model: Text
    bits: Text
    target: _Target
    input: _Input
    output: _Output
    macs: _Macs
    timing: _Timing
    memory: _Memory
    kernels: Annotated[tuple[_Kernel, ...], Meta(min_length=1, max_length=2**13)]
    notes: Annotated[tuple[Text, ...], Meta(max_length=2**13)]
    selftest: _SelfTest
    metadata: Notes
    versions: Notes
    files: Annotated[dict[Word, _File], Meta(max_length=2**13)]
    checksum: Sum
    prefix: Word = "gait"
    npu: _Npu | UnsetType = UNSET
    provenance: Notes | UnsetType = UNSET

"""A bundle against a fresh one of the model that it claims to be, file by file and byte by byte.

Compiling is reproducible: the same network, target and tools give the same bytes. So every constant, every instruction
and every number of the manifest is compared, whether data reach it or not.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.assembly import Assembly, assemble
from qgait.compiler.bundle import check_selftest, steps, write_assembly
from qgait.compiler.npu.ethosu.vela import VelaOptions
from qgait.compiler.npu.plan import NpuPlan
from qgait.compiler.npu.plan import plan as plan_npu
from qgait.compiler.npu_bundle import calls, write_assembled
from qgait.compiler.npu_segments import vela_digest
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.progress import Progress, untold
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST
from qgait.targets.accelerators import find_npu
from qgait.targets.processors import find
from qgait.verification.differences import ABSENT, Difference, of_plain
from qgait.version import __version__

# of the manifest: what is compared by the files themselves, and what says where a bundle is from
UNCOMPARED = ("files", "checksum", "provenance")
# of versions: numpy makes no byte of a bundle
MAKERS = ("apache-tvm", "ziglang")


@dataclass(frozen=True, eq=False)
class FreshBundle:
    """What `rebuild` made: the ``bundle``, what it was linked from, and the plan where there is an NPU."""

    bundle: Bundle
    assembly: Assembly
    plan: NpuPlan | None


def rebuild(
    bundle: Bundle, graph: Graph, folder: Path, progress: Progress = untold, vela_config: Path | None = None
) -> FreshBundle:
    """``graph`` compiled into ``folder`` as ``bundle`` says that it was; ``vela_config`` is the file that it names.

    QgaitError when this machine has other versions of the tools, or ``bundle`` is of a processor that there is not.
    """
    _check_versions(bundle)
    target = bundle.target
    known = target.name == "host" or (_compiled_code(target) == _compiled_code(find(target.name)))
    if not known:
        raise QgaitError(
            f"The bundle {bundle.path} says of the target {target.name} what this qgait does not.",
            "compile it again (qgait compile).",
        )
    clips = selftest_frames(bundle, graph)
    check_selftest(graph, clips)
    say = steps(f"compiling for {bundle.target_name} again", progress)
    prefix = bundle.names.prefix
    if bundle.npu is None:
        assembly = assemble(graph, target, (), prefix, say)
        trace = bundle.names.tracer in bundle.manifest["files"]
        return FreshBundle(write_assembly(assembly, folder, clips, trace, say), assembly, None)
    made = _plan(bundle, graph, progress, vela_config)
    assembly = assemble(graph, target, calls(made), prefix, say)
    return FreshBundle(write_assembled(made, assembly, folder, clips, say), assembly, made)


def bundle_differences(bundle: Bundle, fresh: FreshBundle) -> list[Difference]:
    """Where ``bundle`` is not the ``fresh`` one; none mean equal in every byte that computes."""
    return list(_differences(bundle, fresh))


def _differences(bundle: Bundle, fresh: FreshBundle) -> Iterator[Difference]:
    there, wanted = (set(one.manifest["files"]) for one in (bundle, fresh.bundle))
    for name in sorted(there ^ wanted):
        is_there = ("there", "missing") if name in there else ("missing", "there")
        yield Difference(f"the file {name}", *is_there)
    for name in sorted(there & wanted):
        found, fresh_one = ((one.path / name).read_bytes() for one in (bundle, fresh.bundle))
        if found != fresh_one:
            yield _bytes(name, found, fresh_one, fresh.assembly)
    told, expected = (
        {key: value for key, value in one.manifest.items() if key not in UNCOMPARED} for one in (bundle, fresh.bundle)
    )
    for manifest in (told, expected):
        manifest["versions"] = {name: manifest["versions"].get(name, ABSENT) for name in MAKERS}
    for one in of_plain("", _plain(told), _plain(expected)):
        yield Difference(f"{MANIFEST}: {one.place}", one.found, one.wanted)


def _bytes(name: str, found: bytes, wanted: bytes, assembly: Assembly) -> Difference:
    """The first byte of a file that differs, and the constant that it belongs to if it does."""
    if len(found) != len(wanted):
        return Difference(f"the size of {name}", f"{len(found):,} bytes", f"{len(wanted):,}")
    different = np.flatnonzero(np.frombuffer(found, np.uint8) != np.frombuffer(wanted, np.uint8))
    first = int(different[0])
    glue = assembly.glue
    start = wanted.find(glue.weights)
    constant = glue.constant_at(first - start) if start >= 0 else None
    if constant is None:
        place, values = f"byte {first:,} of {name}", (str(found[first]), str(wanted[first]))
    else:
        array = constant.array
        element = (first - start - constant.offset) // array.itemsize
        at = start + constant.offset + element * array.itemsize
        old, new = (np.frombuffer(content, array.dtype, 1, at)[0] for content in (found, wanted))
        index = ", ".join(str(int(i)) for i in np.unravel_index(element, array.shape))
        place = f"a constant of {' + '.join(constant.layers)}, {array.dtype} {list(array.shape)}, in {name}: [{index}]"
        values = (str(old), str(new))
    return Difference(place, *values, different.size - 1)


def _plain(manifest: dict[str, Any]) -> Any:
    """As it is read from a file: tuples are lists there."""
    return json.loads(json.dumps(manifest))


def _check_versions(bundle: Bundle) -> None:
    told = bundle.manifest["versions"]
    here = {"qgait": __version__, **{name: importlib.metadata.version(name) for name in MAKERS}}
    for name, version in here.items():
        if told.get(name) != version:
            raise QgaitError(
                f"The bundle {bundle.path} was compiled with {name} {told.get(name)}, and {version} is installed here: "
                "the same bytes cannot be expected.",
                f"install {name} {told.get(name)}, or compile the bundle again.",
            )


def _compiled_code(target: Any) -> dict[str, Any]:
    """What decides which code is made; the memory of a part is only compared with it."""
    kept = {name: value for name, value in vars(target).items() if name not in ("part", "flash_bytes", "ram_bytes")}
    return _plain(kept)


def selftest_frames(bundle: Bundle, graph: Graph) -> list[NDArray[np.uint8]]:
    """The clips of the self-test, uint8 [frames, H, W]; QgaitError when the files do not hold whole frames."""
    height, width, _ = graph.tensors[graph.input].shape
    clips = []
    for number in range(len(bundle.manifest["selftest"]["frames"])):
        file = bundle.path / "selftest" / f"clip{number}.frames"
        pixels = np.fromfile(file, np.uint8)
        if pixels.size % (height * width):
            raise QgaitError(f"{file} does not hold frames of {height} x {width} pixels.", "compile the bundle again.")
        clips.append(pixels.reshape(-1, height, width))
    return clips


def _plan(bundle: Bundle, graph: Graph, progress: Progress, vela_config: Path | None) -> NpuPlan:
    npu = bundle.npu
    assert npu is not None
    asked, accelerator = npu["options"], find_npu(npu["accelerator"])
    if accelerator is None:
        raise QgaitError(f"There is no NPU called {npu['accelerator']}.", "compile the bundle again.")
    digest = None if vela_config is None else vela_digest(vela_config)
    if asked["vela_config"] != digest:
        wanted = "without a vela.ini of its own" if asked["vela_config"] is None else "with a vela.ini of its own"
        raise QgaitError(
            f"The bundle {bundle.path} was compiled {wanted}, and not with that.",
            "leave `vela_config` out." if asked["vela_config"] is None else "give that file as `vela_config`.",
        )
    options = VelaOptions(npu["system_config"], npu["memory_mode"], config=vela_config)
    return plan_npu(graph, accelerator, bundle.target, options, asked["sram_bytes"], asked["host_fallback"], progress)

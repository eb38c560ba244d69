"""The whole proof of one bundle: it is what its model compiles to, and it gives the model's integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.files import work_folder
from qgait.progress import Progress, untold
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import start
from qgait.verification.bundle_runtime import BundleRuntime
from qgait.verification.fresh_bundle import bundle_differences, rebuild
from qgait.verification.parity import Clip, Parity, check_model, compare, compare_fake, expected_codes, meaning_of
from qgait.verification.proof import Proof, prove

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork


@dataclass(frozen=True)
class BundleParity:
    """``parity`` has no runtime when the bundle could not run here; ``why_not`` then says what that takes.

    ``files`` with ``bytes`` in all were compared with a fresh bundle. ``proof`` is that of an NPU's command streams.
    """

    parity: Parity
    files: int
    bytes: int
    why_not: str | None
    proof: Proof | None


def verify_bundle(
    bundle: Bundle,
    network: SimulatedNetwork,
    clips: Sequence[Clip],
    progress: Progress = untold,
    vela_config: Path | None = None,
) -> BundleParity:
    """Compiles ``network`` again for what ``bundle`` is for, compares every byte, then the codes of ``clips``.

    Needs what compiling needs, in the versions that the bundle was compiled with: QgaitError otherwise. Clips are uint8
    [frames, H, W]. ``vela_config`` is the vela.ini that an NPU's bundle was compiled with, if there was one.
    """
    graph = fold(network)
    check_graph(graph)
    check_model(network, graph)
    with work_folder() as folder:
        fresh = rebuild(bundle, graph, folder / "bundle", progress, vela_config)
        differences = tuple(bundle_differences(bundle, fresh))
        proof = None if fresh.plan is None else prove(fresh.bundle, fresh.plan, progress)
    expected = expected_codes(graph, clips, progress)
    fake = compare_fake(network, graph, clips, expected, progress)
    results, why_not = {}, None
    try:
        start(bundle)
    except QgaitError as error:
        why_not = f"{error.problem} Fix: {error.fix}"
    else:
        runtime = BundleRuntime(bundle, bundle.target_name)
        results[runtime.name] = compare(runtime, graph, clips, expected, progress, meaning_of(network))
    parity = Parity(len(clips), sum(codes.size for codes in expected), fake, results, differences)
    sizes = [bundle.size(name) for name in bundle.manifest["files"]]
    return BundleParity(parity, len(sizes), sum(sizes), why_not, proof)

"""``import qgait`` from a checkpoint to embeddings, and what it needs to be imported."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_graphs import silhouettes
from small_networks import backbone, clips

import qgait
from qgait.evaluation.distances import part_distances
from qgait.export.graph import Graph
from qgait.models import checkpoint
from qgait.quantizers import model_file
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.runtime.runnable import RunnableBundle

NUMPY_ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxruntime", "tvm", "click", "rich", "cv2", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import numpy as np
import qgait
bundle = qgait.open_bundle(sys.argv[1])
clip = np.load(sys.argv[2])
codes = bundle.embed(clip)
stream = bundle.stream()
for frame in clip:
    stream.push(frame)
assert np.array_equal(stream.embedding(), codes)
assert qgait.distance(codes, codes, scale=bundle.scale) == 0
mask = np.zeros((300, 200), np.uint8)
mask[20:280, 60:140] = 255
assert qgait.align([mask, np.zeros_like(mask), mask]).shape == (2, 64, 44)
np.save(sys.argv[3], codes)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    """Calibrated through the front door."""
    path = tmp_path_factory.mktemp("door") / "float.pt"
    checkpoint.save(backbone("gaitset"), path)
    network = qgait.load(path)
    assert not isinstance(network, SimulatedNetwork) and network.name == "gaitset"
    return qgait.calibrate(network, clips(), "w4a8", method="minmax")


@pytest.fixture(scope="module")
def graph(model: SimulatedNetwork) -> Graph:
    return qgait.fold(model)


@pytest.fixture(scope="module")
def bundle(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> RunnableBundle:
    return qgait.compile(graph, "host", tmp_path_factory.mktemp("door") / "bundle")


def test_a_model_file_is_loaded_as_what_it_is(model: SimulatedNetwork, tmp_path: Path) -> None:
    model_file.save(model, tmp_path / "model.safetensors")
    again = qgait.load(tmp_path / "model.safetensors")
    assert isinstance(again, SimulatedNetwork) and str(again.recipe) == "w4a8"
    with pytest.raises(qgait.QgaitError, match="is a gaitset, not a gaitbase"):
        qgait.load(tmp_path / "model.safetensors", "gaitbase")
    from safetensors.torch import save_file

    save_file(backbone("gaitset").state_dict(), tmp_path / "float.safetensors")
    assert not isinstance(qgait.load(tmp_path / "float.safetensors"), SimulatedNetwork)
    with pytest.raises(qgait.QgaitError, match="there is no such file"):
        qgait.load(tmp_path / "gone.safetensors")


def test_the_file_is_the_graph_and_tells_what_it_is(graph: Graph, tmp_path: Path) -> None:
    made = qgait.write_onnx(graph, tmp_path / "model.onnx")
    assert made.file_bytes == made.path.stat().st_size and made.embedding == (62, 20)
    assert made.macs_per_frame == graph.frame_macs
    again = qgait.read_onnx(str(tmp_path / "model.onnx"))
    assert [op.name for op in again.ops] == [op.name for op in graph.ops]
    with pytest.raises(qgait.QgaitError, match=r"gone/model\.onnx"):
        qgait.write_onnx(graph, tmp_path / "gone" / "model.onnx")


def test_the_proof_holds_and_does_not_hold_for_another_network(
    graph: Graph, model: SimulatedNetwork, tmp_path: Path
) -> None:
    told: list[str] = []
    proof = qgait.verify(
        graph, model, clips(3), ["reference", "ort"], frames=2, progress=lambda what, done, total: told.append(what)
    )
    assert proof.holds and proof.sequences == 3
    assert set(proof.runtimes) == {"reference", *(f"ort {level}" for level in ("disabled", "basic", "extended", "all"))}
    assert set(proof.runtimes) <= set(told), "every runtime tells how far it is"
    assert set(proof.to_dict()["runtimes"]) == {"reference", "ort"}
    other = qgait.calibrate(backbone("gaitset", 1), clips(), method="minmax")
    qgait.write_onnx(qgait.fold(other), tmp_path / "other.onnx")
    wrong = qgait.verify(tmp_path / "other.onnx", model, clips(2), ["reference"])
    assert not wrong.holds and wrong.fake is not None and wrong.fake.mismatches_float64 > 0


def test_the_bundle_embeds_with_numpy_alone(bundle: RunnableBundle, model: SimulatedNetwork, tmp_path: Path) -> None:
    clip = silhouettes(5, 3)
    np.save(tmp_path / "clip.npy", clip)
    paths = [str(bundle.path), str(tmp_path / "clip.npy"), str(tmp_path / "codes.npy")]
    subprocess.run([sys.executable, "-c", NUMPY_ALONE, *paths], check=True, timeout=300)
    codes = np.load(tmp_path / "codes.npy")
    np.testing.assert_array_equal(codes, model.embed(clip))
    np.testing.assert_array_equal(bundle.embed_many([clip])[0], codes)


def test_compile_checks_before_it_works(graph: Graph, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(qgait.QgaitError, match=r"`sram` is for Ethos-U targets, and arm is none\. Fix: leave `sram`"):
        qgait.compile(graph, "arm", out, sram="512k")
    with pytest.raises(qgait.QgaitError, match="'rpi4'"):
        qgait.compile(graph, "rpi44", out)
    with pytest.raises(qgait.QgaitError, match="two sequences of 6"):
        qgait.compile(graph, "host", out, data=[silhouettes(5, 1), silhouettes(6, 2)])
    assert not out.exists()


def test_what_is_out_of_order_is_refused(model: SimulatedNetwork) -> None:
    with pytest.raises(qgait.QgaitError, match="calibrate it first"):
        qgait.fold(backbone("gaitset"))  # type: ignore[arg-type]
    with pytest.raises(qgait.QgaitError, match="SimulatedNetwork cannot be calibrated"):
        qgait.calibrate(model, clips())  # type: ignore[arg-type]
    with pytest.raises(qgait.QgaitError, match="clip 1 has"):
        qgait.calibrate(backbone("gaitset"), [clips()[0], np.full((3, 64, 44), 300)])


def test_distance_is_that_of_evaluation(bundle: RunnableBundle) -> None:
    a, b = bundle.embed_many([silhouettes(4, 1), silhouettes(4, 2)])
    real = [(codes.astype(np.float32) - bundle.zero_point) * bundle.scale[:, None] for codes in (a, b)]
    expected = np.linalg.norm(real[0] - real[1], axis=1).mean()
    assert expected > 0
    assert qgait.distance(a, b, bundle.scale) == pytest.approx(expected, rel=1e-5)
    assert qgait.distance(*real) == pytest.approx(expected, rel=1e-5)
    gallery = np.stack(real)
    np.testing.assert_array_equal(qgait.distance(real[0], gallery), part_distances(gallery[:1], gallery))
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((a, b), "with the scale"),
        ((*real, bundle.scale), "no scale"),
        ((a, b, bundle.scale[:3]), "62 parts"),
        ((real[0][0], real[1][0]), r"not \[20\]"),
        ((real[0], real[1][:5]), "cannot be compared"),
    ]
    for arguments, said in wrong:
        with pytest.raises(qgait.QgaitError, match=said):
            qgait.distance(*arguments)


def test_align_takes_pictures_of_any_size() -> None:
    tall, wide = np.zeros((200, 100), bool), np.zeros((90, 300), np.uint8)
    tall[10:190, 30:70], wide[5:85, 100:140] = True, 255
    walk = qgait.align([tall, np.zeros((50, 50), np.uint8), wide])
    assert walk.dtype == np.uint8 and walk.shape == (2, 64, 44)
    assert walk.max() == 255 and walk[:, :, [0, -1]].max() == 0, "the person is in the middle"
    with pytest.raises(qgait.QgaitError, match="Nobody is in these pictures"):
        qgait.align([np.zeros((50, 50), np.uint8)])


def test_everything_offered_is_documented_and_typed() -> None:
    assert set(qgait.__all__) <= set(dir(qgait))
    for name in qgait.__all__:
        offered = getattr(qgait, name)
        assert offered.__doc__, name
        if inspect.isfunction(offered):
            assert "return" in offered.__annotations__, name
    with pytest.raises(AttributeError, match="no attribute 'calibrat'"):
        _ = qgait.calibrat


def test_the_package_is_the_command_line() -> None:
    said = subprocess.run([sys.executable, "-m", "qgait", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"qgait, version {qgait.__version__}\n"

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_edits import Arrays, content_of, edited
from safetensors.numpy import save_file
from small_networks import clips, network

from qgait.errors import QgaitError
from qgait.models import shipped
from qgait.quantizers import model_file
from qgait.quantizers.stored_tensors import DESCRIPTION, DIGEST, digest_of, opened

Change = Callable[[dict[str, Any], Arrays], object]


@pytest.mark.parametrize(("name", "bits"), [("gaitset", "w8a8"), ("gaitbase", "w4a4")])
def test_a_saved_network_computes_what_it_did(name: str, bits: str, tmp_path: Path) -> None:
    net = network(name, bits)
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    clip = clips(1)[0]
    np.testing.assert_array_equal(again.embed(clip), net.embed(clip))
    assert str(again.recipe) == bits and again.model == name
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    model_file.save(network("gaitset"), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(QgaitError) as caught:
        model_file.load(path)
    assert len(caught.value.problem) - len(str(path)) < 200
    return caught.value.problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "gone.safetensors cannot be read: there is no such file" in refusal(tmp_path / "gone.safetensors")


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    assert "it is a named pipe" in refusal(tmp_path / "m.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 200, -40])
def test_a_truncated_file_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    assert "not a qgait model" in refusal(saved)


def test_other_safetensors_are_told_to_be_calibrated(tmp_path: Path) -> None:
    save_file({"weight": np.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(QgaitError, match="qgait calibrate"):
        model_file.load(tmp_path / "other.safetensors")


def test_a_flipped_bit_anywhere_is_noticed(saved: Path) -> None:
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for place in (content.index(b'"per_frame'), content.index(b"gaitset"), header, header + 4321, len(content) - 1):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert "m.safetensors" in refusal(saved)
        if place >= header:
            assert "was altered after it was written" in refusal(saved)
    saved.write_bytes(content)
    model_file.load(saved)


def digest(source: Path | bytes) -> str:
    """Computed anew, whatever the file says."""
    text, _, tensors = opened(source if isinstance(source, bytes) else source.read_bytes(), str(source))
    return digest_of(text, tensors)


def test_the_digest_is_that_of_everything_in_the_file(saved: Path, tmp_path: Path) -> None:
    found = digest(saved)
    assert len(found) == 64 and found == digest(saved.read_bytes())
    text, arrays = content_of(saved)
    save_file(dict(reversed(arrays.items())), saved, {DIGEST: "0", DESCRIPTION: text})
    assert digest(saved) == found, "the order of the tensors says nothing"
    first = min(arrays)
    for other in (
        arrays | {first: arrays[first].astype(np.float64)},
        arrays | {first: arrays[first].reshape(-1)},
        arrays | {"more": arrays[first]},
        {name: array for name, array in arrays.items() if name != first},
    ):
        save_file(other, saved, {DESCRIPTION: text})
        assert digest(saved) != found
    save_file(arrays, saved, {DESCRIPTION: text.replace("gaitset", "gaitsat")})
    assert digest(saved) != found


def test_files_without_a_digest_are_refused_with_the_fix(saved: Path) -> None:
    text, arrays = content_of(saved)
    save_file(arrays, saved, {DESCRIPTION: text})
    assert "was altered" in refusal(saved)


@pytest.mark.parametrize("older", [1, 2, 3])
def test_an_older_file_is_refused_with_the_fix(older: int, saved: Path) -> None:
    text, arrays = content_of(saved)
    save_file(arrays, saved, {DESCRIPTION: text.replace('"format": 4', f'"format": {older}')})
    with pytest.raises(QgaitError, match=rf"has model format {older}, this qgait reads 4.*calibrate it again, or"):
        model_file.load(saved)


def test_a_newer_format_asks_for_an_update(saved: Path) -> None:
    edited(saved, lambda description, _: description.update(format=99))
    with pytest.raises(QgaitError, match="update qgait"):
        model_file.load(saved)


def test_the_shipped_model_says_what_it_holds() -> None:
    assert model_file.load(shipped.path()).model == "gaitset"


def layer(description: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in description["layers"] if entry["name"] == name)


def first_of(arrays: Arrays, prefix: str) -> str:
    return next(name for name in sorted(arrays) if name.startswith(prefix))


def spoiled(prefix: str, value: float) -> Change:
    def change(_: dict[str, Any], arrays: Arrays) -> None:
        arrays[first_of(arrays, prefix)].reshape(-1)[:1] = value

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "a weight beyond the grid": (spoiled("weight:", -128), "has the code -128, which is not one of -127 to 127"),
    "weights beyond float32": (spoiled("weight_step:", 3e38), "NaN or infinity in weight:"),
    "nan in a step": (spoiled("step:", np.nan), "NaN or infinity in step:"),
    "infinite bias": (spoiled("bias:", np.inf), "NaN or infinity in bias:"),
    "step of zero": (spoiled("step:", 0), "step that is not positive in step:"),
    "negative weight step": (spoiled("weight_step:", -1), "step that is not positive in weight_step:"),
    "missing tensor": (lambda _, a: a.pop(first_of(a, "weight_step:")) is None, "it has no tensor weight_step:"),
    "surplus tensor": (lambda _, a: a.update(more=np.zeros(1, np.float32)), "no layer has the tensor more"),
    "another type": (
        lambda _, a: a.update({"step:embedding": a["step:embedding"].astype(np.float64)}),
        "step:embedding is F64 [62], not F32 [62]",
    ),
    "another shape": (
        lambda _, a: a.update({"step:embedding": a["step:embedding"][:5]}),
        "step:embedding is F32 [5], not F32 [62]",
    ),
    "bits of -1": (
        lambda d, _: d["weight_bits"].update(embedding=-1),
        "weight_bits.embedding has to be a whole number",
    ),
    "bits of 0": (lambda d, _: d["weight_bits"].update(embedding=0), "of at least 2"),
    "bits of 64": (lambda d, _: d["weight_bits"].update(embedding=64), "of at most 8"),
    "bits of a stranger": (lambda d, _: d["weight_bits"].update(nobody=8), "weight_bits has an unknown nobody"),
    "no grid": (lambda d, _: d["grids"].pop("embedding") and None, "grids lacks embedding"),
    "a grid of three": (lambda d, _: d["grids"].update(embedding={"lo": -1, "hi": 1, "zero_point": 0}), "no grid of"),
    "a table on few codes": (
        lambda d, _: d["grids"].update({"set_block1_conv1.pre": {"lo": -8, "hi": 7, "zero_point": 0}}),
        "has 4 bits, not 8",
    ),
    "a missing entry": (lambda d, _: d.pop("trained") and None, "it has no entry trained"),
    "an unknown entry": (lambda d, _: d.update(colour="red"), "it has an entry colour, which is unknown"),
    "an unknown kind": (lambda d, _: d["layers"][1].update(kind="soft"), "layers[1].kind is 'soft'"),
    "a field of another kind": (lambda d, _: d["layers"][1].update(kernel=2), "layers[1] has an entry kernel"),
    "stride 0": (lambda d, _: d["layers"][0].update(stride=[0, 1]), "layers[0].stride[0] has to be a whole number of"),
    "negative padding": (lambda d, _: d["layers"][0].update(padding=[0, 0, 0, -1]), "layers[0].padding[3] has to be"),
    "a huge kernel": (
        lambda d, _: layer(d, "set_block1_pool").update(kernel=65),
        "set_block1_pool pools 65 x 65, which does not fit into 64 x 44",
    ),
    "a huge number": (lambda d, _: d.update(frame_size=[10**40, 44]), "it has a number of 41 digits"),
    "a circle": (lambda d, _: d["layers"][0].update(inputs=["embedding"]), "which no layer before it makes"),
    "an unknown input": (lambda d, _: d["layers"][3].update(inputs=["void"]), "reads void, which no layer before"),
    "two of one name": (
        lambda d, _: d["layers"][1].update(name="set_block1_conv1"),
        "two layers are called set_block1",
    ),
    "nothing shared": (lambda d, _: d["layers"][1].update(shares="void"), "set_block1_conv2 shares the weight of void"),
    "a name of torch": (lambda d, _: d["layers"][2].update(name="forward"), "no layer can be called forward"),
    "strips that do not split": (
        lambda d, _: layer(d, "set_strips").update(bins=[16, 8, 4, 2, 3]),
        "set_strips splits 16 rows into [16, 8, 4, 2, ...] strips",
    ),
    "a clip in a frame": (lambda d, _: d["layers"][0].update(per_frame=False), "on the wrong side of the cut"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_does_not_fit_is_named(case: str, saved: Path) -> None:
    change, words = CHANGES[case]
    edited(saved, change)
    assert words in refusal(saved)


def test_a_network_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    import copy

    net = copy.deepcopy(network("gaitset"))
    with torch.no_grad():
        net.steps["embedding"][3] = torch.inf
    with pytest.raises(QgaitError, match="cannot be written as a model: it holds NaN or infinity in step:embedding"):
        model_file.save(net, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        model_file.save(network("gaitset"), tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())

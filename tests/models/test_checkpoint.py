from __future__ import annotations

import collections
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from float_models import SMALL, small_model
from safetensors.torch import save_file

from qgait.errors import QgaitError
from qgait.models.backbone import Backbone
from qgait.models.checkpoint import load, save

State = dict[str, torch.Tensor]


def same(a: Backbone, b: Backbone) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def opengait_file(model: Backbone, path: Path) -> Path:
    """As OpenGait's training loop writes it, with a real optimizer and a MultiStepLR."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 4], 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer.step()
    schedule.step()
    model.load_state_dict(before)
    assert isinstance(schedule.state_dict()["milestones"], collections.Counter)
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": schedule.state_dict(),
            "iteration": 4,
        },
        path,
    )
    return path


@pytest.mark.parametrize("name", sorted(SMALL))
def test_opengait_checkpoints_load(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model(name)
    loaded = load(opengait_file(model, tmp_path / "gait-00004.pt"))
    assert loaded.name == name
    assert not loaded.training
    assert same(loaded, model)
    printed = capsys.readouterr().err
    assert printed == "gait-00004.pt: left out optimizer, scheduler, iteration: only training needs them.\n"


@pytest.mark.parametrize("name", sorted(SMALL))
def test_save_then_load(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model(name)
    save(model, tmp_path / "new" / "model.pt")
    assert same(load(tmp_path / "new" / "model.pt", name), model)
    assert capsys.readouterr().err == ""
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.pt"]
    content = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
    assert list(content) == ["model"]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_bare_state_dicts_and_safetensors_load(prefix: str, tmp_path: Path) -> None:
    model = small_model("gaitbase")
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save(state, tmp_path / "bare.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "model.safetensors")
    for file in ("bare.pt", "old.pt", "model.safetensors"):
        assert same(load(tmp_path / file), model)


def test_the_classifier_is_left_out_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model("gaitbase", classes=7)
    save(model, tmp_path / "model.pt")
    loaded = load(tmp_path / "model.pt")
    assert same(loaded, small_model("gaitbase")) is False
    frames = torch.rand(1, 2, 64, 44)
    with torch.no_grad():
        assert torch.equal(loaded(frames), model(frames))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "BNNecks.fc_bin" in lines[0]
    assert "BNNecks.bn1d.running_var" in lines[0]
    assert "only training" in lines[0]


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    model = small_model("gaitset")
    torch.save({key: value.half() for key, value in model.state_dict().items()}, tmp_path / "half.pt")
    loaded = load(tmp_path / "half.pt")
    assert all(p.dtype == torch.float32 for p in loaded.parameters())


def test_missing_batch_counters_do_not_matter(tmp_path: Path) -> None:
    state = {k: v for k, v in small_model("gaitbase").state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    assert load(tmp_path / "old.pt").name == "gaitbase"


def renamed(state: State) -> State:
    return {key.replace("set_block2.forward_block", "set_block2.foward_block"): v for key, v in state.items()}


def without(key: str) -> Callable[[State], State]:
    return lambda state: {k: v for k, v in state.items() if k != key}


def with_(key: str, value: Callable[[State], torch.Tensor]) -> Callable[[State], State]:
    return lambda state: state | {key: value(state)}


def poisoned(state: State) -> State:
    weight = state["gl_block3.2.conv.weight"].clone()
    weight[0, 0, 0, 0], weight[1, 0, 0, 0] = float("nan"), float("inf")
    return state | {"gl_block3.2.conv.weight": weight}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (renamed, r"looks like gaitset but lacks 'set_block2.forward_block.0.*nearest to it is 'set_block2.foward_"),
        (without("gl_block2.2.conv.weight"), r"looks like gaitset but lacks 'gl_block2.2.conv.weight'\."),
        (without("Head.fc_bin"), r"looks like gaitset but lacks 'Head.fc_bin'"),
        (
            lambda state: {("Heads.fc_bin" if k == "Head.fc_bin" else k): v for k, v in state.items()},
            r"lacks 'Head.fc_bin'; nearest to it is 'Heads.fc_bin'",
        ),
        (with_("Head.bias", lambda s: torch.zeros(1)), r"has 'Head.bias', which gaitset does not have; near it"),
        (poisoned, r"gl_block3.2.conv.weight in .* has 2 NaN or infinite values of 576"),
        (
            with_("Head.fc_bin", lambda s: s["Head.fc_bin"][:31]),
            r"Head.fc_bin in .* has the shape \(31, 8, 10\); gaitset with these channels needs \(62, 8, 10\)",
        ),
        (with_("Head.fc_bin", lambda s: s["Head.fc_bin"][0]), r"Head.fc_bin in .* \(8, 10\); it needs 3 dimensions"),
        (
            with_("set_block1.forward_block.0.conv.weight", lambda s: torch.zeros(9, 1, 5, 5)),
            r"set_block1.forward_block.2.conv.weight in .* has the shape \(4, 4, 3, 3\).*needs \(9, 9, 3, 3\)",
        ),
        (
            with_("gl_block2.0.conv.weight", lambda s: s["gl_block2.0.conv.weight"].to(torch.int8)),
            r"gl_block2.0.conv.weight in .* is int8, not floating point",
        ),
    ],
)
def test_spoilt_state_dicts_are_refused(spoil: Callable[[State], State], sentence: str, tmp_path: Path) -> None:
    torch.save({"model": spoil(small_model("gaitset").state_dict())}, tmp_path / "model.pt")
    for name in (None, "gaitset"):
        with pytest.raises(QgaitError, match=sentence):
            load(tmp_path / "model.pt", name)


def test_another_networks_checkpoint_is_refused_by_its_name(tmp_path: Path) -> None:
    save(small_model("gaitbase"), tmp_path / "model.pt")
    with pytest.raises(QgaitError, match=r"is of gaitbase \('Backbone.forward_block.conv1.conv.weight'\), not of gait"):
        load(tmp_path / "model.pt", "gaitset")
    with pytest.raises(QgaitError, match="no backbone called 'gaitnet'"):
        load(tmp_path / "model.pt", "gaitnet")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("transformer1.layers.0.weight", "looks like SwinGait, which is not supported"),
        ("map_layer0.weight", "looks like SkeletonGait, which is not supported"),
        ("set_block1.forward.0.conv.weight", r"no network known here: .*'set_block1.forward_block.0.conv.weight'"),
    ],
)
@pytest.mark.parametrize("name", [None, "gaitset"])
def test_unknown_networks_are_refused(key: str, sentence: str, name: str | None, tmp_path: Path) -> None:
    torch.save({key: torch.zeros(3, 3)}, tmp_path / "model.pt")
    with pytest.raises(QgaitError, match=sentence):
        load(tmp_path / "model.pt", name)


@pytest.mark.parametrize("file", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(file: str, part: float, tmp_path: Path) -> None:
    state = small_model("gaitset").state_dict()
    path = tmp_path / file
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(QgaitError, match="not a whole checkpoint"):
        load(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a zip", b"hello world\n" * 100, bytes(1000)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(QgaitError, match="not a whole checkpoint"):
        load(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([torch.zeros(2)], "holds a list, no state dict"),
        ({}, "holds nothing, no state dict"),
        ({"model": {}}, "holds no tensors"),
        ({"epoch": 3, "weights": torch.zeros(2)}, "'epoch' is no tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: object, sentence: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(QgaitError, match=sentence):
        load(tmp_path / "model.pt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"nothing\.pt cannot be read: there is no such file"):
        load(tmp_path / "nothing.pt")
    with pytest.raises(QgaitError, match="cannot be read: it is a folder"):
        load(tmp_path)


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_code_in_a_checkpoint_is_named_and_not_run(form: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.pt"
    content = {"model": small_model("gaitset").state_dict(), "optimizer": Malicious(victim)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"optimizer": Malicious(victim)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
        assert zipfile.is_zipfile(path) == (form == "zip")
    with pytest.raises(QgaitError, match=r"model.pt holds posix\.mkdir, which is no tensor and was not run"):
        load(path)
    assert not victim.exists()
    if form == "zip":  # the trap works: a loader that trusts the file springs it
        torch.load(path, weights_only=False)
        assert victim.exists()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gaitset")
    save(model, tmp_path / "model.pt")
    before = (tmp_path / "model.pt").read_bytes()

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(QgaitError, match="cannot be written: No space left on device"):
        save(model, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]

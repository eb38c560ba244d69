"""Checkpoints from strangers: one sentence each, in little memory and time, without a word from torch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoint_mutations import STRUCTURES, archive, damaged_files, doubling_key, saved
from float_models import small_model
from safetensors.torch import save as safetensors_bytes

from qgait.errors import QgaitError
from qgait.models.backbone import describe
from qgait.models.checkpoint import load, read

STATE = dict(small_model("gaitbase").state_dict())


@pytest.mark.parametrize("case", STRUCTURES)
def test_odd_contents_are_one_sentence(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoil, sentence = STRUCTURES[case]
    path = tmp_path / "model.pt"
    path.write_bytes(saved(spoil(dict(STATE))))
    capfd.readouterr()
    start = time.perf_counter()
    with pytest.raises(QgaitError, match=sentence) as refused:
        load(path)
    assert time.perf_counter() - start < 5
    assert len(str(refused.value)) < 500 and "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_are_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved({k: v.to(dtype) if v.is_floating_point() else v for k, v in STATE.items()}))
    model = load(path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, STATE[key].to(dtype).to(value.dtype))
    assert describe(model)


def test_tensors_that_share_memory_are_ordinary(tmp_path: Path) -> None:
    whole = torch.arange(sum(v.numel() for v in STATE.values()), dtype=torch.float32) / 1e6 + 0.5
    shared, start = {}, 0
    for key, value in STATE.items():
        shared[key] = whole[start : start + value.numel()].view(value.shape) if value.is_floating_point() else value
        start += value.numel()
    transposed = {k: v.transpose(0, 1).contiguous().transpose(0, 1) if v.ndim > 1 else v for k, v in shared.items()}
    (tmp_path / "model.pt").write_bytes(saved(transposed))
    found = load(tmp_path / "model.pt").state_dict()
    assert all(torch.equal(found[key], shared[key]) for key in shared)


def test_archives_that_unpack_to_more_are_refused(tmp_path: Path) -> None:
    whole = saved({"model": {"a": torch.zeros(1 << 22)}})
    path = tmp_path / "bomb.pt"
    path.write_bytes(archive(whole, lambda name, content: content, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 100_000
    with pytest.raises(QgaitError, match="not a whole checkpoint"):
        read(path)


def test_a_key_that_would_be_hashed_for_years_is_refused(tmp_path: Path) -> None:
    start = time.perf_counter()
    whole = saved(STATE)
    old = saved(STATE, _use_new_zipfile_serialization=False)
    head = old[: old.index(b".", old.index(b"long")) + 1]
    contents = (
        doubling_key(),
        head + doubling_key(),
        archive(whole, lambda name, content: doubling_key() if name.endswith("data.pkl") else content),
    )
    for content in contents:
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(QgaitError, match="not a whole checkpoint"):
            read(tmp_path / "model.pt")
    assert time.perf_counter() - start < 5


def test_damaged_files_are_refused_or_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [saved({"model": STATE}), saved(STATE, _use_new_zipfile_serialization=False), safetensors_bytes(STATE)]
    taken = 0
    capfd.readouterr()
    for number, content in enumerate(damaged_files(files, seed=0, count=250)):
        path = tmp_path / ("model.safetensors" if content[8:9] == b"{" else "model.pt")
        path.write_bytes(content)
        try:
            load(path)
            taken += 1
        except QgaitError as error:
            assert len(str(error)) < 600 and "\n" not in str(error), (number, str(error))
    assert 0 < taken < 250
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    for name, why in {
        "pipe.pt": "a named pipe",
        "pipe.safetensors": "a named pipe",
        "zero.pt": "a device",
        "empty.pt": "not a whole checkpoint",
    }.items():
        with pytest.raises(QgaitError, match=why):
            load(tmp_path / name)


def test_the_command_ends_with_2_and_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(saved(STRUCTURES["a negative variance"][0](dict(STATE))))
    options = ["--checkpoint", tmp_path / "model.pt", "--data", tmp_path, "--out", tmp_path / "out.safetensors"]
    command = [sys.executable, "-c", "from qgait.__main__ import main; main()", "calibrate", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "has negative variances" in done.stderr and "Traceback" not in done.stderr

"""What a run goes on from stands in files: whatever is in them, it goes on or says so in one sentence."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blob_walks import WALKS
from checkpoint_mutations import damaged_files
from tiny_runs import FLOAT, QUANTIZED, model

from qgait.errors import QgaitError
from qgait.quantizers.grid import Recipe
from qgait.training.loop import train
from qgait.training.quantized import train_quantized
from qgait.training.settings import OptimizerSettings

SHORT = dataclasses.replace(FLOAT, iterations=2, save_every=1)
LONG = dataclasses.replace(SHORT, iterations=3)
ADAM = dataclasses.replace(SHORT, optimizer=OptimizerSettings("adam", 1e-3, weight_decay=0.0))
W4A4 = Recipe(4, 4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run, one with Adam, and a quantized one."""
    folder = tmp_path_factory.mktemp("runs")
    train(model(), WALKS, SHORT, folder / "float")
    train(model(), WALKS, ADAM, folder / "adam")
    train_quantized(model(), WALKS, W4A4, QUANTIZED, folder / "quantized")
    return folder


def put(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Replaces a value in nested mappings."""

    def spoil(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return spoil


def without(*keys: Any) -> Callable[[dict[str, Any]], None]:
    """Takes a value out of nested mappings."""

    def spoil(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return spoil


NAN = torch.tensor(float("nan"))
BOTH = {
    "no losses": without("training", "losses"),
    "losses as text": put("training", "losses", value="1"),
    "a table of losses": put("training", "losses", value=torch.zeros(2, 2)),
    "losses that are NaN": put("training", "losses", value=torch.full((2,), float("nan"), dtype=torch.float64)),
    "losses without end": put("training", "losses", value=torch.zeros(1).expand(1 << 40)),
    "no generator": without("training", "generator"),
    "a generator of floats": put("training", "generator", value=torch.zeros(5056)),
    "a short generator": put("training", "generator", value=torch.zeros(3, dtype=torch.uint8)),
    "a number for batches": put("training", "batches", value=5),
    "no JSON for batches": put("training", "batches", value="{"),
    "nested batches": put("training", "batches", value="[" * 100_000),
    "another generator's batches": put("training", "batches", value='{"bit_generator": "MT19937"}'),
    "batches beyond 128 bits": put(
        "training",
        "batches",
        value='{"bit_generator": "PCG64", "state": {"state": 1%s, "inc": 1}, "has_uint32": 0, "uinteger": 0}'
        % ("0" * 99),
    ),
    "settings as a list": put("training", "settings", value=[1]),
    "a tensor among the settings": put("training", "settings", "seed", value=torch.zeros(3)),
    "no optimizer": without("optimizer"),
    "an optimizer as text": put("optimizer", value="sgd"),
    "parameters that there are not": put("optimizer", "state", value={9_999: {"momentum_buffer": NAN}}),
    "momentum that is NaN": put("optimizer", "state", 0, value={"momentum_buffer": NAN}),
    "momentum of another shape": put("optimizer", "state", 0, value={"momentum_buffer": torch.zeros(7)}),
    "momentum as text": put("optimizer", "state", 0, value={"momentum_buffer": "x"}),
    "another optimizer's state": put("optimizer", "state", 0, value={"step": torch.zeros(())}),
}
FLOAT_ONLY = {
    "no weights": without("model"),
    "weights as a list": put("model", value=[1]),
    "a weight that is text": put("model", "FCs.fc_bin", value="x"),
    "a weight that is NaN": put("model", "FCs.fc_bin", value=torch.full((16, 12, 10), float("nan"))),
    "training as a tensor": put("training", value=torch.zeros(1)),
}
QUANTIZED_ONLY = {
    "grids as a list": put("training", "grids", value=[1]),
    "a grid of text": put("training", "grids", "stem", value={"lo": "a", "hi": 1, "zero_point": 0}),
    "a grid of 16 bits": put("training", "grids", "stem", value={"lo": -32768, "hi": 32767, "zero_point": 0}),
    "a frame of text": put("training", "frame_size", value="64x44"),
    "a huge frame": put("training", "frame_size", value=(10**9, 10**9)),
    "one correlation": put("training", "before", value=(0.5,)),
    "bits as a list": put("training", "bits", value=[4] * 10_000),
    "no teacher": without("training", "teacher"),
    "no steps": put("model", value={}),
}


def spoilt(folder: Path, file: str, part: str, spoil: Callable[[dict[str, Any]], None]) -> None:
    content = torch.load(folder / file, weights_only=True)
    content["training"] = content.pop(part)
    spoil(content)
    if "training" in content:
        content[part] = content.pop("training")
    torch.save(content, folder / file)


@pytest.mark.parametrize("case", BOTH | FLOAT_ONLY)
def test_a_float_run_does_not_go_on_from_anything(case: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "float", tmp_path / "run")
    spoilt(tmp_path / "run", "checkpoint.pt", "training", (BOTH | FLOAT_ONLY)[case])
    with pytest.raises(QgaitError) as refused:
        train(model(), WALKS, LONG, tmp_path / "run", resume=True)
    assert "checkpoint.pt" in refused.value.problem or "was begun with" in refused.value.problem
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("case", BOTH | QUANTIZED_ONLY)
def test_a_quantized_run_does_not_go_on_from_anything(case: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "quantized", tmp_path / "run")
    spoilt(tmp_path / "run", "quantized.pt", "quantized", (BOTH | QUANTIZED_ONLY)[case])
    with pytest.raises(QgaitError) as refused:
        train_quantized(model(), WALKS, W4A4, QUANTIZED, tmp_path / "run", resume=True)
    assert len(str(refused.value)) < 500


def test_adam_wants_all_that_it_remembers(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "adam", tmp_path / "run")
    more = dataclasses.replace(ADAM, iterations=3)
    train(model(), WALKS, more, tmp_path / "run", resume=True)
    spoilt(tmp_path / "run", "checkpoint.pt", "training", without("optimizer", "state", 0, "exp_avg_sq"))
    with pytest.raises(QgaitError, match=r"The state of the run in .*checkpoint\.pt is damaged"):
        train(model(), WALKS, dataclasses.replace(ADAM, iterations=4), tmp_path / "run", resume=True)


def test_how_it_learns_is_said_by_the_settings_not_by_the_file(runs: Path, tmp_path: Path) -> None:
    for name in ("as it was", "changed"):
        shutil.copytree(runs / "float", tmp_path / name)
    group = {"lr": "x", "momentum": "x", "params": []}
    spoilt(tmp_path / "changed", "checkpoint.pt", "training", put("optimizer", "param_groups", value=[group]))
    losses = [train(model(), WALKS, LONG, tmp_path / name, resume=True) for name in ("as it was", "changed")]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"\xff\xfe\n1,2\n",
        b"iteration,loss\n1\n2\n",
        b"iteration,loss\n1,a\n2,b\n",
        b"x" * 200_000,
        b'a\n1,"\n2,"\n',
    ],
    ids=range(6),
)
def test_a_damaged_log_is_named(log: bytes, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "float", tmp_path / "run")
    (tmp_path / "run" / "log.csv").write_bytes(log)
    with pytest.raises(QgaitError, match=r"log\.csv has no row of iteration"):
        train(model(), WALKS, LONG, tmp_path / "run", resume=True)


def test_damaged_files_of_runs_are_refused_or_gone_on_from(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "float", tmp_path / "run")
    whole = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    for content in damaged_files([whole], seed=3, count=60):
        (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
        try:
            train(model(), WALKS, SHORT, tmp_path / "run", resume=True)
        except QgaitError as error:
            assert len(str(error)) < 600

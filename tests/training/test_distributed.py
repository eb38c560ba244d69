"""Two processes connected by gloo train as one process does on the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared_runs
import torch
from tiny_runs import rows
from torch import nn

from qgait.data.walkers.dataset import synthesize
from qgait.training import distributed
from qgait.training.synchronized_norm import SynchronizedBatchNorm, synchronize_batch_norm

TESTS = Path(__file__).parents[1]


def started(folder: Path, data: Path, world: int) -> list[subprocess.Popen[str]]:
    """``shared_runs`` in each of ``world`` processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    path = os.pathsep.join([str(TESTS), *sys.path])
    return [
        subprocess.Popen(
            [sys.executable, TESTS / "shared_runs.py", folder, data],
            env=os.environ | names | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, Any], list[str]]]:
    """(folder, what process 0 left, what each process said) of one, which is this one, and of two processes."""
    one, two, data = (tmp_path_factory.mktemp(name) / "it" for name in ("one", "two", "data"))
    synthesize(data, 3, 0, 4, conditions=("nm-01",), views=(36, 90))
    processes = started(two, data, 2)
    shared_runs.main(one, data)
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    results = [torch.load(folder / "result.pt", weights_only=True) for folder in (one, two)]
    return [(one, results[0], []), (two, results[1], said)]


@pytest.mark.parametrize(
    ("kind", "tiny"), [("gradients", 1e-5), ("quantized gradients", 1e-9), ("PACT gradients", 1e-9)]
)
def test_two_processes_have_the_gradients_of_one(kind: str, tiny: float, runs: Any) -> None:
    """Every loss, batch norm, clips of several lengths, the guidance: after one iteration from the same weights.

    Nearly every gradient is so much larger than ``tiny`` that one that is half or double as large is seen.
    """
    (_, one, _), (_, two, _) = runs
    assert len(one[kind]) == len(two[kind]) > 10
    sizes = [float(gradient.norm()) for gradient in one[kind]]
    largest = max(sizes)
    assert sum(size > 4 * tiny * largest for size in sizes) >= 0.95 * len(sizes)
    for expected, found, size in zip(one[kind], two[kind], sizes, strict=True):
        assert size > 0
        assert float((found - expected).norm()) <= 1e-3 * size + tiny * largest


def test_two_processes_have_the_losses_of_one(runs: Any) -> None:
    """Later iterations go their own ways: rounding errors grow in so small a batch."""
    (_, one, _), (_, two, _) = runs
    for kind in ("losses", "quantized losses"):
        assert two[kind][0] == pytest.approx(one[kind][0], rel=1e-5)
        assert two[kind][1] == pytest.approx(one[kind][1], rel=0.01)
    assert two["before"] == one["before"]


def test_running_statistics_are_those_of_the_whole_batch(runs: Any) -> None:
    (_, one, _), (_, two, _) = runs
    assert len(one["statistics"]) > 20
    for name, expected in one["statistics"].items():
        torch.testing.assert_close(two["statistics"][name], expected)


def test_torchs_own_synchronised_batch_norm_refuses_cpus(runs: Any) -> None:
    """Why there is one here."""
    assert "expected input tensor to be on GPU" in runs[1][1]["refusal"]


def test_two_processes_resume_to_the_same_losses(runs: Any) -> None:
    for _, left, _ in runs:
        assert left["resumed"] == left["losses"]


def test_process_0_alone_writes_and_prints(runs: Any) -> None:
    folder, left, said = runs[1]
    assert "iteration 6: mean loss" in said[0]
    assert "iteration" not in said[1]
    found = rows(folder / "float")
    assert [float(row["loss"]) for row in found] == left["losses"]
    assert float(found[-1]["test rank1 nm"]) == float(rows(runs[0][0] / "float")[-1]["test rank1 nm"])
    assert len(list((folder / "float").glob("events.out.tfevents*"))) == 1


def test_process_0_alone_looks_at_the_folder_of_the_run(runs: Any) -> None:
    """The other has none: its silhouettes are in the user's folder on its machine."""
    folder, left, said = runs[1]
    assert left["commands"] == [[0, 2, 0]] * 2
    assert all("There already is a run in" in text for text in said)
    assert len(rows(folder / "run")) == 3
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4, 2)])
def test_alone_the_synchronised_batch_norm_is_torchs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm1d(5) if len(shape) == 2 else nn.BatchNorm2d(5)
    nn.init.uniform_(plain.weight)
    nn.init.normal_(plain.bias)
    ours = SynchronizedBatchNorm(5)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(shape) * 3 + 2
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    weights = torch.randn(shape)
    for norm, given in zip((plain, ours), inputs, strict=True):
        (norm(given) * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))


def test_one_process_keeps_torchs_batch_norm() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2))
    synchronize_batch_norm(network, "cpu")
    assert type(network[0]) is nn.BatchNorm1d
    assert (distributed.rank(), distributed.world()) == (0, 1)

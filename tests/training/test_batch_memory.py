"""Memory of a batch: estimated within a little of what it takes, and batches that do not fit are refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from blob_walks import WALKS
from tiny_runs import FLOAT, QUANTIZED, model

from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.quantizers.grid import Recipe
from qgait.training import batch_memory, distributed
from qgait.training.available_memory import available_memory
from qgait.training.batches import Batches
from qgait.training.live_memory import most_bytes
from qgait.training.loop import train
from qgait.training.quantized import train_quantized
from qgait.training.runner import Run
from qgait.training.settings import BatchSettings

MEASURE = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
import quick_calibration
from blob_walks import WALKS
from float_models import small_model
from tiny_runs import FLOAT, QUANTIZED
from qgait.data.frames import FrameSampling
from qgait.quantizers.grid import Recipe
from qgait.training import batch_memory, quantized, runner
from qgait.training.loop import train
from qgait.training.settings import BatchSettings

kind, precision, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
quantized.calibrate = quick_calibration.calibrate
batch = BatchSettings(3, 8, FrameSampling(frames=30))
WIDE = {"channels": (8, 12, 16), "embedding": 16}
facts = {}

def note(task, classes, device, typical):
    need = batch_memory.measured(task, classes, device)
    facts["estimated"] = need.of(batch.people * batch.clips * typical)
    facts["before"] = 1024 * int(next(x for x in open("/proc/self/status") if x.startswith("VmRSS")).split()[1])

runner.check_batch = note
network = small_model("gaitset", **WIDE)
if kind == "float":
    train(network, WALKS, replace(FLOAT, batch=batch, iterations=2, precision=precision), out)
else:
    settings = replace(QUANTIZED, batch=batch, precision=precision)
    quantized.train_quantized(network, WALKS, Recipe(4, 4), settings, out)
facts["measured"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - facts["before"]
print(json.dumps(facts))
"""


@pytest.mark.parametrize("kind", ["float", "quantized"])
def test_the_estimate_is_near_what_a_run_takes(kind: str, tmp_path: Path) -> None:
    """720 frames; the most that the process ever has, beside what it has before its first batch."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind, "float32", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["measured"] > 300e6, "large enough to tell"
    assert 0.9 < facts["estimated"] / facts["measured"] < 1.4, facts


def test_what_lives_at_one_time_is_counted() -> None:
    def one_after_the_other() -> None:
        for _ in range(3):
            torch.zeros(1000)

    def together() -> list[torch.Tensor]:
        return [torch.zeros(1000) for _ in range(3)]

    def kept_for_gradients() -> None:
        x = torch.zeros(1000, requires_grad=True)
        (x.exp().exp().exp()).sum().backward()

    assert most_bytes(one_after_the_other) == 4000
    assert most_bytes(together) == 12_000
    assert most_bytes(lambda: torch.zeros(1000)[:10].view(2, 5).t()) == 4000, "views take nothing"
    assert 16_000 <= most_bytes(kept_for_gradients) <= 24_100


LARGE = BatchSettings(40, 8, FrameSampling(frames=30))


def test_a_batch_that_does_not_fit_is_refused_and_the_fix_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "available_memory", lambda device: 600_000_000)
    before = {name: value.clone() for name, value in model().state_dict().items()}
    network = model()
    settings = dataclasses.replace(FLOAT, batch=LARGE)
    with pytest.raises(
        QgaitError, match=r"batch of 40 x 8 clips of 30 frames needs about .* and 0\.6 GB are free"
    ) as e:
        train(network, WALKS, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), "trying a batch changed the network"
    fit = re.search(r"fewer people: (\d+) fit \(`people=\1`\)", e.value.fix)
    assert fit is not None and 2 <= int(fit[1]) < 40
    checked: list[int] = []
    monkeypatch.setattr(Run, "_iterate", lambda run, number: checked.append(number) or stop())
    for people in (int(fit[1]), int(fit[1]) + 1):
        batch = dataclasses.replace(LARGE, people=people)
        with pytest.raises(QgaitError, match=r"it began|clips of 30 frames needs"):
            train(model(), WALKS, dataclasses.replace(settings, batch=batch), tmp_path / str(people))
    assert checked == [0], "one more does not fit"


def stop() -> None:
    raise QgaitError("it began", "")


def test_so_is_one_of_quantized_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_memory, "available_memory", lambda device: 200_000_000)
    with pytest.raises(QgaitError, match="200 x 8 clips of 30 frames needs about") as caught:
        batch = dataclasses.replace(LARGE, people=200)
        train_quantized(model(), WALKS, Recipe(4, 4), dataclasses.replace(QUANTIZED, batch=batch), tmp_path)
    assert caught.value.fix == "take fewer clips (`clips`) or frames (`frames`)."


def test_trying_changes_nothing_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, statistics of batch norm, chance: the losses are those without it."""
    tried: list[int] = []
    measured = batch_memory.measured
    monkeypatch.setattr(batch_memory, "measured", lambda *all: (tried.append(1), measured(*all))[1])
    expected = train(model(), WALKS, FLOAT, tmp_path / "without")
    assert tried == [], "two frames of four clips are too few to try"
    monkeypatch.setattr(batch_memory, "CLIPS", 2)
    monkeypatch.setattr(batch_memory, "FRAMES", (1, 2))
    assert train(model(), WALKS, FLOAT, tmp_path / "with") == expected and tried == [1]
    ragged = dataclasses.replace(QUANTIZED.batch, sampling=FrameSampling("unfixed", frames_min=1, frames_max=3))
    settings = dataclasses.replace(QUANTIZED, batch=ragged)
    found = train_quantized(model(), WALKS, Recipe(4, 4), settings, tmp_path / "q").losses
    assert tried == [1, 1]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (FrameSampling(frames=7), 7),
        (FrameSampling("unfixed", frames_min=10, frames_max=50), 30),
        (FrameSampling("all"), 4),
        (FrameSampling("all", limit=3), 3),
    ],
)
def test_the_typical_length_of_a_clip(sampling: FrameSampling, expected: float) -> None:
    from qgait.data.augmentations import Augmentations

    with Batches(WALKS, 2, 2, sampling, Augmentations(), 0) as batches:
        assert batches.typical_length() == expected


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (MACHINE, 4_096_000),
        ({}, None),
        (
            MACHINE
            | {
                "proc/self/cgroup": "0::/jobs/a\n",
                "sys/fs/cgroup/jobs/a/memory.max": "max\n",
                "sys/fs/cgroup/jobs/a/memory.current": "100\n",
                "sys/fs/cgroup/jobs/memory.max": "3000000\n",
                "sys/fs/cgroup/jobs/memory.current": "1000000\n",
                "sys/fs/cgroup/jobs/memory.stat": "anon 5\ninactive_file 200000\n",
            },
            2_200_000,
        ),
        (
            MACHINE
            | {
                "proc/self/cgroup": "12:cpu:/x\n5:memory,other:/docker/ff\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",  # a container sees its own group as the top
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "2500000\n",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 600000\n",
            },
            100_000,
        ),
    ],
    ids=["machine", "nothing known", "cgroup 2", "cgroup 1"],
)
def test_available_memory(
    files: dict[str, str], free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written(tmp_path, files)
    assert available_memory("cpu", root) == free
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert available_memory("cpu", root) == (None if free is None else free // 2)


def test_this_machine_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    free = available_memory("cpu")
    assert free is not None and 1e8 < free < 1e14
    assert distributed.world() == 1

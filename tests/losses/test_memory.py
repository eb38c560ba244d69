"""A batch of 32 x 8 clips of 64 parts of 256 channels: 32 million triples, which are never in memory together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loss_batches import LOSSES
from torch.utils._python_dispatch import TorchDispatchMode

PEOPLE, CLIPS, PARTS, CHANNELS = 32, 8, 64, 256


class Largest(TorchDispatchMode):
    """Notes the most elements that the result of one operation had, in forward and backward."""

    elements = 0

    def __torch_dispatch__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in results if isinstance(results, tuple | list) else [results]:
            if isinstance(result, torch.Tensor):
                self.elements = max(self.elements, result.untyped_storage().nbytes() // result.element_size())
        return results


def largest(work: Callable[[], Any]) -> int:
    with Largest() as seen:
        work()
    return seen.elements


@pytest.mark.parametrize("name", LOSSES)
def test_no_tensor_is_larger_than_the_embeddings_or_the_distances(name: str) -> None:
    people = PEOPLE // 2  # half of them, for speed
    n = people * CLIPS
    x = torch.randn(n, PARTS, CHANNELS, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(n) // CLIPS
    assert n * n * PARTS < n * PARTS * CHANNELS < PARTS * n * CLIPS * (n - CLIPS)
    assert largest(lambda: LOSSES[name](x, labels).backward()) == n * PARTS * CHANNELS


def test_the_watch_sees_a_large_tensor_forward_and_backward() -> None:
    x = torch.ones(50, requires_grad=True)
    assert largest(lambda: x[:, None] - x) == 2500
    y = (x.expand(70, 50) * 2).sum()
    assert largest(y.backward) == 3500


MEASURE = """
import json, sys, torch
from pathlib import Path
from loss_batches import LOSSES
from qgait.losses.inter_class_distance import inter_class_distance_loss

def peak():  # kB; getrusage would count the process that started this one too
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

losses = {name: LOSSES[name] for name in ("triplet", "weighted_margin", "filtered softmax", "center softrank")}
losses |= {"guidance": lambda x, labels: inter_class_distance_loss(x, x.detach().flip(0), labels)}
people, clips, parts, channels = map(int, sys.argv[1:])
x = torch.randn(people * clips, parts, channels).requires_grad_()
labels = torch.arange(people * clips) // clips
x.sum().backward()
before = peak()
grown = {}
for name, loss in losses.items():
    loss(x, labels).backward()
    grown[name] = (peak() - before) // 1024
print(json.dumps(grown))
"""


def test_a_full_batch_takes_a_few_hundred_megabytes() -> None:
    sizes = [str(size) for size in (PEOPLE, CLIPS, PARTS, CHANNELS)]
    folder = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *sizes], cwd=folder, capture_output=True, text=True, check=True
    )
    grown = json.loads(done.stdout)
    assert len(grown) == 5
    assert 0 < max(grown.values()) < 350, grown  # the differences of all triplets alone are 130 MB a copy

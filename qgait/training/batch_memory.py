"""Whether a batch fits into memory, found out on a few frames before a whole one is tried.

A system whose memory is full does not say no: it ends the process. So a copy of what is trained takes in two small
batches, forward and backward, and what their tensors took is drawn out to the whole batch: the memory of a step is a
constant and so much a frame. Kernels need buffers of their own beside it; how much, is measured.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qgait.data.silhouettes import HEIGHT, WIDTH
from qgait.errors import QgaitError
from qgait.training import distributed
from qgait.training.available_memory import available_memory
from qgait.training.batches import AHEAD
from qgait.training.live_memory import most_bytes
from qgait.training.settings import QuantizedSettings, Settings

CLIPS, FRAMES = 4, (3, 6)  # of the two small batches
BUFFERS, BUFFERS_3D = 1.35, 1.5  # convolutions over time copy more
BESIDE = 100_000_000  # bytes: threads, libraries, what the allocator does not give back
GB = 1e9


class Step(Protocol):
    """The part of a ``runner.Task`` that an iteration's memory is taken by."""

    optimizer: torch.optim.Optimizer

    @property
    def settings(self) -> Settings | QuantizedSettings:
        """What decides the batch."""

    def prepare(self, iteration: int) -> float:
        """See ``runner.Task``."""

    def terms(
        self, frames: Tensor, labels: Tensor, lengths: list[int] | None, iteration: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """See ``runner.Task``."""


@dataclass(frozen=True)
class Need:
    """Bytes of a step: ``constant``, and for every frame of the batch that this process has."""

    constant: float
    frame: float

    def of(self, frames: float) -> float:
        """Of a batch of so many frames."""
        return self.constant + self.frame * frames

    def frames(self, free: float) -> int:
        """How many fit."""
        return max(0, int((free - self.constant) / self.frame))


def check_batch(task: Step, classes: int, device: str, typical: float) -> None:
    """QgaitError unless a batch of clips of ``typical`` length, in frames, fits into the memory that is there.

    ``classes`` are the people of the data. Nothing that ``task`` trains changes.
    """
    batch = task.settings.batch
    share = batch.people * batch.clips / distributed.world()
    if share * typical <= CLIPS * FRAMES[1]:
        return  # no larger than what would be tried
    need = measured(task, classes, device)
    free = distributed.from_first(lambda: available_memory(device))
    wanted = need.of(share * typical)
    if free is None or wanted <= free:
        return
    people = int(need.frames(free) * distributed.world() / (batch.clips * typical))
    fits = "take fewer clips (`clips`) or frames (`frames`)."
    if people > 1:
        fits = f"take fewer people: {people} fit (`people={people}`), or fewer clips or frames."
    raise QgaitError(
        f"A batch of {batch.people} x {batch.clips} clips of {typical:.0f} frames needs about {wanted / GB:.1f} GB of "
        f"memory, and {free / GB:.1f} GB are free.",
        fits,
    )


def measured(task: Step, classes: int, device: str) -> Need:
    """What a step of ``task`` takes, from two small batches."""
    small, large = (_tried(task, classes, device, frames) for frames in FRAMES)
    frame = (large - small) / (CLIPS * (FRAMES[1] - FRAMES[0]))
    parameters = [p for group in task.optimizer.param_groups for p in group["params"]]
    weights = sum(p.numel() * p.element_size() for p in parameters)
    buffers = BUFFERS_3D if any(p.ndim == 5 for p in parameters) else BUFFERS
    states = 2 if isinstance(task.optimizer, torch.optim.Adam) else 1
    waiting = (AHEAD + 1) * HEIGHT * WIDTH  # batches that were loaded ahead
    constant = max(0.0, small - frame * CLIPS * FRAMES[0])
    return Need(buffers * constant + states * weights + BESIDE, buffers * frame + waiting)


def _tried(task: Step, classes: int, device: str, frames: int) -> int:
    """The most bytes that a step of a copy of ``task`` takes on CLIPS clips of ``frames`` frames."""
    twin = copy.deepcopy(task)
    sampling = task.settings.batch.sampling
    labels = torch.arange(CLIPS, device=device) * 2 // CLIPS % classes
    pixels = torch.randint(0, 2, (CLIPS, frames, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(frames))
    clips = (pixels * 255).to(torch.uint8).to(device)
    lengths = None
    if sampling.count != "fixed":
        clips, lengths = clips.flatten(0, 1)[None], [frames] * CLIPS

    def step() -> None:
        twin.prepare(0)
        terms, _ = twin.terms(clips, labels, lengths, 0, torch.Generator().manual_seed(0))
        if terms:
            torch.stack(list(terms.values())).sum().backward()

    return most_bytes(step)

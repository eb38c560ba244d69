"""The loop of every training run, float or quantized, in one process or in many.

A run can be stopped at any moment: its checkpoint holds what is trained, the optimizer, and the states of all random
generators, so that going on gives the same losses as never having stopped, and its log is cut back to that iteration.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from qgait.errors import QgaitError
from qgait.interrupts import Stopped
from qgait.training import distributed
from qgait.training.batch_memory import check_batch
from qgait.training.batches import Batches
from qgait.training.held_signals import HeldSignals
from qgait.training.precision import gradient_scaler
from qgait.training.run_log import Row, RunLog
from qgait.training.run_state import losses_of
from qgait.training.settings import QuantizedSettings, Settings

State = dict[str, Any]
TEST = "test "  # what the log's columns of evaluation figures begin with
CLOCK = 120.0  # seconds from one checkpoint to the next, at most
REFRESHES = 2  # of the progress bar in a second: drawing it costs a processor that trains


class Task(Protocol):
    """What a run trains. ``checkpoint`` is its file; ``optimizer`` may change from one iteration to the next."""

    checkpoint: Path
    optimizer: torch.optim.Optimizer

    @property
    def settings(self) -> Settings | QuantizedSettings:
        """What decides the run."""

    def prepare(self, position: float) -> float:
        """Gets ready for an iteration and returns its learning rate.

        The position is the iteration's number, counted from 0, or in a run of so many minutes the time gone by, counted
        in iterations of the settings.
        """

    def terms(
        self, frames: Tensor, labels: Tensor, lengths: list[int] | None, iteration: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """(terms of the whole batch's loss, active share of its triplets) for this process's frames, uint8."""

    def scale_gradients(self) -> None:
        """Changes gradients before they are measured and used."""

    def update(self, step: Callable[[], object]) -> None:
        """Calls ``step``, which moves the parameters, and does what must be done around it."""

    def look(self, iteration: int, share: float) -> dict[str, float]:
        """Figures for the log, after an iteration at which ``share`` of the run is over; none most of the time."""

    def finish(self) -> None:
        """Makes the network that is trained the one that the run gives."""

    def evaluated(self) -> nn.Module:
        """The network as it would be used, in eval mode."""

    def where(self, position: float) -> str:
        """Words behind "at iteration 12" in messages, such as the stage."""

    def save(self, state: State) -> None:
        """Writes the checkpoint, the run's ``state`` included, in one move."""


class Run:
    """A run in progress; ``losses`` of all iterations so far."""

    def __init__(
        self, task: Task, batches: Batches, device: str, evaluate: Callable[[Any], dict[str, float]] | None
    ) -> None:
        self.losses: list[float] = []
        self._task, self._batches, self._device, self._evaluate = task, batches, device, evaluate
        self._generator = torch.Generator().manual_seed(task.settings.seed)
        self._scaler = gradient_scaler(task.settings.precision, device)
        self._saved = 0
        self._earlier = 0.0  # seconds of the run before it was resumed
        self._started = time.perf_counter()
        self._whole = True  # no iteration is under way

    def state(self) -> State:
        """What a checkpoint needs beside what is trained: plain containers and tensors."""
        return {
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "batches": json.dumps(self._batches.rng.bit_generator.state),
            "generator": self._generator.get_state(),
            "scaler": self._scaler.state_dict(),
            "seconds": self._seconds(),
        }

    def restore(self, state: State) -> None:
        """Goes back to where ``state`` was taken."""
        self.losses = losses_of(state)
        self._batches.rng.bit_generator.state = json.loads(state["batches"])
        self._generator.set_state(state["generator"])
        self._scaler.load_state_dict(state["scaler"])
        self._earlier = float(state["seconds"])

    def go(self) -> None:
        """Trains to the end. QgaitError when a loss or gradient is not finite: the last checkpoint then stays.

        QgaitError, before anything is done, also for batches that do not fit into memory.

        Ctrl-C and SIGTERM wait for the end of an iteration and for its checkpoint; what they raise then,
        KeyboardInterrupt or Stopped, has the number of iterations in that checkpoint as its argument.
        """
        settings = self._task.settings
        done = said = self._saved = len(self.losses)
        first = distributed.rank() == 0
        self._started = time.perf_counter()
        position = self._position()
        if position < settings.iterations:
            check_batch(self._task, self._batches.classes, self._device, self._batches.typical_length())
        log = RunLog(self._task.checkpoint.parent, done) if first else None
        try:
            with HeldSignals() as held, _progress(first) as progress:
                bar = progress.add_task("training", total=settings.iterations, completed=done, losses="")
                known = distributed.from_first(lambda: log is not None and any(n.startswith(TEST) for n in log.last))
                if self._evaluates(position) and not known:  # it was stopped between its checkpoint and its evaluation
                    with held.let_through():
                        self._test(log)
                clock = time.monotonic()
                while position < settings.iterations:
                    row = self._iterate(position)
                    done += 1
                    position = self._position()
                    ends = position >= settings.iterations
                    row |= self._task.look(done, min(position / settings.iterations, 1))
                    if ends:
                        self._task.finish()
                    if log is not None:
                        log.write(row)
                        progress.update(bar, completed=min(position, settings.iterations), losses=_losses(row))
                    self._whole = True
                    held.check()
                    late = time.monotonic() - clock >= CLOCK
                    saves = late or done % settings.save_every == 0 or ends
                    if saves:
                        self._save()
                        clock = time.monotonic()
                    figures = ""
                    if self._evaluates(position):
                        with held.let_through():
                            figures = self._test(log)
                    if saves or figures:
                        recent = self.losses[said:]
                        said = done
                        progress.console.print(
                            f"iteration {done}: mean loss {sum(recent) / len(recent):.4f}, "
                            f"{row['active']:.1%} of triplets active{figures}"
                        )
                held.check()
        except (Stopped, KeyboardInterrupt) as stop:
            raise type(stop)(self._left()) from None
        finally:
            if log is not None:
                log.close()

    def _seconds(self) -> float:
        """That the run has taken, with those before it was resumed."""
        return self._earlier + time.perf_counter() - self._started

    def _position(self) -> float:
        """Where the run is, in iterations of its settings; the first process has the clock that counts."""
        settings = self._task.settings
        if settings.minutes is None:
            return len(self.losses)
        minutes = settings.minutes
        return distributed.from_first(lambda: self._seconds() / 60 / minutes * settings.iterations)

    def _save(self) -> None:
        """Of several processes the first one writes; its clock and disk are the only ones that count."""
        if distributed.rank() == 0:
            self._task.save(self.state())
        self._saved = len(self.losses)

    def _left(self) -> int:
        """How many iterations a stopped run leaves in its checkpoint, which is brought up to date where possible."""
        if self._whole and self._saved < len(self.losses):
            with suppress(QgaitError):  # a full disk: the older one stays
                self._save()
        return self._saved

    def _iterate(self, position: float) -> Row:
        """One iteration; its row in the log. Nothing has changed if it raises."""
        started = time.perf_counter()
        self._whole = False
        iteration = len(self.losses)
        rate = self._task.prepare(position)
        optimizer = self._task.optimizer
        batch = self._batches.draw()
        frames, labels = (torch.from_numpy(x).to(self._device) for x in (batch.frames, batch.labels))
        lengths = None if batch.lengths is None else batch.lengths.tolist()
        terms, active = self._task.terms(frames, labels, lengths, iteration, self._generator)
        if not terms:
            raise QgaitError("No loss has a weight that applies to this network.", "give one of its losses a weight.")
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(torch.stack(list(terms.values())).sum()).backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        distributed.average_gradients(parameters)
        self._scaler.unscale_(optimizer)
        self._task.scale_gradients()
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
        *values, share, size = torch.stack([*terms.values(), active, norm]).detach().tolist()
        loss = sum(values)
        if not math.isfinite(loss):
            self._stop(f"The loss is {loss}", position)
        if not math.isfinite(size) and not (self._scaler.is_enabled() and self._scaler.get_scale() > 1):
            self._stop("The gradient is not finite", position)
        self._task.update(lambda: self._scaler.step(optimizer))  # float16 skips steps until its scale fits
        self._scaler.update()
        self.losses.append(loss)
        samples = len(labels) * distributed.world()
        return {
            "iteration": iteration + 1,
            "loss": loss,
            **dict(zip(terms, values, strict=True)),
            "learning_rate": rate,
            "active": share,
            "gradient_norm": size,
            "samples_per_second": samples / (time.perf_counter() - started),
        }

    def _stop(self, problem: str, position: float) -> None:
        path = self._task.checkpoint
        there = distributed.from_first(path.exists)
        saved = distributed.from_first(lambda: self._saved)
        kept = f"{path} still holds iteration {saved}" if there else "nothing has been saved yet"
        raise QgaitError(
            f"{problem} at iteration {len(self.losses) + 1}{self._task.where(position)}.",
            f"begin again with a lower learning rate; {kept}.",
        )

    def _evaluates(self, position: float) -> bool:
        settings, done = self._task.settings, len(self.losses)
        due = settings.evaluate_every and done % settings.evaluate_every == 0
        return self._evaluate is not None and done > 0 and bool(due or position >= settings.iterations)

    def _test(self, log: RunLog | None) -> str:
        """Evaluates in all processes; the figures go to the log and come back in words."""
        assert self._evaluate is not None
        figures = self._evaluate(self._task.evaluated())
        if log is not None:
            log.amend({TEST + name: value for name, value in figures.items()})
        return "".join(f", {name} {value:.2f}" for name, value in figures.items())


def _losses(row: Row) -> str:
    names = list(row)
    return "  ".join(f"{name} {row[name]:.3f}" for name in names[1 : names.index("learning_rate")])


def _progress(shown: bool) -> Progress:
    console = Console(stderr=True, highlight=False, emoji=False, quiet=not shown)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=REFRESHES,
        disable=not console.is_terminal,  # a log file wants no bars
    )

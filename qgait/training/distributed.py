"""Several processes that train one network as one process would, started by ``torchrun``; alone, nothing happens.

Every process has its share of each batch. Losses that compare samples see the embeddings of all (``gathered``), batch
norm has the statistics of all (``synchronized_norm``), and gradients are averaged over the processes. For the average
to be the gradient of the whole batch's loss, what a process passes back is ``world`` times its share of that gradient:
``gathered`` sees to it for the losses of the whole batch, ``mean`` for the losses that are means over samples.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from qgait.errors import QgaitError

T = TypeVar("T")

PATIENCE = timedelta(hours=2)  # the first process may calibrate, or copy a large data set, while the others wait


def connect() -> None:
    """Joins the other processes of ``torchrun``, if there are any, until this one ends.

    gloo carries what is on CPUs, NCCL what is on GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
        atexit.register(dist.destroy_process_group)


def join(device: str) -> str:
    """Connects, and gives this process's device: ``cuda`` becomes its own GPU on its machine."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    connect()
    return device


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is; process 0 alone writes and prints."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` returns in process 0, in every process; a QgaitError there is raised in all of them."""
    if world() == 1:
        return make()
    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = make()
        except QgaitError as error:
            answer[1] = error
    dist.broadcast_object_list(answer, 0)
    if answer[1] is not None:
        raise answer[1]
    result: T = answer[0]
    return result


def everyones(value: T) -> list[T]:
    """``value`` of every process, in the order of their ranks."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def largest(value: int) -> int:
    """The largest ``value`` of all processes, in every process."""
    if world() == 1:
        return value
    answer = torch.tensor(value)
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return int(answer)


def copy_from_first(module: nn.Module) -> None:
    """Gives every process the parameters and buffers of process 0."""
    if world() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over the processes, in one message for each dtype."""
    if world() == 1:
        return
    groups: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            groups.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in groups.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= world()
        parts = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def gathered(x: Tensor) -> Tensor:
    """[n, ...] of every process as [world * n, ...], in the order of the whole batch.

    Sample i of process r is number ``i * world + r``. A process gets the gradient of its own samples, ``world`` times.
    """
    return x if world() == 1 else _Gather.apply(x)


def mean(x: Tensor) -> Tensor:
    """The mean over the processes of a scalar that is itself a mean over as many samples in each of them."""
    return x if world() == 1 else _Mean.apply(x)


def total(x: Tensor) -> Tensor:
    """The sum over the processes; so is its gradient."""
    return x if world() == 1 else _Sum.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad[rank() :: world()] * world()


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x / world()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous().clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad

"""Batch norm over the samples of all processes: torch's own on GPUs, and one for CPUs, which torch lacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgait.training.distributed import total, world


def synchronize_batch_norm(model: nn.Module, device: str) -> None:
    """Exchanges every batch norm inside ``model`` for one that has the statistics of all processes, in place.

    Names and values of parameters and buffers stay. On CUDA it is torch's SyncBatchNorm, which refuses CPU tensors;
    there ``SynchronizedBatchNorm`` takes its place. A process that is alone keeps what it has.
    """
    if world() == 1:
        return
    if device.startswith("cuda"):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            norm = SynchronizedBatchNorm(module.num_features, module.eps, module.momentum)
            norm.load_state_dict(module.state_dict())
            model.set_submodule(name, norm.train(module.training))


class SynchronizedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of [n, C] or [n, C, ...]; in training mode mean and variance are those of all processes' samples.

    Processes may have different numbers of samples. Gradients flow through the shared statistics. In eval mode it is
    any other batch norm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch norm needs [n, C] or [n, C, ...], not {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            others = [d for d in range(x.ndim) if d != 1]
            shape = [1, -1] + [1] * (x.ndim - 2)
            count = total(torch.tensor(float(x.numel() // x.shape[1])))
            mean = total(x.sum(others)) / count
            centred = x - mean.view(shape)
            variance = total(centred.square().sum(others)) / count
            y = centred * ((variance + self.eps).rsqrt() * self.weight).view(shape) + self.bias.view(shape)
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        return y.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1

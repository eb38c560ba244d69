"""Mixed precision: what the network computes in. Weights, losses, quantizers and the optimizer stay float32."""

from __future__ import annotations

import torch

from qgait.errors import QgaitError
from qgait.training.settings import Precision

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(precision: Precision, device: str) -> torch.autocast:
    """The context of a forward pass."""
    return torch.autocast(torch.device(device).type, DTYPES[precision], enabled=precision != "float32")


def gradient_scaler(precision: Precision, device: str) -> torch.amp.GradScaler:
    """Keeps float16's gradients from vanishing and does nothing in the other precisions.

    QgaitError for float16 anywhere but on CUDA.
    """
    kind = torch.device(device).type
    if precision == "float16" and kind != "cuda":
        raise QgaitError(f"float16 trains on CUDA only, not on {kind}.", "use bfloat16 or float32.")
    return torch.amp.GradScaler(kind, enabled=precision == "float16")

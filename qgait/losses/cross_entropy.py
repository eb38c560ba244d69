"""Cross-entropy over parts, as OpenGait computes it for cosine classifiers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

SCALE = 16.0
SMOOTHING = 0.1


def cross_entropy_loss(
    logits: torch.Tensor, labels: torch.Tensor, scale: float = SCALE, smoothing: float = SMOOTHING
) -> torch.Tensor:
    """Mean over samples and parts, of logits [n, classes, P] and integer labels [n]; always float32.

    The logits (cosines) are multiplied by ``scale``; the target is 1 - smoothing on the label plus smoothing spread
    evenly over all classes.
    """
    with torch.autocast(logits.device.type, enabled=False):
        targets = labels[:, None].expand(-1, logits.shape[2])
        return F.cross_entropy(logits.float() * scale, targets, label_smoothing=smoothing)

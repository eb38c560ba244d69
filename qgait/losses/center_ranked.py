"""Center-Ranked loss (Su, Zhao and Li, ICASSP 2020): every positive and negative of the batch ranked by class centre.

Only the abstract was to be had. It says that the loss integrates all positive and all negative samples of the batch;
the formulas here are our reading of the abstract.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.losses.distances import part_distances, widened

Mode = Literal["softrank", "mean", "hard", "absolute"]

MODES: tuple[Mode, ...] = get_args(Mode)
MARGIN = 0.2
TEMPERATURE = 0.1
ALPHA = 1.2


def center_ranked_loss(
    embeddings: Tensor,
    labels: Tensor,
    mode: Mode = "softrank",
    margin: float = MARGIN,
    temperature: float = TEMPERATURE,
    alpha: float = ALPHA,
    normalize: bool = False,
    detach_center: bool = False,
) -> Tensor:
    """Our reading of the abstract: embeddings [n, P, C] ranked by their distance d to each label's mean embedding.

    With i over the samples of a label, j over all others, m the margin and t the temperature, the loss is the mean over
    labels and parts of

    - ``softrank``: log(1 + sum over i and j of exp((d_i - d_j + m) / t)), one ranking of all samples;
    - ``mean``: max(mean d_i - softmin d_j + m, 0), with softmin = -t log(mean of exp(-d_j / t));
    - ``hard``: max(max d_i - min d_j + m, 0);
    - ``absolute``: mean of max(d_i - (alpha - m), 0), plus the mean of alpha - d_j over the negatives nearer than
      alpha, weighted by exp((alpha - d_j) / t) without gradient. Meant for ``normalize`` and a margin of 0.4.

    ``normalize`` scales embeddings to length 1 first; ``detach_center`` keeps the gradient from going through the
    centres. Always float32 (float64 of float64); 0 with fewer than two labels.
    """
    classes, sizes = labels.unique(return_counts=True)
    if len(classes) < 2:
        return widened(embeddings).sum() * 0
    with torch.autocast(embeddings.device.type, enabled=False):
        x = widened(embeddings)
        x = F.normalize(x, dim=-1) if normalize else x
        own = classes[:, None] == labels
        centres = torch.einsum("yn,npc->ypc", own.to(x.dtype) / sizes[:, None], x)
        distances = part_distances(centres.detach() if detach_center else centres, x)  # [P, labels, n]
        return _ranked(distances, own, sizes.to(distances.dtype), mode, margin, temperature, alpha).mean()


def _ranked(
    distances: Tensor, own: Tensor, sizes: Tensor, mode: Mode, margin: float, temperature: float, alpha: float
) -> Tensor:
    """Loss of each part and label [P, labels], of distances [P, labels, n]; ``own`` [labels, n] marks the positives."""
    infinity = float("inf")
    match mode:
        case "softrank":
            near = (distances / temperature).masked_fill(~own, -infinity).logsumexp(-1)
            far = (distances / -temperature).masked_fill(own, -infinity).logsumexp(-1)
            return F.softplus(near + far + margin / temperature)
        case "mean":
            near = distances.masked_fill(~own, 0).sum(-1) / sizes
            far = (distances / -temperature).masked_fill(own, -infinity).logsumexp(-1)
            return F.relu(near + temperature * (far - (len(own[0]) - sizes).log()) + margin)
        case "hard":
            far = distances.masked_fill(own, infinity).amin(-1)
            return F.relu(distances.masked_fill(~own, -infinity).amax(-1) - far + margin)
        case "absolute":
            near = F.relu(distances - (alpha - margin)).masked_fill(~own, 0).sum(-1) / sizes
            excess = F.relu(alpha - distances).masked_fill(own, 0)
            lowest = torch.finfo(excess.dtype).min  # finite, so that weights are too where no negative is near
            weights = (excess.detach() / temperature).masked_fill(excess == 0, lowest).softmax(-1)
            return near + (weights * excess).sum(-1)
    raise ValueError(f"no mode of the Center-Ranked loss is called {mode!r}")

"""The backbones' topologies written a second time with torch's own layers, on float64 clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from example_graphs import silhouettes
from float_models import small_model
from torch import Tensor, nn

from qgait.models.backbone import Backbone


def clip(count: int = 7) -> Tensor:
    """[1, 1, s, H, W], torch's order of 3-D convolutions."""
    return torch.from_numpy(silhouettes(count)).double()[None, None] / 255


def embedding(model: Backbone, frames: Tensor) -> Tensor:
    return model(frames[:, 0])


def gem(x: Tensor, p: Tensor) -> Tensor:
    """[n, C, rows, W] -> [n, C]."""
    return (x.clamp(min=1e-6) ** p).mean((2, 3)) ** (1 / p)


def bands(x: Tensor, rows: Sequence[int], convs: Sequence[nn.Module]) -> Tensor:
    """Each band through its own convolution; rows are the last axis but one."""
    return torch.cat([conv(band) for conv, band in zip(convs, x.split(list(rows), dim=-2), strict=True)], dim=-2)


def head(parts: list[Tensor], model: Any) -> Tensor:
    """Parts [n, C] each -> normed embeddings [n, P, C]."""
    outputs = torch.stack([part @ matrix for part, matrix in zip(parts, model.Head0.fc_bin, strict=True)], 2)
    return model.Bn(outputs).transpose(1, 2)


@pytest.mark.parametrize("big", [False, True])
def test_gaitgl(big: bool) -> None:
    model = small_model("gaitgl", seed=2, **({"channels": (2, 3, 4, 5)} if big else {})).double()

    def both(block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        count = 2 if big else 8
        rows = [x.shape[3] // count] * count
        local = bands(x, rows, [block.local_conv3d.conv3d] * count)
        return F.leaky_relu(block.global_conv3d.conv3d(x)), F.leaky_relu(local)

    def blocks(stage: str) -> list[Any]:
        stage_block = getattr(model, f"GLConv{stage}")
        return list(stage_block) if big else [stage_block]

    with torch.no_grad():
        x = clip()
        for conv in [*model.conv3d[::2], model.LTA[0]]:
            x = F.leaky_relu(conv.conv3d(x))
        for block in blocks("A0"):
            x = sum(both(block, x))
        x = F.max_pool3d(x, (1, 2, 2))
        *sums, joined = blocks("A1") + blocks("B2")
        for block in sums:
            x = sum(both(block, x))
        top = torch.cat(both(joined, x), 3).amax(2)
        expected = head([gem(row, model.HPP.p) for row in top.split(1, dim=2)], model)
        torch.testing.assert_close(embedding(model, clip()), expected)


@pytest.mark.parametrize("big", [False, True])
def test_hstl(big: bool) -> None:
    regions = ((10, 22), (16, 4, 12), (20, 12)) if big else ((40, 24), (8, 32, 16, 8))
    channels = {"channels": (2, 3, 4, 5)} if big else {}
    model = small_model("hstl", seed=2, regions=regions, **channels).double()

    def astp(name: str, x: Tensor, rows: Sequence[int]) -> list[Tensor]:
        module, top = getattr(model, name), x.amax(2)
        top = top if module.proj is None else module.proj.conv(top)
        return [gem(region, g.p) for region, g in zip(top.split(list(rows), 2), module.hpp, strict=True)]

    def choice(module: Any) -> nn.Module:
        class Choice(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                a, b = F.max_pool3d(x, (3, 1, 1), (3, 1, 1)), F.max_pool3d(x, (5, 1, 1), (3, 1, 1), (1, 0, 0))
                weights = torch.stack([fc((a + b).mean((3, 4))) for fc in module.fcs]).softmax(0)[..., None, None]
                return weights[0] * a + weights[1] * b

        return Choice()

    with torch.no_grad():
        x = clip(8)
        for conv in model.arme1[::2]:
            x = F.leaky_relu(conv.conv3d(x))
        parts = astp("astp1", x, [64])
        x = F.max_pool3d(x, (1, 2, 2)) if big else x
        for stage, rows in enumerate(regions, 2):
            for arme in getattr(model, f"arme{stage}"):
                x = F.leaky_relu(bands(x, rows, [conv.conv3d for conv in arme.conv3d]))
            parts += astp(f"astp{stage}", x, rows)
            if stage == 2:
                x = bands(x, rows, [choice(module) for module in model.fta.mma])
                parts += astp("astp2_fta", x, rows)
        parts += [gem(row, model.HPP.p) for row in x.amax(2).split(1, dim=2)]
        torch.testing.assert_close(embedding(model, clip(8)), head(parts, model))


@pytest.mark.parametrize("big", [False, True])
def test_gaitpart(big: bool) -> None:
    model = small_model("gaitpart", seed=2, **({"channels": (4, 4, 6, 8)} if big else {})).double()
    counts = (1, 1, 1, 1, 8, 8, 8, 8) if big else (1, 1, 4, 4, 8, 8)
    with torch.no_grad():
        x = clip()[0].transpose(0, 1)
        convs = [module.conv for module in model.Backbone.forward_block.feature if hasattr(module, "conv")]
        for i, (conv, count) in enumerate(zip(convs, counts, strict=True)):
            x = F.leaky_relu(bands(x, [x.shape[2] // count] * count, [conv] * count))
            x = F.max_pool2d(x, 2) if i in (1, 3) else x
        strips = torch.stack([strip.mean((2, 3)) + strip.amax((2, 3)) for strip in x.chunk(16, dim=2)])  # [P, s, C]
        expected = []
        for p, part in enumerate(strips.transpose(1, 2)):
            both = 0
            for size, networks in ((3, model.TFA.pooling_func.conv1d3x1), (5, model.TFA.pooling_func.conv1d3x3)):
                first, second = networks[p][0].conv, networks[p][2].conv
                gate = torch.sigmoid(second(F.leaky_relu(first(part))))
                pooled = F.avg_pool1d(part, size, 1, size // 2) + F.max_pool1d(part, size, 1, size // 2)
                both = both + gate * pooled
            expected.append(both.amax(1) @ model.Head.fc_bin[p])
        torch.testing.assert_close(embedding(model, clip())[0], torch.stack(expected))


@pytest.mark.parametrize("mode", ["2d", "p3d", "3d"])
def test_deepgaitv2(mode: str) -> None:
    model = small_model("deepgaitv2", seed=2, mode=mode).double()

    def each_frame(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
        y = x.transpose(1, 2)[0]
        for module in modules:
            y = module(y)
        return y[None].transpose(1, 2)

    def block(b: Any, x: Tensor) -> Tensor:
        if hasattr(b, "shortcut3d"):
            y = each_frame(b.conv1.forward_block, x).relu()
            y = each_frame(b.conv2.forward_block, (y + b.sbn(b.shortcut3d(y))).relu())
        elif isinstance(b.conv1, nn.Conv3d):
            y = b.bn2(b.conv2(b.bn1(b.conv1(x)).relu()))
        else:
            y = each_frame([b.conv1, b.bn1, nn.ReLU(), b.conv2, b.bn2], x)
        if b.downsample is None:
            return (y + x).relu()
        flat = isinstance(b.downsample[0], nn.Conv2d)
        return (y + (each_frame(b.downsample, x) if flat else b.downsample(x))).relu()

    with torch.no_grad():
        x = each_frame(model.layer0.forward_block, clip()).relu()
        assert len(model.layer0.forward_block) == 2
        for number in (1, 2, 3, 4):
            layer = getattr(model, f"layer{number}")
            for b in getattr(layer, "forward_block", layer):
                x = block(b, x)
        strips = x.amax(2)[0].chunk(16, dim=1)
        parts = [strip.mean((1, 2)) + strip.amax((1, 2)) for strip in strips]
        expected = torch.stack([part @ matrix for part, matrix in zip(parts, model.FCs.fc_bin, strict=True)])
        torch.testing.assert_close(embedding(model, clip())[0], expected)

"""HSTL (Wang et al., Hierarchical Spatio-Temporal Representation Learning for Gait Recognition, ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from torch import nn

from qgait.errors import QgaitError
from qgait.models.backbone import Backbone, Classes, Widths3or4
from qgait.models.blocks import BasicConv2d, BasicConv3d, GeM, SeparateFCs, by_regions, initialise
from qgait.models.layers import FRAME_SHAPE
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

Rows = Annotated[int, Meta(ge=0, le=FRAME_SHAPE[0])]  # 0: the height of a region is not known
Regions = Annotated[Sequence[Annotated[Sequence[Rows], Meta(max_length=FRAME_SHAPE[0])]], Meta(max_length=3)]

# heights of the row regions of arme2, arme3 (and arme4); those of OUMVLP are GREW's too
REGIONS = {
    "casia-b": ((40, 24), (8, 32, 16, 8)),
    "oumvlp": ((4, 24, 4), (4, 4, 12, 8, 4), (4, 4, 12, 4, 4, 4)),
    "gait3d": ((20, 12), (4, 16, 8, 4), (4, 4, 12, 8, 4)),
}


class HSTL(Backbone):
    """Convolutions over time with weights of their own for each region of rows; regions are pooled at every stage.

    Three ``channels``: CASIA-B's network without spatial pooling. Four: that of OUMVLP, GREW and Gait3D, which halves
    the maps once. ``regions`` are the heights of each stage's regions; they sum to the 64 or 32 rows there.
    """

    name = "hstl"
    variants = (
        {},
        {"channels": (32, 64, 128, 256), "regions": REGIONS["oumvlp"]},
        {"channels": (32, 64, 128, 256), "regions": REGIONS["gait3d"]},
    )
    min_frames = 3
    classifier = "Head1"

    def __init__(
        self,
        channels: Widths3or4 = (32, 64, 128),
        regions: Regions = REGIONS["casia-b"],
        classes: Classes | None = None,
    ) -> None:
        super().__init__()
        self.halved = len(channels) == 4
        self.height = FRAME_SHAPE[0] // (2 if self.halved else 1)
        self.regions = _checked(regions, len(channels) - 1, self.height)
        c, last = channels, channels[-1]
        first = (c[0], c[0]) if self.halved else (c[0],)
        self.arme1 = nn.Sequential()
        for inputs, outputs in zip((1, *first), first, strict=False):
            self.arme1.extend([BasicConv3d(inputs, outputs), nn.LeakyReLU()])
        self.astp1 = _ASTP(1, c[0], last, True)
        for stage, rows in enumerate(self.regions, 2):
            inputs, outputs, final = c[stage - 2], c[stage - 1], stage == len(channels)
            middle = inputs if stage == 2 and not self.halved else outputs
            setattr(self, f"arme{stage}", nn.Sequential(_ARME(rows, inputs, middle), _ARME(rows, middle, outputs)))
            setattr(self, f"astp{stage}", _ASTP(len(rows), outputs, last, not final))
        self.fta = _FTA(len(self.regions[0]), c[1])
        self.astp2_fta = _ASTP(len(self.regions[0]), c[1], last, True)
        self.HPP = GeM()
        parts = 1 + len(self.regions[0]) + sum(map(len, self.regions)) + self.height
        self.embedding_shape = (parts, last)
        self.Head0 = SeparateFCs(parts, last, last)
        self.Bn = nn.BatchNorm1d(last)
        initialise(self)
        if classes is not None:
            self.new_classifier(classes)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``. Heights are not in the weights: ``regions`` are the published ones that fit."""
        first = weights["arme1.0.conv3d.weight", 5][0]
        stages = (2, 3, 4) if "arme4.1.conv3d.0.conv3d.weight" in weights else (2, 3)
        rest = [weights[f"arme{stage}.1.conv3d.0.conv3d.weight", 5][0] for stage in stages]
        counts = [weights.count(f"arme{stage}.1.conv3d.{{}}.") for stage in stages]
        known = [regions for regions in REGIONS.values() if [len(rows) for rows in regions] == counts]
        return {"channels": (first, *rest), "regions": known[0] if known else [(0,) * count for count in counts]}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        x = frames
        for number, conv in enumerate(self.arme1[::2], 1):
            x = ops.conv3d(x, f"arme1_conv{number}", conv.conv3d, activation="leaky_relu")
        parts = [self.astp1.run(ops, ops.frame_max(x, "astp1_max"), "astp1", (FRAME_SHAPE[0],))]
        if self.halved:
            x = ops.max_pool(x, "arme1_pool", 2)
        for stage, rows in enumerate(self.regions, 2):
            arms = getattr(self, f"arme{stage}")

            def convolutions(i: int, region: T, name: str, pair: nn.Sequential = arms) -> T:
                for number, arme in enumerate(pair, 1):
                    region = ops.conv3d(region, f"{name}_conv{number}", arme.conv3d[i].conv3d, activation="leaky_relu")
                return region

            x = by_regions(ops, x, f"arme{stage}", rows, convolutions)
            top = ops.frame_max(x, f"astp{stage}_max")
            parts.append(getattr(self, f"astp{stage}").run(ops, top, f"astp{stage}", rows))
            if stage == 2:
                x = by_regions(ops, x, "fta", rows, lambda i, region, name: self.fta.mma[i].run(ops, region, name))
                parts.append(self.astp2_fta.run(ops, ops.frame_max(x, "astp2_fta_max"), "astp2_fta", rows))
        parts.append(ops.gem_pool(top, "strips", (1,) * self.height, (self.HPP.p,)))
        return ops.part_linear(ops.concat(parts, "parts"), "embedding", self.Head0.fc_bin, norm=self.Bn)


class _ARME(nn.Module):
    """A convolution over time for each region; regions do not see each other, not in the next one either."""

    def __init__(self, rows: Sequence[int], inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3d = nn.ModuleList(BasicConv3d(inputs, outputs) for _ in rows)


class _ASTP(nn.Module):
    """One generalized mean a region of the maximum over time, to ``outputs`` channels by a 1 x 1 convolution."""

    def __init__(self, regions: int, inputs: int, outputs: int, project: bool) -> None:
        super().__init__()
        self.hpp = nn.ModuleList(GeM() for _ in range(regions))
        self.proj = BasicConv2d(inputs, outputs, 1) if project else None

    def run(self, ops: Operators[T], top: T, name: str, rows: Sequence[int]) -> T:
        if self.proj is not None:
            top = ops.conv(top, f"{name}_proj", self.proj.conv)
        return ops.gem_pool(top, name, rows, [gem.p for gem in self.hpp])


class _FTA(nn.Module):
    """A choice of pooling over time for each region."""

    def __init__(self, regions: int, channels: int) -> None:
        super().__init__()
        self.mma = nn.ModuleList(_Selection(channels) for _ in range(regions))


class _Selection(nn.Module):
    """Maxima over 3 and over 5 frames, weighted by a softmax of ``fcs``; that of two is a sigmoid of the difference."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fcs = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(2))

    def run(self, ops: Operators[T], x: T, name: str) -> T:
        short = ops.window_max(x, f"{name}_max3", 3, 3)
        long = ops.window_max(x, f"{name}_max5", 5, 3, 1)
        mean = ops.strip_pool(ops.add(short, long, f"{name}_sum"), f"{name}_mean", (1,), "mean")
        weight = (self.fcs[0].weight - self.fcs[1].weight).permute(2, 1, 0)
        bias = (self.fcs[0].bias - self.fcs[1].bias)[None]
        first = ops.part_linear(mean, f"{name}_weight3", weight, bias, activation="sigmoid")
        second = ops.part_linear(mean, f"{name}_weight5", -weight, -bias, activation="sigmoid")
        return ops.add(ops.multiply(short, first, f"{name}_part3"), ops.multiply(long, second, f"{name}_part5"), name)


def _checked(regions: Sequence[Sequence[int]], stages: int, height: int) -> tuple[tuple[int, ...], ...]:
    lists = tuple(tuple(rows) for rows in regions)
    if len(lists) != stages:
        raise QgaitError(
            f"{len(lists)} region lists are given for {stages} stages.", "give one a stage, from arme2 on."
        )
    for stage, rows in enumerate(lists, 2):
        if not any(rows):
            problem = (
                f"Of the {len(rows)} regions of arme{stage} no heights are known: no published network has as many."
            )
            raise QgaitError(problem, f"give 'regions': a list a stage, each of which sums to {height}.")
        if sum(rows) != height or min(rows, default=0) < 1:
            problem = f"The regions {list(rows)} of arme{stage} sum to {sum(rows)} rows; its maps have {height}."
            raise QgaitError(problem, f"give positive heights that sum to {height}.")
    return lists

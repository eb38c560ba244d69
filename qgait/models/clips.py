"""Clips as tensors over time: whole ones, several of different lengths in one tensor, and one that comes in pieces.

Values of frames are [n, s, ...]. Clips of several lengths come one after the other, [1, sum(lengths), ...].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.models.series import repeated


@dataclass(frozen=True)
class Window:
    """Value j of a window looks at ``size`` values from ``j * stride - padding`` on; see ``qgait.export.graph``."""

    size: int
    stride: int = 1
    padding: int = 0

    def cut(self, padded: Tensor) -> Tensor:
        """[n, L, ...] with its padding on -> the windows [n, L', ..., size]; none where L is less than ``size``."""
        if padded.shape[1] < self.size:
            return padded.new_empty((padded.shape[0], 0, *padded.shape[2:], self.size))
        return padded.unfold(1, self.size, self.stride)


class Time(Protocol):
    """What operators ask that look at more than one frame. ``name`` is the layer's."""

    def frames(self, x: Tensor) -> Tensor:
        """Says that ``x`` are values of frames, where that is not known otherwise."""

    def padded(self, name: str, x: Tensor, window: Window, missing: float = 0.0) -> list[Tensor]:
        """Each clip's values with the missing ones before and after them, ready for ``window.cut``."""

    def joined(self, name: str, xs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The inputs of a layer, value by value at the same place of the clip."""

    def maximum(self, name: str, x: Tensor, of_clip: Callable[[Tensor], Tensor]) -> Tensor:
        """Set pooling [n, s, ...] -> [clips, ...]; ``of_clip``, the maximum over axis 1, says whose the gradient is."""


class WholeClips:
    """Clips that are all there, of one length or of several ``lengths``."""

    def __init__(self, lengths: Sequence[int] | None = None) -> None:
        self._lengths: dict[int, list[int]] | None = None  # by their sum: windows with a stride make shorter clips
        if lengths is not None:
            self._lengths = {sum(lengths): list(lengths)}

    def frames(self, x: Tensor) -> Tensor:
        """See ``Time.frames``."""
        return x

    def padded(self, name: str, x: Tensor, window: Window, missing: float = 0.0) -> list[Tensor]:
        """See ``Time.padded``."""
        clips = [_pad(clip, window.padding, window.padding, missing) for clip in self._clips(x)]
        lengths = [(clip.shape[1] - window.size) // window.stride + 1 for clip in clips]
        if min(lengths) < 1:
            raise ValueError(f"{name} needs longer clips")
        if self._lengths is not None and self._lengths.setdefault(sum(lengths), lengths) != lengths:
            raise ValueError(f"{name}: clips of {lengths} values cannot be told from others")
        return clips

    def joined(self, name: str, xs: Sequence[Tensor]) -> Sequence[Tensor]:
        """See ``Time.joined``."""
        return xs

    def maximum(self, name: str, x: Tensor, of_clip: Callable[[Tensor], Tensor]) -> Tensor:
        """See ``Time.maximum``."""
        return torch.cat([of_clip(clip) for clip in self._clips(x)])

    def _clips(self, x: Tensor) -> Sequence[Tensor]:
        if self._lengths is None:
            return (x,)
        lengths = self._lengths.get(x.shape[1], next(iter(self._lengths.values())))
        return part_clips(x, lengths)


class OfFrames(Tensor):
    """Marks values of frames, and what torch computes of them, apart from values of the clip."""


class Pieces:
    """A clip that comes piece by piece; ``last`` says that no further piece follows.

    A window keeps what the next piece's values need of this one, and gives only values that are complete: there may be
    none. A join keeps what only some of its inputs have yet. Maxima go on from the earlier pieces. The first value of
    every piece goes through ``frames``; what is no ``OfFrames`` belongs to the clip, and is joined as it is.
    """

    def __init__(self) -> None:
        self.last = False
        self._kept: dict[str, Sequence[Tensor]] = {}
        self._maxima: dict[str, Tensor] = {}

    def frames(self, x: Tensor) -> Tensor:
        """The piece's frames [1, s, ...], marked; see ``Time.frames``."""
        return x.as_subclass(OfFrames)

    def padded(self, name: str, x: Tensor, window: Window, missing: float = 0.0) -> list[Tensor]:
        """See ``Time.padded``."""
        first = name not in self._kept
        if not first:
            x = torch.cat([self._kept[name][0], x], dim=1)
        x = _pad(x, window.padding if first else 0, window.padding if self.last else 0, missing)
        count = max((x.shape[1] - window.size) // window.stride + 1, 0)
        self._kept[name] = (x[:, count * window.stride :],)
        return [x[:, : (count - 1) * window.stride + window.size if count else 0]]

    def joined(self, name: str, xs: Sequence[Tensor]) -> Sequence[Tensor]:
        """See ``Time.joined``."""
        if not isinstance(xs[0], OfFrames):
            return xs
        kept = self._kept.get(name, [x[:, :0] for x in xs])
        xs = [torch.cat([old, x], dim=1) for old, x in zip(kept, xs, strict=True)]
        count = min(x.shape[1] for x in xs)
        self._kept[name] = [x[:, count:] for x in xs]
        return [x[:, :count] for x in xs]

    def maximum(self, name: str, x: Tensor, of_clip: Callable[[Tensor], Tensor]) -> Tensor:
        """The maximum of this piece and all earlier ones; zeros while no value is there."""
        if x.shape[1]:
            here = of_clip(x)
            self._maxima[name] = torch.maximum(self._maxima[name], here) if name in self._maxima else here
        value = self._maxima[name] if name in self._maxima else x.new_zeros(x.shape[:1] + x.shape[2:])
        return value.as_subclass(Tensor)


def part_clips(x: Tensor, lengths: Sequence[int] | None) -> Sequence[Tensor]:
    """The clips in [1, sum(lengths), ...], each [1, length, ...]; without ``lengths`` all of ``x`` as it is."""
    if lengths is None:
        return (x,)
    if x.shape[0] != 1 or x.shape[1] != sum(lengths) or min(lengths, default=0) < 1:
        raise ValueError(f"clips of {list(lengths)} frames cannot be parted in a tensor of shape {tuple(x.shape)}")
    return x.split(list(lengths), dim=1)


def repeat_short(
    frames: Tensor, min_frames: int, lengths: Sequence[int] | None = None
) -> tuple[Tensor, Sequence[int] | None]:
    """(frames, lengths) with clips of fewer than ``min_frames`` repeated end to end."""
    clips = part_clips(frames, lengths)
    if all(clip.shape[1] >= min_frames for clip in clips):
        return frames, lengths
    whole = [torch.cat([clip] * (repeated(clip.shape[1], min_frames) // clip.shape[1]), dim=1) for clip in clips]
    return torch.cat(whole, dim=1), None if lengths is None else [clip.shape[1] for clip in whole]


def _pad(x: Tensor, before: int, after: int, value: float) -> Tensor:
    return F.pad(x, [0, 0] * (x.ndim - 2) + [before, after], value=value) if before or after else x

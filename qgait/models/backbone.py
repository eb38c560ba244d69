"""What every backbone is: a topology written in operators, and a classifier for training where it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import nn

from qgait.errors import QgaitError
from qgait.models.blocks import SeparateBNNecks, SeparateFCs, initialise
from qgait.models.clips import repeat_short
from qgait.models.float_ops import FloatOps
from qgait.models.layers import INPUT, Layer
from qgait.models.operators import Operators, T
from qgait.models.recorder import Recorder
from qgait.models.weight_shapes import WeightShapes

# what constructors take: ``build`` checks it, so that no file and no typing error asks for a network without end
Width = Annotated[int, Meta(ge=1, le=4_096)]
Widths3 = Annotated[Sequence[Width], Meta(min_length=3, max_length=3)]
Widths4 = Annotated[Sequence[Width], Meta(min_length=4, max_length=4)]
Widths3or4 = Annotated[Sequence[Width], Meta(min_length=3, max_length=4)]
Classes = Annotated[int, Meta(ge=1, le=10_000_000)]

CLASSIFIERS = {"BNNecks": SeparateBNNecks, "Head1": SeparateFCs}


class Backbone(nn.Module):
    """A network from silhouettes to part embeddings; children define ``run`` and OpenGait's parameter names."""

    name: str
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)  # the published networks, as arguments of the constructor
    min_frames = 1  # shorter clips are repeated end to end
    classifier: str | None = None  # the child that gives the logits of training: BNNecks or Head1
    provenance: Mapping[str, str] = MappingProxyType({})  # where its weights are from, if checkpoint.load read them
    embedding_shape: tuple[int, int]  # shape of an embedding (P, C), where there is a classifier

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """The constructor's arguments that give weights of these names and shapes, the classifier's apart."""
        raise NotImplementedError

    def run(self, ops: Operators[T], frames: T) -> T:
        """The topology, from frames [n, s, 1, 64, 44] to parts [n, P, C]."""
        raise NotImplementedError

    def forward(self, frames: torch.Tensor, lengths: Sequence[int] | None = None) -> torch.Tensor:
        """Float frames [n, s, 64, 44] in [0, 1] -> embeddings [n, P, C].

        n clips of several ``lengths`` come one after the other: frames [1, sum(lengths), 64, 44].
        """
        frames, lengths = repeat_short(frames, self.min_frames, lengths)
        return self.run(FloatOps(lengths), frames.unsqueeze(2))

    def head(self) -> nn.Module | None:
        """The classifier, embeddings [n, P, C] -> logits [n, classes, P]; None without."""
        return None if self.classifier is None else getattr(self, self.classifier, None)

    def new_classifier(self, classes: int) -> None:
        """A fresh classifier for ``classes`` people, which training needs and inference does not."""
        if self.classifier is None:
            raise QgaitError(f"{self.name} has no classifier.", "train it with the triplet loss alone.")
        head = CLASSIFIERS[self.classifier](*self.embedding_shape, classes)
        initialise(head)
        setattr(self, self.classifier, head)

    def training_outputs(
        self, frames: torch.Tensor, lengths: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(embeddings [n, P, C] for the triplet loss, logits [n, classes, P] or None without a classifier)."""
        embeddings, head = self(frames, lengths), self.head()
        return embeddings, None if head is None else head(embeddings)


def describe(model: Backbone) -> list[Layer]:
    """The layers of ``model`` in execution order, batch norms folded with their running statistics.

    The input is called ``silhouette``; the embedding is the last layer's output.
    """
    recorder = Recorder()
    model.run(recorder, INPUT)
    return recorder.layers

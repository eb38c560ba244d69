"""The good files that fuzzing begins with: one small network in all its forms, walks, pictures, settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from small_networks import backbone, clips, network

from qgait.compiler.bundle import write as write_bundle
from qgait.data.walkers.dataset import synthesize
from qgait.export.folding import fold
from qgait.export.onnx.writer import write
from qgait.models import checkpoint
from qgait.quantizers import model_file
from qgait.targets.processors import find


@dataclass(frozen=True)
class Material:
    """Files in ``folder``, by what they are; none of them is ever given to a command itself, only copies."""

    folder: Path

    @property
    def model(self) -> Path:
        """A quantized network."""
        return self.folder / "model.safetensors"

    @property
    def onnx(self) -> Path:
        """Its graph."""
        return self.folder / "model.onnx"

    @property
    def bundle(self) -> Path:
        """Its code for this machine."""
        return self.folder / "bundle"

    @property
    def checkpoint(self) -> Path:
        """A float network with every kind of layer, batch norm included."""
        return self.folder / "float.pt"

    @property
    def walks(self) -> Path:
        """Two walks of one person, as a data set."""
        return self.folder / "walks"

    @property
    def clip(self) -> Path:
        """Three silhouettes."""
        return self.folder / "clip.npy"

    @property
    def pictures(self) -> Path:
        """Three pictures of one walk."""
        return self.folder / "pictures"

    @property
    def partition(self) -> Path:
        """Who is trained on and who is tested."""
        return self.folder / "partition.json"

    @property
    def settings(self) -> Path:
        """A configuration of a training."""
        return self.folder / "settings.yaml"


SETTINGS = """\
model:
  name: gaitset
  channels: [8, 12, 16]
  embedding: 20
iterations: 2
batch:
  people: 2
  clips: 2
  sampling: {count: fixed, order: unordered, frames: 4}
  augmentations: {flip: 0.5, rotate: 0}
losses:
  triplet: {weight: 1, margin: 0.2}
optimizer:
  kind: sgd
  learning_rate: 0.1
schedule:
  kind: milestones
  milestones: [10_000, 20_000]
  factor: 0.1
"""


def make(folder: Path) -> Material:
    """Everything, in seconds."""
    made = Material(folder)
    torch.set_num_threads(1)
    net = network("gaitsimple")
    model_file.save(net, made.model)
    graph = fold(net)
    write(graph, made.onnx)
    walks = clips(2, 6)
    write_bundle(graph, find("host"), made.bundle, [walks[0], walks[1][:3]])
    checkpoint.save(backbone("gaitbase"), made.checkpoint)
    synthesize(made.walks, 1, 0, 4, conditions=("nm-01", "nm-02"), views=(90,))
    np.save(made.clip, walks[0][:3])
    made.pictures.mkdir()
    for number, frame in enumerate(walks[0][:3]):
        cv2.imwrite(str(made.pictures / f"{number}.png"), frame)
    made.partition.write_text(json.dumps({"TRAIN_SET": ["000"], "TEST_SET": []}))
    made.settings.write_text(SETTINGS)
    return made

"""An endless series of quantized networks, each determined by its number: backbones, widths and bit widths in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hard_clips import Clip, walkers
from random_networks import FORMS, has_wide_embedding, published_backbone, random_backbone

from qgait.calibration.calibrate import calibrate
from qgait.calibration.observers import METHODS
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.models import shipped
from qgait.models.backbone import Backbone, describe
from qgait.quantizers.grid import FirstLast, Recipe
from qgait.quantizers.network_file import load
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.reading import file_sha256

BITS = ("w8a8", "w4a4", "w3a3", "w2a2")
LARGEST_FILE = 1 << 32  # bytes
PUBLISHED = 4  # networks of published widths in a round: one of each bit width


@dataclass(frozen=True)
class Member:
    """A place in a round. ``weights``: "random", "published widths", or the name of a file with trained ones."""

    backbone: str
    weights: str
    bits: str
    variant: dict[str, Any]
    trained: Backbone | SimulatedNetwork | None = None


class NetworkSeries:
    """Round after round of all forms and of trained networks, in an order that the seed tells.

    Forms with an embedding of any width come at every bit width; the others, which take far longer for a code, at one a
    round. ``checkpoints`` are float networks, which are quantized at every bit width, or quantized ones.
    """

    def __init__(self, seed: int, checkpoints: Sequence[Path]) -> None:
        self._seed, self._walks = seed, walkers()
        self._trained: list[Member] = []
        for path in (shipped.path(), *checkpoints):
            network = load(path)
            if isinstance(network, SimulatedNetwork):
                self._trained.append(Member(network.model, path.name, str(network.recipe), {}, network))
            else:
                self._trained += [Member(network.name, path.name, bits, {}, network) for bits in BITS]

    def member(self, number: int) -> Member:
        """What network ``number`` is."""
        size = len(self._round(0))
        turn, place = divmod(number, size)
        return self._round(turn)[int(np.random.default_rng([self._seed, turn]).permutation(size)[place])]

    def _round(self, turn: int) -> list[Member]:
        members = []
        for i, (name, variant) in enumerate(FORMS):
            every = BITS if has_wide_embedding(name) else (BITS[(turn + i) % len(BITS)],)
            members += [Member(name, "random", bits, variant) for bits in every]
        for i, bits in enumerate(BITS):
            name, variant = FORMS[(PUBLISHED * turn + i) % len(FORMS)]
            members.append(Member(name, "random, published widths", bits, variant))
        return members + self._trained

    def graph(self, number: int) -> Graph:
        """The integer graph of network ``number``, the same at every call; QgaitError when it cannot be made."""
        member, seed = self.member(number), [self._seed, number]
        network = member.trained
        if not isinstance(network, SimulatedNetwork):
            make = random_backbone if member.weights == "random" else published_backbone
            model = network or make(member.backbone, member.variant, seed)
            network = self._quantized(model, member, np.random.default_rng([*seed, 1]))
        graph = fold(network)
        check_graph(graph)
        return graph

    def _quantized(self, model: Backbone, member: Member, rng: np.random.Generator) -> SimulatedNetwork:
        first_last: FirstLast = "same" if member.bits != "w8a8" and rng.random() < 0.25 else "8"
        recipe = replace(Recipe.parse(member.bits), first_last=first_last)
        method = "mse" if member.weights != "random" else str(rng.choice(list(METHODS)))
        return calibrate(model.name, describe(model), self._clips_for_ranges(rng), recipe, method)[0]

    def _clips_for_ranges(self, rng: np.random.Generator) -> list[Clip]:
        """Two walkers; ranges that fit people are exceeded by noise and extremes."""
        return [self._walks[i] for i in rng.choice(len(self._walks), 2, replace=False)]


def digest(file: Path) -> str:
    """The sha256 of a file."""
    return file_sha256(file, LARGEST_FILE, "name a file with a network.")

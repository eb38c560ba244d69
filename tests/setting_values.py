"""Values that settings can be given by mistake or in malice: for every key, from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from qgait.field_bounds import hints_of
from qgait.models.registry import BACKBONES
from qgait.training.configuration import Data
from qgait.training.settings import QuantizedSettings, Settings
from qgait.training.typed_settings import dotted


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _mappings(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


ODD: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 8, 1000, 10**5, 2**31, 2**63 - 1, 2**63, 2**64, 10**40, -(10**40), 10**400, 10**5000),
    *(0.0, -0.0, 0.5, 1.0, -0.5, 1e-308, 5e-324, 1e5, 1e15, 1e16, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *(None, True, False, "", " ", "x", "1", "1,2", "1,1,1", ",", "a\0b", "\ud800", "[", "[red]", "x" * 10_000, "é"),
    *("off", "cpu", "w2a2", "w9a9", "w4a4", "same", "8", "adam", "cosine", "soft", "all", "float16", "2d"),
    *([], {}, [[]], [1], [1, 2], [0.05, 0.2], [2, 1], [-1, -1], [1, 2, 3], [8, 8, 8, 8], [1] * 2000, ["a"] * 3),
    *(_nested(18), _nested(500), _mappings(18), _mappings(500), {"a": 1}, {1: 2}, {None: {}}, b"x", (1, 2), 1j),
)


def keys() -> list[str]:
    """Every key of a configuration, dotted, the arguments of every backbone included."""
    own = {key: hint for key, hint in hints_of(QuantizedSettings).items()}
    shared = {"data": Data, **hints_of(Settings), "quantized": own, "init": str, "bits": str, "device": str}
    arguments = {key: hint for kind in BACKBONES.values() for key, hint in hints_of(kind).items()}
    found = [key for top, hint in {"model": {"name": str, **arguments}, **shared}.items() for key in dotted(top, hint)]
    prefixes = {key.rsplit(".", cut)[0] for key in found for cut in range(1, key.count(".") + 1)}
    return sorted({*found, *prefixes})


def nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b`` and a value as ``{"a": {"b": value}}``."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def changes(seed: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """``count`` times (the name of a backbone, one to three wrong or right settings in one mapping)."""
    rng, known = random.Random(seed), keys()
    for _ in range(count):
        whole: dict[str, Any] = {}
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _merge(whole, nested(rng.choice(known), rng.choice(ODD)))
        yield rng.choice(sorted(BACKBONES)), whole


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(into.get(key), dict) and isinstance(value, dict):
            _merge(into[key], value)
        else:
            into[key] = value

"""How many codes were compared, in a JSON file: a comparison of hours can be stopped and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.reading import read_text
from qgait.targets.processors import host
from qgait.version import __version__

FORMAT = "qgait-code-counts"
MOST_BYTES = 1 << 26
PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "apache-tvm", "ziglang")


class CodeCounts:
    """One row a network, written after each; ``first`` is the number of the first network of a new count.

    ``settings`` decide which networks and clips there are. A file with others, or of other versions, is refused: what
    it counted is not what would be counted now.
    """

    def __init__(self, path: Path, settings: dict[str, Any], first: int) -> None:
        self._path = path
        made_of = {"settings": settings, "versions": _versions()}
        if path.exists():
            self.facts = self._read()
            for what, wanted in made_of.items():
                if self.facts[what] != wanted:
                    raise QgaitError(
                        f"{path} was counted with other {what}: {_differences(self.facts[what], wanted)}.",
                        "name another file with --state, or use the same ones.",
                    )
        else:
            self.facts = {"format": FORMAT, **made_of, "started": now(), "seconds": 0, "next": first, "networks": []}

    def _read(self) -> dict[str, Any]:
        fix = "name another file with --state, or delete it to begin again."
        try:
            facts = json.loads(read_text(self._path, MOST_BYTES, fix))
        except ValueError as error:
            raise QgaitError(f"{self._path} is not JSON.", fix) from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise QgaitError(f"{self._path} holds no counted codes.", fix)
        return facts

    @property
    def next(self) -> int:
        """The number of the network that comes next."""
        return int(self.facts["next"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was counted of every network."""
        return list(self.facts["networks"])

    def total(self, runtime: str) -> int:
        """Codes that were compared with those of the compiled library."""
        return sum(row["codes"].get(runtime, 0) for row in self.rows)

    def passed(self, row: dict[str, Any], seconds: float) -> None:
        """Adds a network without differences."""
        self.facts.pop("difference", None)
        self.facts["networks"].append(row)
        self.facts["next"] += 1
        self._write(seconds)

    def differs(self, difference: dict[str, Any], seconds: float) -> None:
        """Keeps what is needed to see a difference again; the count stays at its network."""
        self.facts["difference"] = difference
        self._write(seconds)

    def _write(self, seconds: float) -> None:
        self.facts["seconds"] = round(self.facts["seconds"] + seconds, 1)
        self.facts["updated"] = now()
        replace_file(self._path, (json.dumps(self.facts, indent=1) + "\n").encode())

    def summary(self, key: str) -> tuple[list[str], list[list[object]]]:
        """Columns and rows of a table: networks with the same ``key`` together, and all of them at the end."""
        runtimes = list(dict.fromkeys(name for row in self.rows for name in row["codes"]))
        columns = [key, "networks", "clips", *runtimes, "different codes", "commonest code"]
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(row[key], []).append(row)
        return columns, [_line(name, rows, runtimes) for name, rows in [*sorted(groups.items()), ("all", self.rows)]]


def _line(name: str, rows: list[dict[str, Any]], runtimes: Iterable[str]) -> list[object]:
    counted = [row for row in rows if "refused" not in row]
    codes = [f"{sum(row['codes'].get(runtime, 0) for row in rows):,}" for runtime in runtimes]
    distinct = [row["distinct"] for row in counted]
    spread = f"{min(distinct)} to {max(distinct)}, median {int(np.median(distinct))}" if distinct else "-"
    most = f"{max(row['commonest'] for row in counted):.0%} at most" if counted else "-"
    refused = f" ({len(rows) - len(counted)} refused)" if len(counted) < len(rows) else ""
    clips = f"{sum(row['clips'] for row in counted):,}"
    return [name, f"{len(counted)}{refused}", clips, *codes, spread, most]


def now() -> str:
    """The date and time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {"qgait": __version__, "host": host().description} | {package: version(package) for package in PACKAGES}


def _differences(before: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = [key for key in {**before, **wanted} if before.get(key) != wanted.get(key)]
    return ", ".join(f"{key} was {before.get(key)} and is {wanted.get(key)}" for key in keys[:2])[:200]

"""A table of results that grows in a JSON file, so that a long comparison can be stopped and repeated."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from qgait.files import replace_file


class Table:
    """Rows of results; the fields ``keys`` say what a row is of. What the file holds already is printed first."""

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self._path, self._keys = path, keys
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        self._since = time.monotonic()
        for row in self.rows:
            _show(row)

    def has(self, *key: object) -> bool:
        """Whether there is a row of ``key``."""
        return any(tuple(row[name] for name in self._keys) == key for row in self.rows)

    def add(self, key: tuple[object, ...], result: dict[str, Any]) -> None:
        """Prints and stores a row, with the seconds since the last one."""
        now = time.monotonic()
        row = dict(zip(self._keys, key, strict=True)) | result | {"seconds": round(now - self._since)}
        self._since = now
        self.rows.append(row)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, json.dumps(self.rows, indent=1).encode())
        _show(row)


def _show(row: dict[str, Any]) -> None:
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)

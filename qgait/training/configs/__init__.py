"""The published training configurations, one YAML file each; its first comment says what it is."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """All of them, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def file_of(name: str) -> Path:
    """The file of one of the ``names``."""
    return _FOLDER / f"{name}.yaml"


def summary(name: str) -> str:
    """What the comment at the top of its file says."""
    lines = file_of(name).read_text(encoding="utf-8").splitlines()
    comment = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.removeprefix("#").strip() for line in comment)

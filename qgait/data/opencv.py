"""OpenCV, which only reading pictures and augmenting need."""

from __future__ import annotations

from typing import Any

from qgait.errors import QgaitError


def opencv(purpose: str, extra: str) -> Any:
    """The module ``cv2``; where it is missing, :class:`QgaitError` says what for and which ``extra`` brings it."""
    try:
        import cv2
    except ImportError as error:
        raise QgaitError(f"{purpose} needs OpenCV, which is not installed.", f"pip install 'qgait[{extra}]'") from error
    return cv2

"""The package tosa-tools: the schema of TOSA files and the reference model that executes them."""

from __future__ import annotations

from importlib import metadata

from qgait.errors import QgaitError

VERSION = "2026.8.0"
INSTALL = f"install qgait[npu], which brings tosa-tools {VERSION}."


def require() -> None:
    """Raises QgaitError when tosa-tools is missing or has another version than ``VERSION``."""
    try:
        found = metadata.version("tosa-tools")
    except metadata.PackageNotFoundError as error:
        raise QgaitError("TOSA graphs need tosa-tools, which is not installed.", INSTALL) from error
    if found != VERSION:
        raise QgaitError(f"TOSA graphs need tosa-tools {VERSION}, and {found} is installed.", INSTALL)

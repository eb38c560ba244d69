"""Writing a file in one move: a reader never sees half of it, and a failure leaves what was there."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to a temporary name beside ``path`` and moves it there; OSError leaves nothing behind.

    The temporary name begins with a dot and holds the process id: data sets overlook it, and two processes do not meet.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""A bundle as a runtime, whether or not it was compiled with the means to name a layer."""

from __future__ import annotations

from collections.abc import Sequence

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled
from qgait.verification.parity import Clip, Codes


class BundleRuntime:
    """``name`` is what tables call it. QgaitError and ParityError as `Compiled`."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        self.name = name
        self._compiled = Compiled(bundle)
        self.dequantizer = self._compiled.dequantizer

    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]:
        """See ``Runtime``."""
        return self._compiled.embed_many(clips)

    def trace(self, clip: Clip) -> dict[str, Codes]:
        """See ``Runtime``; nothing without the bundle's tracer."""
        try:
            return self._compiled.trace(clip)
        except QgaitError:
            return {}

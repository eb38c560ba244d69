"""A bundle together with what runs it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Clip, Codes, Compiled, Stream


class RunnableBundle(Bundle):
    """An opened bundle that embeds. Its self-test runs before it is first used.

    QgaitError when this machine can neither run nor emulate the target, ParityError when the self-test fails.
    """

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self)

    def embed(self, clip: Clip) -> Codes:
        """Codes int8 [parts, channels] of a clip uint8 [frames, H, W]."""
        return self._compiled.embed(clip)

    def embed_many(self, clips: Iterable[Clip]) -> list[Codes]:
        """The codes of every clip; in an emulator they all go through one process."""
        return self._compiled.embed_many(clips)

    def stream(self) -> Stream:
        """Takes one walker's frames one at a time, in this process and constant memory; not in an emulator."""
        return Stream(self)

"""When the values of a tensor exist: how many a clip makes, and how many frames after its own frame each is known."""

from __future__ import annotations

from collections.abc import Sequence

from qgait.export.operators import Op
from qgait.models.series import Series, repeated

__all__ = ["Series", "repeated", "series_of"]


def series_of(silhouette: str, ops: Sequence[Op]) -> dict[str, Series]:
    """The series of every tensor of a frame that ``ops`` make of the input; ``Graph.series`` keeps it.

    Raises ValueError, naming the operator, where tensors of different lengths are joined.
    """
    found = {silhouette: Series()}
    for op in ops:
        if op.ends_frames or not all(name in found for name in op.inputs):
            continue
        sources = [found[name] for name in op.inputs]
        if len({(source.stride, source.extra) for source in sources}) > 1:
            raise ValueError(f"{op.name} joins series of different lengths")
        joined = Series(sources[0].stride, sources[0].extra, max(source.delay for source in sources))
        found[op.output] = joined if op.window is None else joined.behind(*op.window)
    return found

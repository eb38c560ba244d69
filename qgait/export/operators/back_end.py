"""Where a back end says what it does with each operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from qgait.errors import QgaitError
from qgait.export.operators.operator import Op

F = TypeVar("F")


@dataclass(frozen=True)
class BackEnd(Generic[F]):
    """One function for every class of ``qgait.export.operators.OPERATORS``, or a reason why there is none.

    All functions of a back end take the same arguments, its own. A reason is a clause: "it has no 64-bit integers".
    """

    name: str
    functions: Mapping[type[Op], F | str]

    def __getitem__(self, op: Op) -> F:
        """The function for ``op``; QgaitError, with the layer's name and the reason, where it is refused."""
        return self.of(type(op), op.name)

    def of(self, kind: type[Op], layer: str) -> F:
        """The function for the operator ``kind`` that makes ``layer``; QgaitError where it is refused."""
        found = self.functions.get(kind, "nobody has written it")
        if isinstance(found, str):
            raise QgaitError(
                f"{layer} is a {kind.__name__}, which {self.name} cannot run: {found}.",
                "choose another runtime or target.",
            )
        return found

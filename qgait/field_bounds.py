"""Types with bounds for the fields of settings, and the check of values against such types, which is msgspec's.

Bounds keep numbers from ending in hours of silence, in memory that no machine has or in an overflow deep inside.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from qgait.errors import QgaitError
from qgait.schema_words import wanted
from qgait.shown import shown

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(ge=0, le=1_000_000)]  # what something is multiplied by; 0 switches it off
Above0 = Annotated[float, Meta(ge=1e-6, le=1_000_000)]  # what is divided by, or what stretches
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        pattern=r"\A[^\x00\ud800-\udfff]*\Z",
        description="UTF-8 text, neither empty nor with NUL",
    ),
]


def converted(value: object, hint: Any) -> Any:
    """``value`` as ``hint`` has it, its own type or a list for a tuple; msgspec.ValidationError for anything else."""
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("Number out of range")
    try:
        return msgspec.convert(value, hint)
    except (UnicodeError, RecursionError):  # half of a character that takes two, lists in lists without end
        raise msgspec.ValidationError("Neither text nor plain data") from None


class Bounded:
    """A frozen dataclass whose fields are of their type hints and within their bounds: QgaitError for any other."""

    def __post_init__(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name, hint in hints_of(type(self)).items():
            value, default = getattr(self, name), defaults[name]
            if dataclasses.is_dataclass(value):
                continue  # it has checked itself
            try:
                converted(value, hint)
            except msgspec.ValidationError:
                problem = f"{type(self).__name__}.{name} is {shown(value)}, but has to be {wanted(hint)}."
                known = default not in (None, dataclasses.MISSING)
                raise QgaitError(problem, f"take for example {shown(default)}." if known else "leave it out.") from None


def hints_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """Type hints of a constructor's parameters by name, with their bounds."""
    hints = get_type_hints(kind if dataclasses.is_dataclass(kind) else kind.__init__, include_extras=True)
    return {name: hints[name] for name in inspect.signature(kind).parameters}

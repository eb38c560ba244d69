"""msgspec's types in our words: what a type with its bounds asks for."""

from __future__ import annotations

import math
from typing import Any

from msgspec import inspect as types

from qgait.shown import TYPES

_SEVERAL = {"a whole number": "whole numbers", "a number": "numbers", "text": "texts"}


def wanted(hint: Any) -> str:
    """What a type with its bounds asks for: "a whole number from 1 to 8", "a list of 2 numbers", "text or null".

    A type whose ``Meta`` has a description is described by it.
    """
    return _said(types.type_info(hint))


def _said(kind: types.Type) -> str:
    match kind:
        case types.Metadata():
            return (kind.extra_json_schema or {}).get("description") or _said(kind.type)
        case types.IntType() | types.FloatType():
            return TYPES["int" if isinstance(kind, types.IntType) else "float"] + _bounds(kind)
        case types.StrType():
            return "text"
        case types.BoolType():
            return TYPES["bool"]
        case types.NoneType():
            return "null"
        case types.LiteralType():
            return " or ".join(map(str, kind.values))
        case types.UnionType():
            return " or ".join(sorted(map(_said, kind.types), key=lambda said: said == "null"))
        case types.VarTupleType() | types.ListType():
            return f"a list of {_number(kind)}{_items(_said(kind.item_type))}"
        case types.TupleType():
            each = [_said(item) for item in kind.item_types]
            return f"a list of {len(each)} {_items(each[0])}" if len(set(each)) == 1 else f"a list of {', '.join(each)}"
        case types.DataclassType():
            return f"a mapping with some of the keys {', '.join(field.encode_name for field in kind.fields)}"
    return "a mapping"


def _items(each: str) -> str:
    for one, several in _SEVERAL.items():
        if each == one or each.startswith(f"{one} "):
            return several + each.removeprefix(one)
    return f"items that are each {each}"


def _number(kind: types.VarTupleType | types.ListType) -> str:
    low, high = kind.min_length, kind.max_length
    if low is not None and low == high:
        return f"{low} "
    return f"{low or 0} to {high} " if high is not None and high < 100 else ""


def _bounds(kind: types.IntType | types.FloatType) -> str:
    low, above, high, below = kind.ge, kind.gt, kind.le, kind.lt
    words = []
    if above is not None:
        words.append(f"above {above:g}")
    if low is not None:
        words.append(f"from {_figure(low)}" + (" up" if high is None and below is None else ""))
    if high is not None:
        words.append(("to " if low is not None else "and at most ") + _figure(high))
    if below is not None:
        words.append(f"to below {below:g}")
    return "".join(f" {word}" for word in words)


def _figure(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) or math.isinf(number) else f"{number:,g}"

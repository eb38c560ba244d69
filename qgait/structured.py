"""Structured data from files that anybody may have written: JSON text, and the schemas that it has to keep to.

A schema is a msgspec Struct, or is made of a dataclass by `closed`, so that a field is declared once. What does not fit
becomes one sentence: the file, the place in it, what is wrong there, and the fix.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Container, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from qgait.errors import QgaitError
from qgait.shown import TYPES, short

MAX_DEPTH = 32
MAX_DIGITS = 20  # of a whole number
MAX_TEXT = 16 << 20

Word = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
Text = Annotated[str, Meta(max_length=2000, pattern=r"\A[^\x00]*\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Size = Annotated[int, Meta(ge=1, le=2**16)]
Code = Annotated[int, Meta(ge=-128, le=127)]  # an int8
Notes = Annotated[dict[Word, Text], Meta(max_length=1000)]  # what is told for people

T = TypeVar("T")


def parse_json(text: str, subject: str, fix: str, limit: int = MAX_TEXT) -> Any:
    """What JSON ``text`` says, of bounded length, depth and numbers; no key twice, no NaN.

    QgaitError that begins with ``subject``, a clause such as "model.onnx is damaged", where it is not such a text.
    """
    try:
        if len(text) > limit:
            raise _NotJsonError(f"its text has {len(text):,} characters, more than {limit:,}")
        _require_shallow(text)
        found = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_finite
        )
        if re.search(r"\\ud", text, re.IGNORECASE):  # half a character can be written that way
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except _NotJsonError as error:
        raise QgaitError(f"{subject}: {error}.", fix) from None
    except UnicodeEncodeError:
        raise QgaitError(f"{subject}: its text has half a character in it.", fix) from None
    except ValueError as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise QgaitError(f"{subject}: its text is not JSON{place}.", fix) from None


def check(plain: object, schema: type[T], subject: str, fix: str) -> T:
    """``plain`` (dicts, lists, texts, numbers) as a ``schema``; QgaitError that begins with ``subject`` if not."""
    try:
        return msgspec.convert(plain, schema)
    except msgspec.ValidationError as error:
        complaint, _, path = str(error).replace("`key` in `$", "`key in $").partition(" - at `")
        if "[...]" in path:
            path = _named(plain, schema, str(error), path)
    raise QgaitError(f"{subject}: {_clause(complaint, path.rstrip('`'))}.", fix)


def closed(
    kind: type,
    whole: Any = Count,
    leave_out: Container[str] = (),
    more: Sequence[tuple[str, Any]] = (),
    **config: Any,
) -> Any:
    """A Struct with the fields of the dataclass ``kind`` and no others: bounded texts, lists and ``whole`` numbers.

    Fields may be left out or be ``more``. ``config`` goes to msgspec: ``tag`` and ``tag_field`` of a union's member.
    """
    hints = get_type_hints(kind)
    declared: list[Any] = [*more]
    for entry in fields(kind):
        if entry.name not in leave_out:
            hint = _bounded(hints[entry.name], whole)
            declared.append((entry.name, hint) if entry.default is MISSING else (entry.name, hint, entry.default))
    return msgspec.defstruct(kind.__name__, declared, forbid_unknown_fields=True, frozen=True, kw_only=True, **config)


class _NotJsonError(Exception):
    """A clause that says why a text is refused."""


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def _require_shallow(text: str) -> None:
    """The parser recurses, and a stack has an end."""
    depth = 0
    for bracket in re.findall(r"[][{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise _NotJsonError(f"its text is nested more than {MAX_DEPTH} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _NotJsonError(
            f"the entry {short(next(key for key in keys if keys.count(key) > 1), 60)} stands there twice"
        )
    return found


def _constant(name: str) -> float:
    raise _NotJsonError(f"it says {name}, which is no number")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _NotJsonError(f"it has a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise _NotJsonError(f"the number {short(text, 40)} is too large")
    return value


_WORDS = TYPES | {
    "array": "a list",
    "object": "an object",
    "NoneType": "null",  # tags of unions are complained of in Python's words
    "list": "a list",
    "dict": "an object",
}


def _clause(complaint: str, path: str) -> str:
    """What msgspec complains of at ``path``, in our words."""
    place = short(path.removeprefix("key in ").removeprefix("$").removeprefix(".") or "it", 90)
    if path.startswith("key in "):
        place = "a key" if place == "it" else f"a key of {place}"
    if match := re.fullmatch(r"Object missing required field `(.*)`", complaint, re.DOTALL):
        return f"{place} has no entry {match[1]}"
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", complaint, re.DOTALL):
        return f"{place} has an entry {short(match[1], 60)}, which is unknown"
    if match := re.fullmatch(r"Invalid (?:value|enum value) (.*)", complaint, re.DOTALL):
        return f"{place} is {short(match[1], 60)}, which is none of the values that are possible there"
    if match := re.fullmatch(r"Expected `str` matching regex .*", complaint, re.DOTALL):
        return f"{place} is text that has no such form"
    if match := re.fullmatch(r"Expected `([^`]*)`, got `([^`]*)`", complaint):
        return f"{place} has to be {_any_of(match[1])}, not {_any_of(match[2])}"
    if match := re.fullmatch(r"Expected `([^`]*)` of (?:at (?:least|most) )?length (.*)", complaint):
        return f"{place} has to be {_any_of(match[1])} of length {_bound(match[2])}"
    if match := re.fullmatch(r"Expected `([^`]*)` (.*)", complaint):
        return f"{place} has to be {_any_of(match[1])} of {_bound(match[2])}"
    return f"{place} is out of range" if "range" in complaint else f"{place} cannot be read"


def _any_of(kinds: str) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))


def _bound(text: str) -> str:
    """For example "of at least 1"."""
    text = text.replace(">= ", "at least ").replace("<= ", "at most ").replace("> ", "above ").replace("< ", "below ")
    return text.replace(", got ", ", not ")


def _named(plain: Any, schema: Any, message: str, path: str) -> str:
    """``path`` with keys in place of its "[...]": a wrong entry is what is still wrong without all the others."""
    while "[...]" in path:
        before = path[: path.index("[...]")]
        steps = re.findall(r"[^.\[\]]+", before.removeprefix("key in ").removeprefix("$"))
        entries = plain
        for step in steps:
            entries = entries[int(step) if isinstance(entries, list) else step]
        keys = list(entries)
        while len(keys) > 1:
            half = keys[: len(keys) // 2]
            fewer = _replaced(plain, steps, {key: entries[key] for key in half})
            keys = half if _complains(fewer, schema, message) else keys[len(half) :]
        path = f"{before}.{short(keys[0], 60).replace('[...]', '')}{path[len(before) + len('[...]') :]}"
        if re.search(r"[.\[\]`]", keys[0]):  # not a place that could be looked up again
            break
    return path


def _replaced(plain: Any, steps: Sequence[str], value: object) -> Any:
    """A copy of ``plain`` with another ``value`` at the place that ``steps`` lead to."""
    if not steps:
        return value
    step = int(steps[0]) if isinstance(plain, list) else steps[0]
    copy = plain.copy()
    copy[step] = _replaced(plain[step], steps[1:], value)
    return copy


def _complains(plain: object, schema: Any, message: str) -> bool:
    try:
        msgspec.convert(plain, schema)
    except msgspec.ValidationError as error:
        return str(error) == message
    return False


def _bounded(hint: Any, whole: Any) -> Any:
    """A type as declared, with bounds on texts, lists and whole numbers in it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is int:
        return whole
    if hint is str:
        return Text
    if is_dataclass(hint) and isinstance(hint, type):
        return closed(hint, whole)
    if origin is Literal or not inner:
        return hint
    bounded: Any = tuple(argument if argument in (..., type(None)) else _bounded(argument, whole) for argument in inner)
    if origin in (Union, types.UnionType):
        return Union.__getitem__(bounded)
    made: Any = (origin or hint)[bounded]
    return Annotated[made, Meta(max_length=2**16)] if origin is dict or ... in inner else made

"""Plain data into nested frozen dataclasses by their type hints, with errors that name the key.

A dataclass is changed, not filled: what a mapping does not mention stays as it is. So layers of settings (defaults, a
file, the command line) are applied one after the other, and each error names the layer that is wrong.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qgait.errors import QgaitError

D = TypeVar("D")


@dataclass(frozen=True)
class Place:
    """Where a value stands: ``source`` is a file or the command line, ``key`` is dotted, ``keys`` are all there are."""

    source: str
    key: str = ""
    keys: tuple[str, ...] = ()

    def below(self, name: str) -> Place:
        """A key inside the mapping at this place."""
        return Place(self.source, f"{self.key}.{name}" if self.key else name, self.keys)

    def wrong(self, value: object, wanted: str, now: object) -> QgaitError:
        """``value`` is not what is ``wanted`` here; ``now`` is a value that is."""
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:60]}..."
        fix = "leave it out." if now is None else f"write for example {_plain(now)}."
        return QgaitError(f"{self.key} in {self.source} is {shown}, but has to be {wanted}.", fix)


def change(start: D, changes: object, place: Place) -> D:
    """A copy of the dataclass ``start`` with ``changes``, a mapping that may leave out keys and nest as ``start`` does.

    Raises QgaitError for a key that the dataclass does not have, a value of another type, and what the dataclass
    itself refuses.
    """
    hints = hints_of(type(start))
    return replaced(start, values(hints, changes, place, {name: getattr(start, name) for name in hints}), place)


def replaced(start: D, new: Mapping[str, Any], place: Place) -> D:
    """A copy of the dataclass ``start`` with ``new`` values; what it refuses is said with the place."""
    try:
        return dataclasses.replace(start, **new)  # type: ignore[type-var]
    except QgaitError as error:
        where = f"{place.key} in {place.source}" if place.key else place.source
        raise QgaitError(f"{where}: {error.problem}", error.fix) from None


def values(hints: Mapping[str, Any], changes: object, place: Place, now: Mapping[str, Any]) -> dict[str, Any]:
    """The ``changes`` by name, each of the type that ``hints`` says; ``now`` are the values until now.

    A hint can itself be a mapping of hints.
    """
    if not isinstance(changes, Mapping):
        raise place.wrong(changes, f"a mapping with some of the keys {', '.join(hints)}", None)
    for name in changes:
        if name not in hints:
            raise _unknown(name, changes[name], hints, place)
    return {name: _value(hints[name], value, place.below(name), now.get(name)) for name, value in changes.items()}


def dotted(name: str, hint: Any) -> list[str]:
    """The keys below ``name``, dotted, down to single values."""
    inner = _mapping_in(hint)
    if inner is None:
        return [name]
    return [f"{name}.{key}" for field, below in inner.items() for key in dotted(field, below)]


def hints_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """Type hints of a constructor's parameters by name."""
    hints = get_type_hints(kind if dataclasses.is_dataclass(kind) else kind.__init__)
    return {name: hints[name] for name in inspect.signature(kind).parameters}


def plain(settings: Any) -> Any:
    """The plain data that ``change`` reads ``settings`` from: dataclasses become mappings, tuples lists."""
    if dataclasses.is_dataclass(settings):
        return {field.name: plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    if isinstance(settings, Mapping):
        return {key: plain(value) for key, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [plain(item) for item in settings]
    short = isinstance(settings, float) and settings.is_integer() and abs(settings) < 1e9
    return int(settings) if short else settings  # 10000 and not 10000.0; the type hint makes a float of it again


def _value(hint: Any, value: Any, place: Place, now: Any) -> Any:
    kind, options = get_origin(hint), get_args(hint)
    if isinstance(hint, Mapping):
        return values(hint, value, place, now or {})
    if kind in (Union, types.UnionType):
        return _one_of(hint, value, place, now)
    if kind is Literal:
        fits = [option for option in options if str(option) == str(value) and not isinstance(value, bool)]
        if not fits:
            raise place.wrong(value, _said(hint), now if now in options else options[0])
        return fits[0]
    if kind in (tuple, Sequence) or hint is tuple:
        return _tuple(hint, value, place, now)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return change(now if isinstance(now, hint) else hint(), value, place)
    return _number_or_text(hint, value, place, now)


def _unknown(name: object, value: object, hints: Mapping[str, Any], place: Place) -> QgaitError:
    """The fix is the nearest key: one beside it, or one anywhere with the same ending, or the most similar of all."""
    wanted = place.below(str(name)).key
    ending = str(name)
    while isinstance(value, Mapping) and value:
        inner, value = next(iter(value.items()))
        ending = f"{ending}.{inner}"
    beside = difflib.get_close_matches(str(name), list(hints), 1)
    same = [key for key in place.keys if f".{key}".endswith(f".{ending}")]
    nearest = place.below(beside[0]).key if beside else None
    nearest = (
        nearest
        or (same or difflib.get_close_matches(place.below(ending).key, place.keys, 1, cutoff=0.0) or list(hints))[0]
    )
    return QgaitError(f"There is no key {wanted} (in {place.source}).", f"the nearest is {nearest}.")


def _one_of(hint: Any, value: Any, place: Place, now: Any) -> Any:
    options = get_args(hint)
    if value is None and types.NoneType in options:
        return None
    for option in options:
        if _mapping_in(option) is not None:
            return _value(option, value, place, now)
        try:
            return _value(option, value, place, now)
        except QgaitError:
            continue
    raise place.wrong(value, _said(hint), now)


def _tuple(hint: Any, value: Any, place: Place, now: Any) -> tuple[Any, ...]:
    """Of a list; a single value or, from the command line, ``1,2`` is a list as well."""
    if isinstance(value, str):
        from qgait.training.yaml_text import parse

        value = [parse(item, place.source) for item in value.split(",") if item.strip()]
    items = list(value) if isinstance(value, list | tuple) else [value]
    kinds = get_args(hint)
    before = now if isinstance(now, tuple) else ()
    if len(kinds) == 1 or kinds[1:] == (...,):
        kinds = kinds[:1] * len(items)
    elif len(kinds) != len(items):
        raise place.wrong(value, _said(hint), now)
    if len(before) != len(items):
        before = (None,) * len(items)
    try:
        return tuple(_value(kind, item, place, was) for kind, item, was in zip(kinds, items, before, strict=True))
    except QgaitError as error:
        if any(_mapping_in(kind) for kind in kinds):
            raise
        raise place.wrong(value, _said(hint), now) from error


def _number_or_text(hint: Any, value: Any, place: Place, now: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number and math.isfinite(value):
        return float(value)
    if hint is int and number and math.isfinite(value) and int(value) == value:
        return int(value)  # 1e5 is as good as 100000
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise place.wrong(value, _said(hint), str(value) if hint is str and number else now)


WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


def _said(hint: Any) -> str:
    """What a hint asks for, in words."""
    kind, options = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join(_said(option) for option in options)
    if kind is Literal:
        return " or ".join(str(option) for option in options)
    if kind in (tuple, Sequence):
        if options[1:] in ((), (...,)):
            return f"a list of {PLURALS.get(options[0]) or 'items that are each ' + _said(options[0])}"
        if len(set(options)) == 1 and options[0] in PLURALS:
            return f"a list of {len(options)} {PLURALS[options[0]]}"
        return f"a list of {', '.join(map(_said, options))}"
    return WORDS[hint] if hint in WORDS else f"a mapping with some of the keys {', '.join(hints_of(hint))}"


def _mapping_in(hint: Any) -> Mapping[str, Any] | None:
    """The hints by key where ``hint`` is of a mapping or of a dataclass, optional or not."""
    if isinstance(hint, Mapping):
        return hint
    found = [option for option in (hint, *get_args(hint)) if dataclasses.is_dataclass(option)]
    return hints_of(found[0]) if found else None  # type: ignore[arg-type]


def _plain(value: object) -> str:
    from qgait.training.yaml_text import write

    text = plain(value)
    return write({"": text}).split(":", 1)[1].strip() if not isinstance(text, dict) else str(text)

"""Plain data into nested frozen dataclasses by their type hints, with errors that name the key.

A dataclass is changed, not filled: what a mapping does not mention stays as it is. So layers of settings (defaults, a
file, the command line) are applied one after the other, and each error names the layer that is wrong. Whether a value
is of its type and within its bounds is for msgspec to say.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from qgait.errors import QgaitError
from qgait.field_bounds import converted, hints_of
from qgait.schema_words import wanted
from qgait.shown import short, shown

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

    def wrong(self, value: object, asked: str, now: object) -> QgaitError:
        """``value`` is not what is ``asked`` here; ``now`` is a value that is."""
        fix = "leave it out." if now is None else f"write for example {_plain(now)}."
        return QgaitError(f"{self.key or 'All'} in {self.source} is {shown(value)}, but has to be {asked}.", fix)


def change(start: D, changes: object, place: Place) -> D:
    """A copy of the dataclass ``start`` with ``changes``, a mapping that may leave out keys and nest as ``start`` does.

    Raises QgaitError for a key that the dataclass does not have, a value of another type or outside of its bounds, and
    what the dataclass itself refuses.
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


def plain(settings: Any) -> Any:
    """The plain data that ``change`` reads ``settings`` from: dataclasses become mappings, tuples lists."""
    if dataclasses.is_dataclass(settings):
        return {field.name: plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    if isinstance(settings, Mapping):
        return {key: plain(value) for key, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [plain(item) for item in settings]
    whole = isinstance(settings, float) and settings.is_integer() and abs(settings) < 1e9
    return int(settings) if whole else settings  # 10000 and not 10000.0; the type hint makes a float of it again


def _value(hint: Any, value: Any, place: Place, now: Any) -> Any:
    if isinstance(hint, Mapping):
        return values(hint, value, place, now or {})
    if _mapping_in(hint) is not None:
        if value is None and hint is not type(now) and type(None) in get_args(hint):
            return None
        kind = next(option for option in (hint, *get_args(hint)) if dataclasses.is_dataclass(option))
        return change(now if isinstance(now, kind) else kind(), value, place)  # type: ignore[arg-type, operator]
    try:
        return _frozen(converted(_eased(hint, value, place), hint))
    except msgspec.ValidationError:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        example = shown(value).strip("'") if is_number and get_origin(hint) is None and hint is str else now
        raise place.wrong(value, wanted(hint), example) from None


def _eased(hint: Any, value: Any, place: Place) -> Any:
    """What people write otherwise than msgspec reads it: 1e5 for 100000, 8 for a choice "8", ``1,2`` or 1 for a list.

    None of that is ambiguous: the hint has one meaning for each.
    """
    kind, options = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _eased(options[0], value, place)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is Literal and isinstance(value, int) and not isinstance(value, bool):
        return shown(value)
    if kind in (tuple, Sequence):
        if isinstance(value, str):
            from qgait.training.yaml_text import parse

            value = [parse(item, place.source) for item in value.split(",") if item.strip()]
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = [value]
        if isinstance(value, list):
            kinds = options if len(options) == len(value) else options[:1] * len(value)
            return [_eased(each, item, place) for each, item in zip(kinds, value, strict=True)]
    if kind is not None and type(None) in options:  # optional; a union of others takes a value as it is
        rest = [option for option in options if option is not type(None)]
        return _eased(rest[0], value, place) if len(rest) == 1 else value
    return value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _unknown(name: object, value: object, hints: Mapping[str, Any], place: Place) -> QgaitError:
    """The fix is the nearest key: one beside it, or one anywhere with the same ending, or the most similar of all."""
    text = short(str(name) if isinstance(name, str) else shown(name))
    asked, ending = place.below(text).key, text
    for _ in range(5):  # as deep as keys are
        if not isinstance(value, Mapping) or not value:
            break
        inner, value = next(iter(value.items()))
        ending = f"{ending}.{short(str(inner) if isinstance(inner, str) else shown(inner))}"
    beside = difflib.get_close_matches(text, list(hints), 1)
    same = [key for key in place.keys if f".{key}".endswith(f".{ending}")]
    nearest = place.below(beside[0]).key if beside else None
    nearest = (
        nearest
        or (same or difflib.get_close_matches(place.below(ending).key, place.keys, 1, cutoff=0.0) or list(hints))[0]
    )
    return QgaitError(f"There is no key {asked} (in {place.source}).", f"the nearest is {nearest}.")


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

"""Seeded mutations of files, structure by structure: JSON, tensors, protobuf and bytes.

A source of mutations takes a random generator and gives (what was done, the new content). Digests are made anew by
those who know the format (`file_mutations`), so that the reader behind the digest is what is tried.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Random = random.Random
Place = tuple[Any, ...]  # keys and indices that lead to a value

DEEP = 5000
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    7,
    255,
    65536,
    2**31,
    2**63,
    10**40,
    -(10**40),
    0.5,
    1.0,
    -1.5,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    "x",
    "NaN",
    "0x1.0p+999",
    "-0x1.8p+1",
    "a\x00b",
    "\ud800",
    "../x",
    "/etc/passwd",
    "silhouette",
    "embedding",
    "forward",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"b": {}}},
    ["x"] * 300,
    [1] * 5,
)


def mutated_json(text: str, rng: Random) -> tuple[str, str]:
    """(what was done, text): one to three changes of structure or of values, now and then of the text itself."""
    done = []
    plain = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        what, plain = _changed(plain, rng)
        done.append(what)
    changed = json.dumps(plain)
    if rng.random() < 0.04:
        what, changed = rng.choice(TEXTS)(changed, rng)
        done.append(what)
    return "; ".join(done), changed


def places(plain: Any, here: Place = ()) -> Iterator[Place]:
    """Every place in ``plain`` but the whole of it."""
    entries = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in entries:
        yield (*here, key)
        yield from places(value, (*here, key))


def _changed(plain: Any, rng: Random) -> tuple[str, Any]:
    known = list(places(plain))
    if not known or rng.random() < 0.01:
        value = rng.choice(VALUES)
        return f"all = {value!r:.40}", value
    # first a depth, then a place: or all changes were in the long lists
    depth = rng.choice(sorted({len(place) for place in known}))
    *way, last = rng.choice([place for place in known if len(place) == depth])
    holder = plain
    for step in way:
        holder = holder[step]
    what, change = rng.choice(CHANGES)
    if change is _swap:
        other = _at(plain, rng.choice(known))
        holder[last] = json.loads(json.dumps(other))
    else:
        change(holder, last, rng)
    return f"{what} at {'.'.join(map(str, (*way, last))):.80}", plain


def _at(plain: Any, place: Place) -> Any:
    for step in place:
        plain = plain[step]
    return plain


def _delete(holder: Any, key: Any, rng: Random) -> None:
    del holder[key]


def _replace(holder: Any, key: Any, rng: Random) -> None:
    holder[key] = json.loads(json.dumps(rng.choice(VALUES)))


def _nudge(holder: Any, key: Any, rng: Random) -> None:
    """A number that is a little or much another one; of a list and a text its length."""
    value = holder[key]
    if isinstance(value, bool) or value is None:
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = value + rng.choice((-2, -1, 1, 2, 3, 100, -value, value, 10**6))
    elif isinstance(value, float):
        holder[key] = value * rng.choice((-1.0, 0.0, 2.0, 1e-30, 1e30))
    elif isinstance(value, str):
        holder[key] = rng.choice((value[:-1], value + value[-1:], value[::-1], value.upper(), value + ".pre"))
    elif isinstance(value, list):
        holder[key] = rng.choice((value[:-1], value + value[-1:], value[::-1], value * 2, value[:1]))
    else:
        holder[key] = dict(list(value.items())[:-1])


def _add(holder: Any, key: Any, rng: Random) -> None:
    """An entry more, or an element twice."""
    if isinstance(holder, dict):
        holder[rng.choice(("more", "", "a.b[0]", "x" * 300, "\x00"))] = rng.choice((None, 0, holder[key]))
    else:
        holder.insert(rng.randrange(len(holder) + 1), holder[key])


def _rename(holder: Any, key: Any, rng: Random) -> None:
    if isinstance(holder, dict):
        holder[str(key) + rng.choice(("x", ".", " "))] = holder.pop(key)
    else:
        holder.reverse()


def _swap(holder: Any, key: Any, rng: Random) -> None:
    """What stands at another place (`_changed` knows which)."""


CHANGES: tuple[tuple[str, Callable[[Any, Any, Random], None]], ...] = (
    ("deleted", _delete),
    ("replaced", _replace),
    ("replaced", _replace),
    ("nudged", _nudge),
    ("nudged", _nudge),
    ("added", _add),
    ("renamed", _rename),
    ("swapped", _swap),
)


def _deep(text: str, rng: Random) -> tuple[str, str]:
    place = text.rfind(":") + 1
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    return "nested", f"{text[:place]}{opening * DEEP}1{closing * DEEP}}}"


def _twice(text: str, rng: Random) -> tuple[str, str]:
    return "a key twice", text.replace("{", '{"format": 1, "format": 1, ', 1)


def _cut_text(text: str, rng: Random) -> tuple[str, str]:
    return "cut", text[: rng.randrange(len(text))]


def _huge_number(text: str, rng: Random) -> tuple[str, str]:
    return "huge number", text.replace("1", "1" + "0" * 5000, 1)


TEXTS: tuple[Callable[[str, Random], tuple[str, str]], ...] = (_deep, _twice, _cut_text, _huge_number)


def mutated_arrays(arrays: dict[str, np.ndarray], rng: Random) -> tuple[str, dict[str, np.ndarray]]:
    """One tensor dropped, renamed, of another shape or type, or with another value in one or all places."""
    name = rng.choice(sorted(arrays))
    array, rest = arrays[name].copy(), {key: value for key, value in arrays.items() if key != name}
    what = rng.choice(("drop", "rename", "copy", "shape", "type", "element", "element", "element", "all"))
    match what:
        case "drop":
            return f"{name} dropped", rest
        case "rename":
            return f"{name} renamed", rest | {name[:-1]: array}
        case "copy":
            return f"{name} twice", arrays | {name + "x": array}
        case "shape":
            forms = (array.reshape(-1), array.reshape(-1)[:-1], array[None], array.reshape(-1)[:0], array.T)
            return f"{name} reshaped", rest | {name: rng.choice(forms)}
        case "type":
            dtype = rng.choice(("float64", "float16", "int8", "int32", "uint8", "bool"))
            return f"{name} {dtype}", rest | {name: array.astype(dtype)}
    value: float = rng.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 3e38, -3e38, 1e-45, 1e-30, 1e20, 5.0))
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        value = rng.choice((int(limits.min), int(limits.max), 0, 1, 5))
    if what == "all":
        array[...] = value
    else:
        array.reshape(-1)[rng.randrange(array.size) :][:1] = value
    return f"{name} {what} = {value}", rest | {name: array}


def mutated_bytes(content: bytes, rng: Random) -> tuple[str, bytes]:
    """Flipped bits, bytes cut away, doubled, or filled with one value."""
    data, place = bytearray(content), rng.randrange(len(content))
    match rng.choice(("flip", "flip", "flip", "cut", "remove", "double", "fill")):
        case "flip":
            for _ in range(rng.choice((1, 1, 2, 8))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            return f"flipped near {place}", bytes(data)
        case "cut":
            return f"cut at {place}", bytes(data[:place])
        case "remove":
            return f"removed at {place}", bytes(data[:place] + data[place + rng.randrange(1, 40) :])
        case "double":
            return f"doubled at {place}", bytes(data[: place + rng.randrange(1, 40)] + data[place:])
    length = rng.randrange(1, 64)
    data[place : place + length] = bytes([rng.choice((0, 1, 127, 128, 255))]) * length
    return f"filled at {place}", bytes(data[: len(content)])

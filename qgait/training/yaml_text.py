"""YAML as configurations need it: plain data only, numbers as YAML 1.2 reads them, no key twice, nothing without end.

PyYAML follows YAML 1.1, where ``5e-4`` is a text, ``010`` is eight, ``off`` is false and ``1:30`` is ninety. Here
``5e-4`` is a number, ``010`` is ten, and the others are texts. Anchors, aliases and tags are refused: no configuration
needs them, and a few lines of them stand for gigabytes, or for themselves.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from qgait.errors import QgaitError
from qgait.reading import MIB, size
from qgait.shown import short, shown

MAX_BYTES = MIB
MAX_DEPTH = 20
MAX_VALUES = 10_000
MAX_DIGITS = 40

# tag -> (how it is written, the characters it can begin with)
_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9][0-9_]*", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's way: add_implicit_resolver fills it)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        event = self.peek_event()
        self._values += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refused(f"it has {'an alias' if isinstance(event, yaml.AliasEvent) else 'an anchor'}", event)
        if event.tag is not None:
            raise _refused("it has a tag", event)
        if self._values > MAX_VALUES:
            raise _refused(f"it has more than {MAX_VALUES:,} values", event)
        if self._depth == MAX_DEPTH:
            raise _refused(f"it is nested more than {MAX_DEPTH} deep", event)
        self._depth += 1
        node: yaml.Node = super().compose_node(parent, index)
        self._depth -= 1
        if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise _refused(f"it has a number of more than {MAX_DIGITS} digits", event)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refused("a list or a mapping cannot be a key", key_node)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _refused(f"{shown(key)} is there twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, (_pattern, _first) in _SCALARS.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), ["" if c == "\0" else c for c in _first]
        )


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)).replace("_", ""))


def _sequence(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    plain = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=plain)


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)
_Dumper.add_representer(list, _sequence)


def parse(text: str, source: str) -> Any:
    """The data in ``text``; ``source`` is what a QgaitError calls it."""
    if len(text) > MAX_BYTES:
        raise QgaitError(f"{source} has more than {size(MAX_BYTES)} of text.", "give a file of settings.")
    try:
        return yaml.load(text, _Loader)
    except yaml.reader.ReaderError:
        raise QgaitError(
            f"{source} is no YAML: it has characters that no text has.", "write it as UTF-8 text."
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: an escape for no character at all
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = short(getattr(error, "problem", None) or "it does not follow its rules", 100)
        fix = "write plain lines 'key: value', each key once, without anchors and tags."
        raise QgaitError(f"{source} is no YAML{where}: {why}.", fix) from None


def write(data: dict[str, Any]) -> str:
    """Text from which ``parse`` reads ``data`` again: mappings, lists, texts, numbers, true, false and null."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _refused(why: str, at: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, why, at.start_mark)

"""YAML as configurations need it: plain data only, numbers as YAML 1.2 reads them, no key twice.

PyYAML follows YAML 1.1, where ``5e-4`` is a text, ``010`` is eight, ``off`` is false and ``1:30`` is ninety. Here
``5e-4`` is a number, ``010`` is ten, and the others are texts.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from qgait.errors import QgaitError

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


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's way: add_implicit_resolver fills it)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
            if isinstance(key, Hashable):
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
    short = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=short)


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)
_Dumper.add_representer(list, _sequence)


def parse(text: str, source: str) -> Any:
    """The data in ``text``; ``source`` is what a QgaitError calls it."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise QgaitError(f"{source} is no YAML{where}: {why}.", "write 'key: value', each key once.") from None


def write(data: dict[str, Any]) -> str:
    """Text from which ``parse`` reads ``data`` again: mappings, lists, texts, numbers, true, false and null."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

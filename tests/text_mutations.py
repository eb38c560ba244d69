"""Texts made of good ones by small accidents and by malice, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

SNIPPETS = (
    *(
        "&a ",
        "*a",
        "!!bool ",
        "? ",
        "- ",
        ": ",
        ":",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "|\n",
        ">\n",
        "#",
        "%",
        "---\n",
        "...",
    ),
    *(
        "null",
        "true",
        ".nan",
        ".inf",
        "-1",
        "0",
        "1e308",
        "9" * 50,
        "9" * 5000,
        "\t",
        "\n",
        "\0",
        "\x85",
        "\ufeff",
        "é",
    ),
    *("<<: ", "base: ", "a: 1\n", "[" * 200, "{a: " * 200, "- " * 200, "\\", '"\\x', '"\\U0011ffff"', "\u2028"),
)


def mutated_texts(texts: Sequence[str], seed: int, count: int) -> Iterator[str]:
    """``count`` texts, each one of ``texts`` with one to four changes."""
    rng = random.Random(seed)
    for _ in range(count):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 4)):
            text = _changed(text, rng)
        yield text


def _changed(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    start = rng.randrange(len(text) + 1)
    end = min(len(text), start + rng.choice((0, 1, 2, 10, 100)))
    match rng.randrange(6):
        case 0:
            return text[:start] + rng.choice(SNIPPETS) + text[start:]
        case 1:
            return text[:start] + rng.choice(SNIPPETS) + text[end:]
        case 2:
            return text[:start] + text[end:]
        case 3:
            return text[:start]
        case 4:
            place = rng.randrange(len(lines))
            return "\n".join([*lines[:place], rng.choice(lines), *lines[place:]])
    return text[:start] + chr(rng.choice((*range(256), 0xD800, 0x2028, 0x10FFFF))) + text[start + 1 :]

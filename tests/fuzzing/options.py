"""Command lines of every command with one odd option or argument, drawn by hypothesis."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import click
from hypothesis import strategies as st

from qgait.cli import cli

# what the others of the command line are: files that are there, so that options are what is wrong, and work that is
# either quick or refused for want of data, so that a good option costs no minutes
LINES: dict[str, tuple[str, ...]] = {
    "data info": ("walks",),
    "data prepare": ("nowhere", "out"),
    "data synth": ("out", "--people", "1", "--frames", "2", "--views", "90", "--conditions", "nm-01"),
    "train": ("--data", "nowhere", "--out", "out"),
    "calibrate": ("--checkpoint", "float.pt", "--data", "nowhere", "--out", "out.safetensors"),
    "eval": ("model.onnx", "--data", "walks", "--runtime", "reference", "--frames", "1"),
    "export": ("nowhere.safetensors", "--out", "out.onnx"),
    "verify": ("nowhere.onnx", "--model", "model.safetensors"),
    "compile": ("nowhere.onnx", "--target", "host", "--out", "out"),
    "bench": ("bundle", "--frames", "1", "--runs", "1"),
    "embed": ("model.onnx", "clip.npy", "--out", "out.npz", "--runtime", "reference"),
    "report": ("nowhere.onnx", "--model", "model.safetensors", "--data", "walks", "--out", "out.html"),
    "targets": (),
}

NUMBERS = ["-1", "0", "-0.5", "nan", "inf", "-inf", "1e308", "1e400", "9" * 40, "-" + "9" * 40, "0x10", "1_0", "٣", ""]
NAMES = [
    "",
    ".",
    "..",
    "/",
    "-",
    "--",
    "[",
    "[/bold]",
    "[red]x[/red]",
    "x" * 300,
    "a/" * 3000,
    "\udcff\udcfe",
    "é\u202e",
    "a\nb",
    "nowhere/out",
    "walks",
    "clip.npy",
    "clip.npy/x",
    "loop",
    "pipe",
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "out",
    "host",
    "w4a4",
    "%s%n",
    "$(x)",
]
ODD = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(NAMES),
    st.integers(-(10**6), -1).map(str),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30),
)


def writes_of(words: list[str]) -> tuple[str, ...]:
    """What a command line may change: its own outputs, and whatever an option that names an output says."""
    outputs = {"--out", "--json", "--cache"}
    named = [value for option, value in pairwise(words) if option in outputs]
    if words[:2] in (["data", "synth"], ["data", "prepare"]):
        named += words[2:]
    return "out", *(os.path.normpath(name) for name in named if name.strip("/."))


def command_of(name: str) -> click.Command:
    """The command with this name, of a group too."""
    found: click.Command = cli
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


@st.composite
def command_lines(draw: Any) -> list[str]:
    """Words of a whole command line."""
    name = draw(st.sampled_from(sorted(LINES)))
    words = list(LINES[name])
    options = [p for p in command_of(name).params if isinstance(p, click.Option) and not p.is_flag]
    if words and draw(st.integers(0, 4)) == 0:
        words[draw(st.integers(0, len(words) - 1))] = draw(ODD)
    for _ in range(draw(st.integers(0, 2))):
        option = draw(st.sampled_from(options)) if options else None
        words += [option.opts[0], draw(ODD)] if option else [draw(ODD)]
    return [*name.split(), *words]

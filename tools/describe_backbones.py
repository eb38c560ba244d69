"""Prints docs/backbones.md, from the backbones themselves: python tools/describe_backbones.py > docs/backbones.md"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from graph_of_layers import graph_of, without_numbers
from integer_forms import FORMS, INTRODUCTION, TITLES

from qgait.export.graph import Graph
from qgait.export.operators import Concat
from qgait.models.backbone import Backbone
from qgait.models.registry import BACKBONES, facts
from qgait.report.network import Box, boxes, describe
from qgait.training.configs import names
from qgait.training.configuration import read

DATA = {"casia-b": "CASIA-B", "oumvlp": "OUMVLP", "grew": "GREW", "gait3d": "Gait3D"}
TABLE = (
    "network",
    "parameters",
    "MACs a frame",
    "MACs an embedding",
    "kept, bytes",
    "delay",
    "min. frames",
    "embedding",
)


def networks(name: str) -> Iterator[tuple[str, Backbone]]:
    """The published networks of a backbone, each once: (whose they are, network without numbers)."""
    found: dict[str, tuple[list[str], Backbone]] = {}
    asked = [(DATA[key.removeprefix(f"{name}-")], read(key).arguments) for key in names() if key in _published(name)]
    asked.sort(key=lambda one: list(DATA.values()).index(one[0]))
    asked += [(", ".join(f"{k} {v}" for k, v in variant.items()), variant) for variant in BACKBONES[name].variants]
    for label, arguments in asked:
        model = without_numbers(name, **arguments)
        key = str([(k, tuple(v.shape)) for k, v in model.named_parameters()])
        labels, _ = found.setdefault(key, ([], model))
        if label and (label in DATA.values() or not labels):
            labels.append(label)
    return ((", ".join(labels), model) for labels, model in found.values())


def _published(name: str) -> list[str]:
    return [f"{name}-{data}" for data in DATA]


def row(label: str, model: Backbone, graph: Graph) -> str:
    """A line of the table of a backbone."""
    size, cost = facts(model), describe(graph, {})
    figures = [size.parameters, cost["macs_per_frame"], cost["macs_per_embedding"], cost["state_bytes"]]
    parts, channels = graph.tensors[graph.output].shape
    numbers = [f"{figure:,}" for figure in figures] + [str(cost["delay"]), str(cost["min_frames"])]
    return _cells(label, *numbers, f"{parts} x {channels}")


def layout(graph: Graph) -> str:
    """Which of the embedding's parts come from where."""
    last = next(op for op in graph.ops if op.output == graph.output)
    total, channels = graph.tensors[graph.output].shape
    text = f"The embedding has {total} parts of {channels} codes, a scale for each part"
    joined = next((op for op in graph.ops if isinstance(op, Concat) and op.output in last.inputs), None)
    if joined is None:
        return f"{text}; part 0 is that of the uppermost rows."
    places, start = [], 0
    for name in joined.inputs:
        count = graph.tensors[name].shape[0]
        places.append(f"{start}{f' to {start + count - 1}' if count > 1 else ''} `{name}`")
        start += count
    return f"{text}: {', '.join(places)}."


def picture(graph: Graph) -> list[str]:
    """The layers in execution order; those that differ only in their region share a line."""
    every = boxes(graph, {})
    lines: dict[tuple[str, ...], list[int]] = {}
    for i, box in enumerate(every):
        lines.setdefault(_kind(box), []).append(i)
    title = {i: key[0] for key, group in lines.items() for i in group} | {-1: "silhouette"}
    kept = describe(graph, {})["input"]["kept"]
    rows = [("silhouette", "", "x".join(map(str, graph.tensors[graph.input].shape)), "", f"{kept}" if kept else "")]
    above, cut = "silhouette", False
    for key, group in lines.items():
        some = [every[i] for i in group]
        if not some[0].per_frame and not cut:
            cut = True
            rows.append(("-" * 12, "once an embedding " + "-" * 30, "", "", ""))
        sources = list(dict.fromkeys(title[source] for i in group for source in every[i].inputs))
        sources = [source for source in sources if source != key[0]]
        whats = list(dict.fromkeys(box.what for box in some))
        what = whats[0] if len(whats) == 1 else "rows of each region" if whats[0].startswith("rows") else whats[-1]
        every_n = f", every {some[0].every} frames" if some[0].every > 1 else ""
        origin = "" if sources == [above] else f"  <- {', '.join(sources)}"
        rows.append((key[0], what + every_n + origin, _shape(some), "", str(some[0].kept) if some[0].kept else ""))
        above = key[0]
    widths = [max(len(line[column]) for line in rows) for column in (0, 1, 2)]
    return [
        f"{name:{widths[0]}}  {what:{widths[1]}}  {shape:{widths[2]}}  {f'keeps {count}' if count else ''}".rstrip()
        for name, what, shape, _, count in rows
    ]


def _kind(box: Box) -> tuple[str, ...]:
    """What boxes on one line have in common; its first word is their name."""
    return re.sub(r"_(region|row)s?\d+", r"_\1s", box.name), str(box.shape[1:]), str(box.per_frame)


def _shape(some: Sequence[Box]) -> str:
    heights, (_, *rest) = [box.shape[0] for box in some], some[0].shape
    if len(some) == 1:
        return "x".join(map(str, some[0].shape))
    if len(set(heights)) == 1:
        return f"{len(heights)} of {'x'.join(map(str, some[0].shape))}"
    return f"({'+'.join(map(str, heights))})x{'x'.join(map(str, rest))}"


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    lines = ["# Backbones", "", INTRODUCTION, ""]
    sections: list[str] = []
    for name in BACKBONES:
        made = [(label, model, graph_of(model)) for label, model in networks(name)]
        title, text = TITLES[name]
        sections += [f"## {title}", "", f"`{name}`: {text}", "", _cells(*TABLE), _cells("---", *["---:"] * 7)]
        sections += [row(*each) for each in made]
        label, model, graph = made[0]
        forms = [form.title for form in FORMS if form.used(model, graph)]
        links = ", ".join(
            f"[{title}](#{re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-')})" for title in forms
        )
        sections += ["", layout(graph), "", f"In integers: {links}. The network of {label.split(', ')[0]}:", ""]
        sections += ["```text", *picture(graph), "```", ""]
    lines += ["## What becomes of each operator", ""]
    for form in FORMS:
        lines += [f"### {form.title}", "", form.text, ""]
    return "\n".join([*lines, *sections])


if __name__ == "__main__":
    print(page(), end="")

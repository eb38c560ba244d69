"""``qgait data``: make, prepare and look at folders of silhouettes in OpenGait's layout."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from qgait.commands.numbers import SEED, Whole
from qgait.commands.output import console, progress, table, write_json
from qgait.commands.paths import InputPath, NameOrFile, OutputFolder, json_option
from qgait.errors import QgaitError
from qgait.files import require_space

FOLDER = InputPath()
MADE = OutputFolder()
JOBS = Whole(most=1024)
LISTED = 20  # damaged or failed sequences named on the terminal; --json has all


@click.group()
def data() -> None:
    """Folders of silhouettes: SUBJECT/TYPE/VIEW/VIEW.pkl, uint8 [frames, 64, 64]."""


@data.command()
@click.argument("folder", metavar="DIR", type=MADE)
@click.option("--subjects", type=Whole(most=99_999), default=20, show_default=True, help="How many people.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="The same seed gives the same files.")
@click.option("--frames", type=Whole(2, 10_000), default=60, show_default=True, help="Mean length of a sequence.")
@click.option("--jobs", type=JOBS, default=1, show_default=True, help="Processes working at once.")
@json_option
def synth(folder: Path, subjects: int, seed: int, frames: int, jobs: int, json_file: Path | None) -> None:
    """Write synthetic walkers to DIR, named like CASIA-B: 110 sequences a subject. Repeating the command resumes it."""
    from qgait.data.opengait import Dataset
    from qgait.data.processes import run_each
    from qgait.data.walkers.dataset import missing_bytes, synthesize

    with progress() as report:
        if jobs == 1 or subjects == 1:
            synthesize(folder, subjects, seed, frames, progress=lambda done, total: report("walkers", done, total))
        else:
            require_space(folder, missing_bytes(folder, subjects, frames), str(folder))
            synthesize(folder, 1, seed, frames)  # checks and labels the folder before others write to it
            report("walkers (people)", 1, subjects)
            rest = [(folder, 1, seed, frames, subject) for subject in range(2, subjects + 1)]
            for done, _ in enumerate(run_each(synthesize, rest, jobs), 2):
                report("walkers (people)", done, subjects)
    written = Dataset.open(folder)
    facts = {"subjects": len(written.subjects), "sequences": len(written.sequences), "seed": seed}
    table(f"Synthetic walkers in {folder}", ("", "number"), facts.items())
    write_json(json_file, {"folder": str(folder)} | facts)


@data.command()
@click.argument("raw", type=FOLDER)
@click.argument("folder", metavar="DIR", type=MADE)
@click.option("--jobs", type=JOBS, default=1, show_default=True, help="Processes working at once.")
@json_option
def prepare(raw: Path, folder: Path, jobs: int, json_file: Path | None) -> None:
    """Align the pictures in RAW/SUBJECT/TYPE/VIEW/ and write them to DIR. Repeating the command resumes it.

    Pictures show one person, white (255) on black. Exits with 2 if a sequence failed; the others are written.
    """
    from qgait.data.prepare import prepare as prepare_folder

    with progress() as report:
        result = prepare_folder(raw, folder, jobs, lambda done, total: report("aligning", done, total))
    rows: list[tuple[str, int]] = [
        ("sequences written", len(result.written)),
        ("frames written", sum(result.written.values())),
        ("sequences that were there already", len(result.kept)),
        ("sequences of fewer than 5 frames", len(result.short)),
        ("sequences that failed", len(result.failed)),
    ]
    table(f"Silhouettes in {folder}", ("", "number"), rows)
    _list("short", ((name, f"{result.written[name]} frames") for name in result.short))
    _list("failed", sorted(result.failed.items()))
    facts = {"folder": str(folder), "written": result.written, "kept": result.kept, "short": result.short}
    write_json(json_file, facts | {"failed": result.failed})
    if result.failed:
        sys.stdout.flush()
        raise QgaitError(
            f"{len(result.failed)} of {len(result.written) + len(result.kept) + len(result.failed)} sequences failed.",
            "repair or remove them and repeat the command; the others are kept",
        )


@data.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--partition", type=NameOrFile(), help="Partition file, or casia-b: shows how the data are divided.")
@json_option
def info(folder: Path, partition: str | None, json_file: Path | None) -> None:
    """Count and check the sequences in DIR. Exits with 2 if a file is damaged."""
    from qgait.data.opengait import Dataset
    from qgait.data.survey import survey

    dataset = Dataset.open(folder, partition)
    with progress() as report:
        found = survey(dataset, lambda done, total: report("reading", done, total))
    facts: dict[str, Any] = {
        "folder": str(folder),
        "kind": dataset.kind,
        "subjects": len(dataset.subjects),
        "sequences": len(dataset.sequences),
        "types": dict(sorted(Counter(s.type for s in dataset.sequences).items())),
        "views": dict(sorted(Counter(s.view for s in dataset.sequences).items())),
        **found.facts(),
        "partition": dataset.division,
        "notes": list(dataset.notes),
    }
    table(f"{folder}: {dataset.kind}", ("", "value"), _rows(facts))
    _list("damaged", found.damaged.items())
    write_json(json_file, facts)
    if found.damaged:
        raise QgaitError(
            f"{len(found.damaged)} of {len(dataset.sequences)} files are damaged.", "prepare them again or remove them"
        )


@data.command()
@click.option("--remove", multiple=True, metavar="NAME", help="Remove this cache; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Remove all of them.")
@json_option
def cache(remove: tuple[str, ...], everything: bool, json_file: Path | None) -> None:
    """List the silhouettes that training has packed and all runs share, or remove them.

    They are made again when they are needed. A run that uses one keeps it until it ends.
    """
    from qgait.data import cache_folder

    folder = cache_folder.cache_folder()
    if folder is None:
        raise QgaitError("This user has no home, and so no folder of caches.", "set XDG_CACHE_HOME to a folder.")
    removes = everything or bool(remove)
    chosen = cache_folder.remove(folder, None if everything else list(remove)) if removes else cache_folder.kept(folder)
    rows = [
        (each.name, each.data or "?", f"{each.size / 1e6:.1f}", time.strftime("%Y-%m-%d", time.localtime(each.used)))
        for each in chosen
    ]
    title = f"{'Removed from' if removes else 'Silhouettes in'} {folder}"
    table(title, ("name", "data", "MB", "last used"), rows)
    facts = [{"name": e.name, "data": e.data, "bytes": e.size, "last_used": round(e.used)} for e in chosen]
    write_json(json_file, {"folder": str(folder), "removed": removes, "caches": facts})


def _rows(facts: dict[str, Any]) -> Iterable[tuple[str, object]]:
    yield "subjects", facts["subjects"]
    yield "types", _names(facts["types"])
    yield "views", _names(facts["views"])
    yield "sequences", facts["sequences"]
    if facts["readable"]:
        frames, share = facts["frames"], facts["foreground"]
        yield "frames", frames["total"]
        yield "frames of a sequence", f"{frames['min']} .. {frames['max']}, median {frames['median']:g}"
        yield "stored as", ", ".join(f"{form} ({n})" for form, n in facts["formats"].items())
        yield (
            "person's share of pixels",
            (f"{100 * share['min']:.1f} .. {100 * share['max']:.1f} %, median {100 * share['median']:.1f} %"),
        )
        yield "frames without a person", facts["empty_frames"]
    yield "damaged files", len(facts["damaged"])
    for name, part in (facts["partition"] or {}).items():
        yield name, f"{part['sequences']} sequences of {part['subjects']} subjects"


def _names(counts: dict[str, int]) -> str:
    names = list(counts)
    return f"{len(names)}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


def _list(kind: str, lines: Iterable[tuple[str, str]]) -> None:
    lines = list(lines)
    for name, reason in lines[:LISTED]:
        console.print(f"{kind}: {name}: {reason}", soft_wrap=True)
    if len(lines) > LISTED:
        console.print(f"... and {len(lines) - LISTED} more {kind}.")

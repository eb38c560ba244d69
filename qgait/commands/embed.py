"""``qgait embed``: embeddings of one's own silhouettes."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from qgait.commands.output import console, progress, write_json
from qgait.commands.paths import InputPath, OutputFile, json_option
from qgait.files import replace_file


@click.command()
@click.argument("model", type=InputPath())
@click.argument("silhouettes", nargs=-1, required=True, type=InputPath())
@click.option("--out", required=True, type=OutputFile(".npz"), help="The .npz file.")
@click.option("--level", default="int", show_default=True, help="float, fake or int.")
@click.option("--runtime", help="What computes the int level: ort (default), reference, tosa, npu or a target.")
@json_option
def embed(
    model: Path, silhouettes: tuple[Path, ...], out: Path, level: str, runtime: str | None, json_file: Path | None
) -> None:
    """Embed SILHOUETTES (.pkl or .npy files, or folders of aligned frames) with MODEL or a bundle.

    The .npz file holds `names`, `embeddings` (float32 [N, parts, channels]) and, below the float level, `codes`
    (int8), `scale` (float32 [parts]) and `zero_point`. Distance of two walks: mean over the parts of the Euclidean
    distance of their embeddings.
    """
    from qgait.data.clip_files import load_clip
    from qgait.verification.embedders import IntEmbedder, open_embedder

    clips = [load_clip(path) for path in silhouettes]
    with ExitStack() as stack, progress() as report:
        embedder = open_embedder(model, level, runtime, stack)
        report("embedding", 0, len(clips))
        arrays: dict[str, np.ndarray] = {"names": np.array([str(path) for path in silhouettes])}
        if isinstance(embedder, IntEmbedder):
            codes = embedder.codes_many(clips)
            meaning = embedder.dequantizer
            real = meaning.real(codes)
            arrays |= {"codes": codes, "scale": meaning.scale, "zero_point": np.array(meaning.zero_point)}
        else:
            real = embedder.embed_many(clips)
        arrays["embeddings"] = real.astype(np.float32)
        report("embedding", len(clips), len(clips))
    content = io.BytesIO()
    np.savez(content, **arrays)
    replace_file(out, content.getbuffer())
    shape = list(arrays["embeddings"].shape)
    console.print(f"Wrote {out}: {shape} embeddings of {embedder.model}, {embedder.level} by {embedder.runtime}.")
    facts = {"model": embedder.model, "level": embedder.level, "runtime": embedder.runtime, "out": str(out)}
    write_json(json_file, facts | {"names": [str(path) for path in silhouettes], "embeddings": shape})

"""``qgait sign`` and ``qgait keygen``: who made a file, for whoever has the public key."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.output import console, write_json
from qgait.commands.paths import InputPath, OutputFile, json_option


@click.command()
@click.argument("path", type=InputPath())
@click.option("--key", required=True, type=InputPath(), help="The private Ed25519 key (PEM).")
@json_option
def sign(path: Path, key: Path, json_file: Path | None) -> None:
    """Sign PATH: a model, an ONNX file (into PATH.sig), or a bundle (into the file signature in it)."""
    from qgait.runtime.bundle import Bundle
    from qgait.runtime.bundle_manifest import refuse_strangers
    from qgait.signing import keys
    from qgait.signing.contents import kind_of
    from qgait.signing.sign import sign

    private = keys.read_private(key)
    if kind_of(path) == "bundle":
        refuse_strangers(path, Bundle.open(path).manifest, "move that file away before you sign.")
    made = sign(path, private)
    what = "1 file" if made.files == 1 else f"{made.files} files"
    console.print(f"Signed {what} with the key sha256:{made.key}: {made.path}", soft_wrap=True)
    write_json(json_file, {"signature": str(made.path), "key": f"sha256:{made.key}", "files": made.files})


@click.command()
@click.option("--out", required=True, type=OutputFile(), help="What the names of both files begin with.")
@json_option
def keygen(out: Path, json_file: Path | None) -> None:
    """Make a pair of Ed25519 keys: OUT.private.pem, which signs, and OUT.public.pem, which others check with."""
    from qgait.signing.keys import make_pair

    private, public = Path(f"{out}.private.pem"), Path(f"{out}.public.pem")
    key = make_pair(private, public)
    console.print(f"Key sha256:{key}", soft_wrap=True)
    console.print(f"{private} signs: keep it to yourself. {public} is for everybody.", soft_wrap=True)
    write_json(json_file, {"private": str(private), "public": str(public), "key": f"sha256:{key}"})

"""The text of a signature: what was signed, file by file as sha256sum lists it, by which key, and Ed25519 over that.

    # qgait signature 1: bundle
    # key sha256:<hexadecimal sha256 of the public key in DER>
    <hexadecimal sha256>  <name>                               a line for every file
    # ed25519 <base64 of the signature of all lines before this one>

The first line is what keeps a signature from meaning anything else, and the only place where a version stands.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Literal

from qgait.errors import QgaitError
from qgait.shown import legible

Kind = Literal["bundle", "file"]
LIMIT = 1 << 16  # bytes; gait-run reads as much

_HEAD = re.compile(rb"# qgait signature 1: (bundle|file)\n# key sha256:([0-9a-f]{64})\n")
_LINE = re.compile(rb"([0-9a-f]{64})  ([^\n]+)\n")
_LAST = re.compile(rb"# ed25519 ([A-Za-z0-9+/]{86}==)\n")


@dataclass(frozen=True)
class SignedText:
    """``files``: sha256 by name. ``signature`` are Ed25519's 64 bytes over ``text``."""

    kind: Kind
    key: str
    files: dict[str, str]
    text: bytes
    signature: bytes


def text_of(kind: Kind, key: str, files: dict[str, str]) -> bytes:
    """What is signed. QgaitError for a name that would not be one line of sha256sum, or far too many of them."""
    for name in files:
        if not name.isprintable() or "\\" in name:
            problem = f"The name {legible(name)} cannot be signed."
            raise QgaitError(problem, "take one without control characters or \\.")
    lines = [f"# qgait signature 1: {kind}", f"# key sha256:{key}"]
    lines += [f"{files[name]}  {name}" for name in sorted(files)]
    text = "".join(f"{line}\n" for line in lines).encode()
    if len(text) > LIMIT - 128:
        raise QgaitError(f"{len(files)} files are too many for one signature.", "sign a bundle that qgait wrote.")
    return text


def signature_line(signature: bytes) -> bytes:
    """The last line."""
    return b"# ed25519 " + base64.b64encode(signature) + b"\n"


def read_head(content: bytes) -> tuple[str, str] | None:
    """Kind and key; None when ``content`` is no signature of qgait, or one of another version."""
    head = _HEAD.match(content)
    return None if head is None else (head[1].decode(), head[2].decode())


def parse(content: bytes) -> SignedText | None:
    """What a signature says, not yet checked; None unless it is exactly as `text_of` and `signature_line` write it."""
    head = _HEAD.match(content)
    at = content.rfind(b"# ed25519 ")
    last = _LAST.fullmatch(content[at:])
    if head is None or at < head.end() or last is None:
        return None
    lines = content[head.end() : at].splitlines(keepends=True)
    found = [_LINE.fullmatch(line) for line in lines]
    signature = base64.b64decode(last[1])
    try:
        files = {line[2].decode(): line[1].decode() for line in found if line is not None}
    except UnicodeDecodeError:
        return None
    if len(files) != len(lines) or content[at:] != signature_line(signature):
        return None
    kind: Kind = "bundle" if head[1] == b"bundle" else "file"
    return SignedText(kind, head[2].decode(), files, content[:at], signature)

"""docs/signing.md: its commands are typed in order, in a real shell, on a model, an ONNX file and a bundle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compiled_bundles import bundle, graph
from example_graphs import gaitset_graph
from signed_bundles import pair

from qgait.compiler.assembly import assemble
from qgait.compiler.link import Linker
from qgait.export.onnx.writer import write
from qgait.models import shipped
from qgait.signing.keys import fingerprint, read_public
from qgait.signing.signed_text import signature_line, text_of
from qgait.targets.processors import find

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "signing.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE, re.S)


def test_every_command_works_as_written(tmp_path: Path) -> None:
    shutil.copy(Path(shipped.__file__).with_name("gaitset_walkers.safetensors"), tmp_path / "model.safetensors")
    shutil.copytree(bundle("tiny", "host").path, tmp_path / "bundle")
    write(gaitset_graph(channels=(2, 3, 4)), tmp_path / "model.onnx")
    (tmp_path / "qgait").write_text(f'#!/bin/sh\nexec {sys.executable} -m qgait "$@"\n')
    (tmp_path / "qgait").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    typed = blocks()
    assert len(typed) == 3 and sum(block.count("qgait ") for block in typed) == 5
    done = subprocess.run(
        ["sh", "-eu"], input="".join(typed), cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert done.stdout.splitlines()[-1].split()[0] == fingerprint(read_public(tmp_path / "maker.public.pem"))
    command = [tmp_path / "bundle" / "gait-run", "selftest", "--key", tmp_path / "maker.public.pem"]
    assert "files are as the key" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_format_is_what_is_written() -> None:
    shown = re.search(r"(?:    .*\n)+", PAGE[PAGE.index("## The format") :])
    assert shown is not None
    lines = [line[4:] for line in shown[0].splitlines()]
    key = fingerprint(read_public(pair()[1]))
    written = (
        (text_of("bundle", key, {"gait-run": lines[2].split()[0]}) + signature_line(bytes(64))).decode().splitlines()
    )
    assert written[0] == lines[0] and written[2] == lines[2]
    assert re.fullmatch(r"# key sha256:\w{4}\.\.\.", lines[1]) and len(written[-1]) == len(lines[-1])


@pytest.mark.parametrize("target", ["host", "armv7", "cortex-m55"])
def test_nobody_elses_code_is_in_the_library(target: str, tmp_path: Path) -> None:
    """As the page says; what is called __aeabi_ is that of memory.c."""
    linker = Linker(find(target), tmp_path, symbols=True)
    linker.archive(assemble(graph("tiny"), linker.target, (), "gait", lambda: None), tmp_path)
    made = [tmp_path / "libgait.a"]
    if not linker.target.bare_metal:
        linker.shared(tmp_path)
        made.append(tmp_path / "libgait.so")
    ours = r"q?gait_\w+|run_frame|\.LCPI\w+|mem(cpy|move|set)|__aeabi_mem(cpy|set|clr)\d?|_DYNAMIC|\$[adtx](\.\d+)?"
    of_tvm = {"libgait.a": {"__truncsfhf2", "__extendhfsf2"}, "libgait.so": set()}
    for library in made:
        lines = subprocess.run(["nm", library], check=True, capture_output=True, text=True).stdout.splitlines()
        defined = [line.split()[2] for line in lines if re.match(r"[0-9a-f]+ [a-zA-Z] ", line)]
        assert "gait_push" in defined
        assert {name for name in defined if not re.fullmatch(ours, name)} == of_tvm[library.name], library.name

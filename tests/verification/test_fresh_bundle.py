"""A bundle against a fresh one: it is reproducible, and whatever is changed in it is named."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_bundles import folder
from small_networks import clips, network

from qgait.cli import run
from qgait.compiler.bundle import write
from qgait.errors import ParityError, QgaitError
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d
from qgait.quantizers import model_file
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import read_manifest, sign
from qgait.runtime.compiled import Compiled
from qgait.runtime.selftest import selftest
from qgait.targets.processors import find
from qgait.verification.fresh_bundle import FreshBundle, bundle_differences, rebuild
from qgait.verification.verify_bundle import verify_bundle


def graph() -> Graph:
    return fold(network("gaitsimple"))


@functools.cache
def whole(target: str = "host") -> Bundle:
    """Not to be changed."""
    walks = [clip[:frames] for clip, frames in zip(clips(2, 6), (6, 3), strict=True)]
    return write(graph(), find(target), folder() / f"whole-{target}", walks, prefix="walk")


@functools.cache
def fresh(target: str = "host") -> FreshBundle:
    return rebuild(whole(target), graph(), folder() / f"fresh-{target}")


def differences(place: Path, target: str = "host") -> list[str]:
    return [str(difference) for difference in bundle_differences(Bundle.open(place), fresh(target))]


def signed_again(place: Path, change: dict[str, Any] | None = None) -> None:
    """Makes the checksums of a changed copy right."""
    told = {key: value for key, value in json.loads((place / "manifest.json").read_text()).items()}
    del told["files"], told["checksum"]
    sign(place, told | (change or {}))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(whole().path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("target", ["host", "arm", "cortex-m55"])
def test_the_same_network_gives_the_same_bytes_wherever_it_is_compiled(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest and libgait.a as well, with another place for temporary files and another current folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    again = rebuild(whole(target), graph(), Path("again"))
    assert bundle_differences(whole(target), again) == []
    names = sorted(file.relative_to(again.bundle.path) for file in again.bundle.path.rglob("*") if file.is_file())
    assert Path("manifest.json") in names
    for name in names:
        assert (again.bundle.path / name).read_bytes() == (whole(target).path / name).read_bytes(), name


def test_a_changed_constant_is_named_with_its_layer(copy: Path) -> None:
    blob = fresh().assembly.glue
    layer = next(constant for constant in blob.constants if constant.array.dtype == np.int32)
    for name in ("libwalk.so", "libwalk.a", "walk-run"):
        content = bytearray((copy / name).read_bytes())
        at = bytes(content).find(blob.weights) + layer.offset + 4
        content[at] ^= 1
        (copy / name).write_bytes(content)
    signed_again(copy)
    found = differences(copy)
    assert len(found) == 3
    wanted = layer.array.ravel()[1]
    for line, name in zip(found, ("libwalk.a", "libwalk.so", "walk-run"), strict=True):
        assert line == (
            f"a constant of {' + '.join(layer.layers)}, int32 {list(layer.array.shape)}, in {name}: "
            f"[{', '.join(map(str, np.unravel_index(1, layer.array.shape)))}] is {wanted ^ 1}, not {wanted}"
        )


def test_one_bit_of_packed_weights_is_named_with_its_layer(tmp_path: Path) -> None:
    narrow = fold(network("gaitsimple", "w3a3"))
    made = write(narrow, find("host"), tmp_path / "made", [clips(1, 5)[0], clips(1, 2)[0]])
    again = rebuild(made, narrow, tmp_path / "again")
    glue = again.assembly.glue
    layer = next(op for op in narrow.ops if isinstance(op, Conv2d) and op.weight_bits == 3)
    packed = next(one for one in glue.constants if layer.name in one.layers)
    assert packed.array.nbytes < layer.weight.size
    for name in ("libgait.so", "gait-run"):
        content = bytearray((made.path / name).read_bytes())
        content[bytes(content).find(glue.weights) + packed.offset + 1] ^= 4
        (made.path / name).write_bytes(content)
    signed_again(made.path)
    found = [str(one) for one in bundle_differences(Bundle.open(made.path), again)]
    assert len(found) == 2 and all(line.startswith(f"a constant of {layer.name}") for line in found)
    assert all("[1] is" in line for line in found)
    with pytest.raises(ParityError, match=r"channel \d+ is"):
        selftest(Bundle.open(made.path))


@pytest.mark.parametrize("name", ["walk.h", "libwalk.a", "libwalk.so", "walk-run", "walk.pc", "selftest/clip0.frames"])
def test_a_changed_byte_anywhere_is_found(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 3] ^= 4
    (copy / name).write_bytes(content)
    signed_again(copy)
    (line,) = differences(copy)
    assert name in line


def test_a_changed_number_of_the_manifest_is_named(copy: Path) -> None:
    output = read_manifest(copy)["output"]
    scales = [scale * (100 if part == 2 else 1) for part, scale in enumerate(output["scales"])]
    signed_again(copy, {"output": {**output, "scales": scales}})
    (line,) = differences(copy)
    assert line == f"manifest.json: output.scales[2] is {scales[2]!r}, not {output['scales'][2]!r}"


def test_files_that_are_missing_or_too_many_are_named(copy: Path) -> None:
    (copy / "walk.pc").unlink()
    (copy / "extra").write_text("")
    signed_again(copy)
    assert differences(copy) == ["the file extra is there, not missing", "the file walk.pc is missing, not there"]


def test_other_tools_give_other_bytes_and_are_refused_by_name(copy: Path, tmp_path: Path) -> None:
    signed_again(copy, {"versions": {**read_manifest(copy)["versions"], "ziglang": "0.1"}})
    with pytest.raises(QgaitError, match=r"was compiled with ziglang 0\.1, and .* is installed here"):
        rebuild(Bundle.open(copy), graph(), tmp_path / "again")


def test_a_vela_ini_has_to_be_the_one_that_was_compiled_with(tmp_path: Path) -> None:
    ini = tmp_path / "vela.ini"
    ini.write_text("[System_Config.Board]\n")
    asked: dict[str, Any] = {"sram_bytes": None, "host_fallback": True, "vela_config": None}
    npu = {"accelerator": "ethos-u55-128", "system_config": "Board", "memory_mode": "Sram_Only", "options": asked}
    made = Bundle(whole().path, {**whole().manifest, "npu": npu})
    with pytest.raises(QgaitError, match=r"was compiled without a vela\.ini of its own"):
        rebuild(made, graph(), tmp_path / "again", vela_config=ini)
    asked["vela_config"] = "0" * 64
    for given in (None, ini):
        with pytest.raises(QgaitError, match=r"was compiled with a vela\.ini of its own") as caught:
            rebuild(made, graph(), tmp_path / "again", vela_config=given)
        assert "give that file" in caught.value.fix


def test_a_target_that_is_not_what_it_is_called_is_refused(tmp_path: Path) -> None:
    shutil.copytree(whole("arm").path, tmp_path / "copy")
    target = read_manifest(tmp_path / "copy")["target"]
    signed_again(tmp_path / "copy", {"target": {**target, "mattr": ["+neon"]}})
    with pytest.raises(QgaitError, match="says of the target arm what this qgait does not"):
        rebuild(Bundle.open(tmp_path / "copy"), graph(), tmp_path / "again")


def test_a_scale_in_the_manifest_alone_is_refused_before_anything_is_computed(copy: Path) -> None:
    output = read_manifest(copy)["output"]
    for change, words in (
        ({"scales": [2 * scale for scale in output["scales"]]}, "built with others: output.scales"),
        ({"shape": [output["shape"][0], output["shape"][1] + 8]}, "by the shapes of input and output"),
        ({"shape": output["shape"][::-1], "scales": [1.0] * output["shape"][1]}, r"built with \[.*\], not \[.*\]"),
        ({"zero_point": output["zero_point"] + 1}, "output.zero_point"),
    ):
        signed_again(copy, {"output": output | change})
        with pytest.raises(QgaitError, match=words):
            Compiled(Bundle.open(copy))


def test_an_emulated_bundle_says_what_it_was_built_with_too(tmp_path: Path) -> None:
    shutil.copytree(whole("arm").path, tmp_path / "copy")
    output = read_manifest(tmp_path / "copy")["output"]
    signed_again(tmp_path / "copy", {"output": output | {"zero_point": output["zero_point"] + 1}})
    with pytest.raises(QgaitError, match=r"output\.zero_point of its manifest is wrong"):
        Compiled(Bundle.open(tmp_path / "copy"))


@pytest.mark.parametrize("target", ["host", "cortex-m55"])
def test_the_whole_proof_of_a_bundle(target: str) -> None:
    found = verify_bundle(whole(target), network("gaitsimple"), clips(2, 3))
    assert found.parity.holds and found.why_not is None
    assert set(found.parity.runtimes) == {target}
    assert found.files == len(whole(target).manifest["files"])


def test_the_bundle_of_another_model_fails() -> None:
    found = verify_bundle(whole(), network("gaitsimple", seed=1), clips(2, 3)).parity
    assert not found.holds
    assert found.file and found.runtimes["host"].mismatches > 0 and found.runtimes["host"].real_mismatches > 0


def test_the_command_takes_a_bundle(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_file.save(network("gaitsimple"), tmp_path / "model.safetensors")
    words = ["verify", str(copy), "--model", str(tmp_path / "model.safetensors")]
    assert run([*words, "--runtime", "host"]) == 2
    assert "leave --runtime out" in capsys.readouterr().err
    assert run([*words, "--json", str(tmp_path / "facts.json")]) == 0
    assert "were compared with a fresh bundle" in capsys.readouterr().out
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["file"]["differences"] == 0 and facts["runtimes"]["host"]["real_mismatches"] == 0
    (copy / "walk.h").write_text((copy / "walk.h").read_text().replace("WALK_ZERO_POINT ", "WALK_ZERO_POINT 1"))
    signed_again(copy)
    assert run(words) == 1
    assert "walk.h" in capsys.readouterr().out

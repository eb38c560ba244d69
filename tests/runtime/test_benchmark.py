"""Measuring here, under QEMU and over ssh; a failed self-test forbids it everywhere."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from compiled_bundles import broken, bundle, flipped, graph

from qgait.cli import run
from qgait.errors import ParityError, QgaitError
from qgait.runtime import qemu
from qgait.runtime.benchmark import bench, parse
from qgait.runtime.bundle import Bundle
from qgait.runtime.ssh import Board

KEYS = {
    "target",
    "device",
    "frame_ms",
    "embedding_ms",
    "instructions_per_frame",
    "peak_memory_bytes",
    "model_bytes",
    "macs_per_frame",
}
SHORT = ("--frames", "4", "--runs", "2")
# runs the command here instead of on a board, and writes down how it was called
FAKE_SSH = """#!/bin/sh
printf '%s\\n' "$*" >> "$QGAIT_TEST_LOG"
if [ -n "$QGAIT_TEST_SSH_FAILS" ]; then echo "ssh: connect to host: No route to host" >&2; exit 255; fi
while [ $# -gt 1 ]; do shift; done
exec sh -c "$1"
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which ssh is FAKE_SSH; the answer is its log. The "board" keeps temporary files in tmp_path/board."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "board").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(FAKE_SSH)
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "board"))
    monkeypatch.setenv("QGAIT_TEST_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def wrong_answer(target: str, folder: Path) -> Bundle:
    return Bundle.open(broken(bundle("tiny", target), folder / "b", "selftest/clip1.codes", flipped(7), resign=True))


def test_this_machine_is_timed() -> None:
    facts = bench(bundle("tiny", "host"), "local", SHORT).to_dict()
    assert set(facts) == KEYS and set(facts["frame_ms"]) == {"median", "p95"}
    assert (facts["target"], facts["device"], facts["instructions_per_frame"]) == ("host", "local", None)
    assert 0 < facts["frame_ms"]["median"] <= facts["frame_ms"]["p95"]
    assert facts["macs_per_frame"] == graph("tiny").frame_macs
    assert facts["model_bytes"] == (bundle("tiny", "host").path / "libgait.so").stat().st_size


@pytest.mark.parametrize("target", ["arm", "armv7"])
def test_emulated_instructions_are_exact_and_repeatable(target: str) -> None:
    found = [bench(bundle("tiny", target), "qemu").to_dict() for _ in range(4)]
    assert all(facts == found[0] for facts in found)
    assert set(found[0]) == KEYS
    assert found[0]["frame_ms"] == {"median": None, "p95": None} and found[0]["embedding_ms"] is None
    macs = graph("tiny").frame_macs
    assert macs / 16 < found[0]["instructions_per_frame"] < 10 * macs


def test_the_counter_counts_frames() -> None:
    made = bundle("tiny", "arm")
    command = ["qemu-aarch64", *(made.target.qemu or ())[1:]]
    one, three, five = (qemu.count_instructions([*command, made.gait_run, "push", n]) for n in ("1", "3", "5"))
    assert 0 < one < three - one
    assert abs((five - three) - (three - one)) < 0.02 * (three - one)


def test_a_network_over_neighbouring_frames_is_counted_in_its_stride() -> None:
    """Every third frame does more, and early frames do less: the mean of later ones is given."""
    made = bundle("temporal", "arm")
    timing = made.manifest["timing"]
    assert timing == {"min_frames": 3, "delay": 9, "stride": 3}
    command = ["qemu-aarch64", *(made.target.qemu or ())[1:]]
    counted = [qemu.count_instructions([*command, made.gait_run, "push", str(n)]) for n in (1, 3, 30, 33)]
    found = bench(made, "qemu").instructions_per_frame
    assert found is not None
    assert abs(found - (counted[3] - counted[2]) / 3) < 0.02 * found
    assert (counted[1] - counted[0]) / 2 < 0.7 * found


def test_a_program_that_fails_is_not_counted() -> None:
    made = bundle("tiny", "arm")
    with pytest.raises(QgaitError, match=r"could not count instructions: .*there is no command fly"):
        qemu.count_instructions([*(made.target.qemu or ()), made.gait_run, "fly"])


def test_the_plugin_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(qemu, "plugin_api", lambda emulator: 1)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(QgaitError, match="needs a C compiler"):
        qemu.build_plugin("qemu-aarch64")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = qemu.build_plugin("qemu-aarch64")
    built = first.stat().st_mtime_ns
    assert first.parent == tmp_path / "qgait" and qemu.build_plugin("qemu-aarch64").stat().st_mtime_ns == built
    assert [path.name for path in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(("said", "api"), [("7.2.22", 1), ("8.2.2", 1), ("9.0.0", 2), ("10.1.0", 2)])
def test_newer_emulators_want_a_newer_plugin(said: str, api: int, tmp_path: Path) -> None:
    fake = tmp_path / "qemu"
    fake.write_text(f"#!/bin/sh\necho qemu-aarch64 version {said}\n")
    fake.chmod(0o755)
    assert qemu.plugin_api(str(fake)) == api


def test_a_device_that_cannot_run_the_bundle_is_refused() -> None:
    with pytest.raises(QgaitError, match="arm does not run on this machine"):
        bench(bundle("tiny", "arm"), "local")
    with pytest.raises(QgaitError, match="host runs on this machine itself"):
        bench(bundle("tiny", "host"), "qemu")
    with pytest.raises(QgaitError, match="There is no device 'moon'"):
        bench(bundle("tiny", "host"), "moon")


@pytest.mark.parametrize(("target", "device"), [("host", "local"), ("arm", "qemu"), ("host", "ssh://pi@board")])
def test_a_failed_selftest_forbids_measuring(target: str, device: str, board: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"self-test.*clip1, 3 frames: part 0, channel 7"):
        bench(wrong_answer(target, tmp_path), device)
    if device.startswith("ssh"):
        assert "bench" not in board.read_text()
        assert list((tmp_path / "board").iterdir()) == []


def test_a_board_is_measured_over_ssh(board: Path, tmp_path: Path) -> None:
    facts = bench(bundle("tiny", "host"), "ssh://pi@board.local:2222", SHORT).to_dict()
    assert set(facts) == KEYS and facts["device"] == "ssh://pi@board.local:2222"
    assert facts["frame_ms"]["median"] > 0 and facts["instructions_per_frame"] is None
    calls = board.read_text().splitlines()
    assert all(call.startswith("-p 2222 pi@board.local ") for call in calls)
    order = [next(word for word in ("mktemp", "tar", "selftest", "bench", "rm -rf") if word in call) for call in calls]
    assert order == ["mktemp", "tar", "selftest", "bench", "rm -rf"]
    assert list((tmp_path / "board").iterdir()) == [], "nothing stays on the board"


def test_an_unreachable_board_is_a_sentence(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGAIT_TEST_SSH_FAILS", "1")
    with pytest.raises(QgaitError, match="ssh to pi@board failed: ssh: connect to host: No route to host"):
        bench(bundle("tiny", "host"), "ssh://pi@board")


def test_a_board_of_another_processor_is_a_sentence(board: Path, tmp_path: Path) -> None:
    stranger = broken(bundle("tiny", "arm"), tmp_path / "b", "gait-run", lambda _: b"\x7fELF" + bytes(99), resign=True)
    with pytest.raises(QgaitError, match="pi@board cannot run code for arm"):
        bench(Bundle.open(stranger), "ssh://pi@board")
    assert list((tmp_path / "board").iterdir()) == []


def test_a_missing_ssh_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QgaitError, match="ssh is not installed"):
        bench(bundle("tiny", "host"), "ssh://pi@board")


def test_addresses() -> None:
    assert Board.parse("ssh://pi@10.0.0.7:2200") == Board("pi@10.0.0.7", 2200)
    assert Board.parse("ssh://rock/") == Board("rock", None)
    for wrong in ("ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://pi:secret@x", "ssh://x/home", "ssh://x:port"):
        with pytest.raises(QgaitError, match="is not an address of a board"):
            Board.parse(wrong)
    with pytest.raises(QgaitError, match="is not an address of a board"):
        Board.parse("ssh://-l@host")


@pytest.mark.parametrize("printed", ["", "self-test", "{}", '{"frame_ms": {"median": null, "p95": 1}}', "[1]"])
def test_figures_that_are_none_are_refused(printed: str) -> None:
    with pytest.raises(QgaitError, match="did not print its figures"):
        parse(printed)


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    arguments = ["bench", str(bundle("tiny", "host").path), *SHORT, "--json", str(out)]
    assert run(arguments) == 0
    assert set(json.loads(out.read_text())) == KEYS
    printed = capsys.readouterr().out
    assert "GMAC/s" in printed and "peak memory" in printed
    assert run(["bench", str(bundle("tiny", "arm").path), "--device", "qemu"]) == 0
    assert "MAC an instruction" in capsys.readouterr().out


def test_the_command_exits_with_1_when_the_selftest_fails_and_2_when_it_cannot_run(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert run(["bench", str(wrong_answer("host", tmp_path).path), "--json", str(out)]) == 1
    assert run(["bench", str(bundle("tiny", "arm").path), "--json", str(out)]) == 2
    assert run(["bench", str(bundle("tiny", "host").path), "--frames", "0", "--json", str(out)]) == 2
    assert run(["bench", str(tmp_path / "nothing")]) == 2
    assert not out.exists()

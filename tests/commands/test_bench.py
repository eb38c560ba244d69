"""qgait bench: options that have no meaning are refused, not dropped."""

from __future__ import annotations

import pytest
from compiled_bundles import bundle

from qgait.cli import run


@pytest.mark.parametrize("option", ["--frames", "--runs"])
def test_counting_instructions_takes_no_number_of_frames(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(bundle("tiny", "arm").path), "--device", "qemu", option, "4"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{option} is for times, and under QEMU instructions are counted" in said and "leave it out" in said

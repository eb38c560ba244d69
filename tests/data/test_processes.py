from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from qgait.data.pickle_instructions import FIX
from qgait.data.pickles import load_arrays
from qgait.data.processes import run_each
from qgait.errors import QgaitError


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_piece_is_done_once(jobs: int) -> None:
    assert sorted(run_each(math.comb, [(5, 2), (6, 1), (4, 4)], jobs)) == [(0, 10), (1, 6), (2, 1)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_come_back_as_they_are(jobs: int, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be read") as caught:
        list(run_each(load_arrays, [(tmp_path / "a",), (tmp_path / "b",)], jobs))
    assert caught.value.fix == FIX


def test_dead_workers_get_a_sentence() -> None:
    with pytest.raises(QgaitError, match="worker process died"):
        list(run_each(os._exit, [(3,), (3,)], 2))


def test_no_jobs_are_refused() -> None:
    with pytest.raises(QgaitError, match="0 jobs"):
        list(run_each(math.comb, [(5, 2)], 0))

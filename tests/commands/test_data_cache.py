"""``qgait data cache``: what training has packed, listed and removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from qgait.cli import run
from qgait.data.opengait import Dataset
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.walkers.dataset import synthesize


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caches of two data sets, and something else beside them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    place = tmp_path / "home/qgait/silhouettes"
    for name in ("one", "two"):
        synthesize(tmp_path / name, 1, 0, 4, conditions=("nm-01",), views=(90,))
        path = SilhouetteCache.open(Dataset.open(tmp_path / name).sequences, place).path
        if name == "one":
            os.utime(path, (time.time() - 86_400 * 30, time.time()))
    (place / "notes.txt").write_text("mine")
    (place / ".one.silhouettes.partial-0").write_text("half")
    (place / "link.silhouettes").symlink_to(place / "notes.txt")
    return place


def listed(tmp_path: Path, *more: str) -> list[dict[str, object]]:
    path = tmp_path / "facts.json"
    assert run(["data", "cache", "--json", str(path), *more]) == 0
    found: list[dict[str, object]] = json.loads(path.read_text())["caches"]
    return found


def test_what_is_kept_is_listed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, one = listed(tmp_path)
    assert (one["data"], two["data"]) == (str(tmp_path / "one"), str(tmp_path / "two"))
    path = folder / f"{one['name']}.silhouettes"
    assert one["bytes"] == path.stat().st_size > 1000
    assert time.time() - 86_400 * 31 < float(str(one["last_used"])) < time.time() - 86_400 * 29
    assert time.time() - 60 < float(str(two["last_used"]))
    assert "last used" in capsys.readouterr().out
    SilhouetteCache.open(Dataset.open(tmp_path / "one").sequences, folder)
    assert [each["data"] for each in listed(tmp_path)] == [str(tmp_path / "one"), str(tmp_path / "two")]


def test_one_is_removed_and_nothing_else(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two, one = listed(tmp_path)
    assert [each["name"] for each in listed(tmp_path, "--remove", str(one["name"]))] == [one["name"]]
    assert [each["name"] for each in listed(tmp_path)] == [two["name"]]
    for name in (str(one["name"]), "../../../one", "notes.txt", "link"):
        assert run(["data", "cache", "--remove", name]) == 2
        assert f"There is no silhouette cache called {name}." in capsys.readouterr().err
    assert run(["data", "cache", "--remove", str(two["name"]), "--remove", "other"]) == 2
    assert [each["name"] for each in listed(tmp_path)] == [two["name"]], "a wrong name removes nothing"


def test_all_are_removed_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    assert len(listed(tmp_path, "--all")) == 2 and listed(tmp_path) == []
    assert {"notes.txt", "link.silhouettes"} <= {path.name for path in folder.iterdir()}


def test_a_damaged_one_is_listed_too(folder: Path, tmp_path: Path) -> None:
    name = listed(tmp_path)[0]["name"]
    (folder / f"{name}.silhouettes").write_bytes(b"QGSILH02")
    assert next(each for each in listed(tmp_path) if each["name"] == name)["data"] is None
    assert len(listed(tmp_path, "--all")) == 2


def test_a_user_without_caches_has_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    assert listed(tmp_path) == [] == listed(tmp_path, "--all")
    assert not (tmp_path / "nothing").exists()

"""`make wheel`: the same bytes every time, and a bill of materials that a stranger's tool can read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
WHEEL, ARCHIVE, BILL = "qgait-0.1.0-py3-none-any.whl", "qgait-0.1.0.tar.gz", "qgait-0.1.0-py3-none-any.cdx.json"


def build(folder: Path, umask: int) -> Path:
    command = [sys.executable, ROOT / "tools" / "build_wheel.py", folder]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1750000000"}
    subprocess.run(command, cwd=folder.parent, env=environment, umask=umask, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("one") / "dist", 0o022)


@pytest.fixture(scope="module")
def bill(dist: Path) -> dict[str, Any]:
    return dict(json.loads((dist / BILL).read_text()))


def test_the_same_bytes_come_out_every_time(dist: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "elsewhere", 0o077)
    assert sorted(file.name for file in dist.iterdir()) == sorted((WHEEL, ARCHIVE, BILL))
    for name in (WHEEL, ARCHIVE, BILL):
        assert (again / name).read_bytes() == (dist / name).read_bytes(), name


def test_the_wheel_has_what_git_has(dist: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "qgait"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    inside = set(zipfile.ZipFile(dist / WHEEL).namelist())
    assert set(tracked.split()) == {name for name in inside if name.startswith("qgait/")}
    assert not any(name.startswith("tests") for name in inside)
    with tarfile.open(dist / ARCHIVE) as archive:
        members = archive.getmembers()
    assert {member.mtime for member in members} == {1750000000} and {member.uname for member in members} == {""}
    assert "qgait-0.1.0/pyproject.toml" in {member.name for member in members}


def test_the_bill_is_valid_and_tells_the_wheel(dist: Path, bill: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert bill["specVersion"] == "1.6" and bill["metadata"]["timestamp"] == "2025-06-15T15:06:40+00:00"
    described = bill["metadata"]["component"]
    assert (described["name"], described["purl"]) == ("qgait", "pkg:pypi/qgait@0.1.0")
    assert described["licenses"] == [{"acknowledgement": "declared", "expression": "Apache-2.0"}]
    told = {entry["url"]: entry["hashes"][0]["content"] for entry in described["externalReferences"]}
    assert told == {name: hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in (WHEEL, ARCHIVE)}


def test_every_dependency_is_in_the_bill(bill: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    components = {component["name"]: component for component in bill["components"]}
    for extra, scope in ((None, "required"), ("sign", "optional"), ("compile", "optional"), ("npu", "optional")):
        for requirement in project["dependencies"] if extra is None else project["optional-dependencies"][extra]:
            name = requirement.replace(">", "=").split("=")[0]
            found = components[name]
            assert found["version"] == tested[name] and found["purl"] == f"pkg:pypi/{name}@{tested[name]}"
            assert found["scope"] == scope and found["licenses"], name
            assert extra is None or {"name": "qgait:extra", "value": extra} in found["properties"]
    assert not {"pytest", "ruff", "mypy", "hypothesis", "cyclonedx-python-lib"} & components.keys(), "tools of ours"


def test_who_needs_whom_is_told(bill: dict[str, Any]) -> None:
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    every = {component["bom-ref"] for component in bill["components"]}
    assert needs.keys() == every | {"qgait==0.1.0"}
    assert all(set(refs) <= every for refs in needs.values())
    names = {ref.split("==")[0]: {need.split("==")[0] for need in refs} for ref, refs in needs.items()}
    assert {"numpy", "click", "rich", "msgspec", "cryptography", "torch"} <= names["qgait"]
    assert "cffi" in names["cryptography"] and "cffi" not in names["qgait"]

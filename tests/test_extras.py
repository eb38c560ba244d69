"""The table of extras against pyproject.toml and the packages that are installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from qgait.extras import EXTRAS, install

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def extras() -> dict[str, set[str]]:
    """The distributions that each extra names itself."""
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    return {
        extra: {canonical(re.match(r"[\w.-]+", wanted)[0]) for wanted in requirements}  # type: ignore[index]
        for extra, requirements in declared.items()
    }


@pytest.mark.parametrize("package", EXTRAS)
def test_a_package_is_in_the_smallest_extra_that_has_it(package: str) -> None:
    names = {canonical(name) for name in packages_distributions()[package]}
    having = {extra: len(wanted) for extra, wanted in extras().items() if wanted & names}
    assert having[EXTRAS[package]] == min(having.values())


def test_every_package_of_every_users_extra_is_in_the_table() -> None:
    imported = packages_distributions()
    brought = {canonical(name) for package in EXTRAS for name in imported[package]}
    wanted = {
        name for extra, names in extras().items() if extra not in ("all", "dev", "bench", "fuzz") for name in names
    }
    assert wanted <= brought | {"qgait"}


def test_a_part_of_a_package_and_a_stranger() -> None:
    assert install("google.protobuf") == "pip install 'qgait[all]'"
    assert install("onnx.helper") == "pip install 'qgait[onnx]'"

"""Any value for any key is taken and means something, or is refused in one sentence."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from setting_values import ODD, changes, keys, nested
from text_mutations import mutated_texts

from qgait.errors import QgaitError
from qgait.training import yaml_text
from qgait.training.configs import file_of, names
from qgait.training.configuration import Configuration, read, typed
from qgait.training.optimization import learning_rate


def check(name: str, change: dict[str, object], folder: Path) -> bool:
    """Whether the change was taken; then it can be written, is read again and gives finite learning rates."""
    start = Configuration(model=name)
    try:
        taken = start.changed(change, "mine.yaml")
    except QgaitError as error:
        assert len(str(error)) < 400, str(error)
        assert "\n" not in str(error) and "<class" not in str(error) and "Traceback" not in str(error)
        return False
    taken.write(folder / "again.yaml")
    assert read(folder / "again.yaml") == taken
    settings = taken.settings
    for iteration in (0, settings.iterations // 2, settings.iterations - 1):
        rate = learning_rate(settings.optimizer.learning_rate, settings.schedule, iteration, settings.iterations)
        assert math.isfinite(rate) and rate >= 0
    return True


def test_any_value_for_any_key(tmp_path: Path) -> None:
    rng = random.Random(0)
    results = [check("gaitset", nested(key, value), tmp_path) for key in keys() for value in rng.sample(ODD, 2)]
    assert True in results and False in results


def test_any_few_values_for_any_backbone(tmp_path: Path) -> None:
    results = [check(name, change, tmp_path) for name, change in changes(1, 300)]
    assert True in results and False in results


@pytest.mark.parametrize("key", ["seed", "iterations", "batch.people", "optimizer.learning_rate", "data.test_frames"])
@pytest.mark.parametrize("value", [-1, 10**40, math.nan, "", {}, True])
def test_numbers_that_cannot_be_are_named_with_the_file_and_the_key(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=rf"{key} in mine\.yaml is .*, but has to be a (whole )?number") as refused:
        Configuration().changed(nested(key, value), "mine.yaml")
    assert refused.value.fix


def test_batches_that_no_memory_holds_are_refused() -> None:
    with pytest.raises(QgaitError, match=r"batch in here: A batch of 4096 x 4096 clips can have 503,316,480 frames"):
        Configuration().changed({"batch": {"people": 4096, "clips": 4096}}, "here")


def test_mutated_configurations(tmp_path: Path) -> None:
    texts = [file_of(name).read_text(encoding="utf-8") for name in names()[::6]]
    taken = 0
    for text in mutated_texts(texts, seed=2, count=250):
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            read(tmp_path / "mine.yaml")
            taken += 1
        except QgaitError as error:
            assert len(str(error)) < 500 and "\n" not in str(error), str(error)
    assert 0 < taken < 250


@pytest.mark.parametrize(
    "text",
    [
        "foo=&a {b: *a}",
        "batch=&a {people: *a}",
        "model=[&a [x, x], [*a, *a]]",
        "=".join((".".join("a" * 100_000), "1")),
        f"batch.people={'9' * 5000}",
        f"batch.people={'[' * 5000}",
        f"{'k' * 100_000}=1",
        f"{'k' * 100_000}",
        "batch.people='\ud800'",
    ],
    ids=range(9),
)
def test_what_is_typed_is_bounded_too(text: str) -> None:
    with pytest.raises(QgaitError) as refused:
        Configuration().changed(typed([text]), "the command line")
    assert len(str(refused.value)) < 300


def test_chains_of_bases_end(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    with pytest.raises(QgaitError, match=r"0\.yaml has more than 20 bases"):
        read(tmp_path / "0.yaml")


def test_a_file_of_settings_is_a_small_regular_file(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * (yaml_text.MAX_BYTES + 1))
    with pytest.raises(QgaitError, match=r"big\.yaml is larger than 1 MiB"):
        read(tmp_path / "big.yaml")
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    with pytest.raises(QgaitError, match="link that leads back to itself"):
        read(tmp_path / "a.yaml")
    with pytest.raises(QgaitError, match="is a device"):
        read(Path("/dev/zero"))

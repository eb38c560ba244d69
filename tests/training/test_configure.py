"""Which settings a command line of ``qgait train`` ends up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from float_models import small_model

from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.training.configuration import Configuration, read
from qgait.training.configure import configure


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(small_model("gaitbase", classes=3), Path("base.pt"))


notes: list[str] = []


def configured(*settings: str, **options: Any) -> Configuration:
    return configure(Path("run"), {"data": Path("walks"), "set": settings, **options}, notes.append)


def test_the_defaults_are_the_backbones_on_casia_b_with_all_people() -> None:
    for model in ("gaitset", "gaitbase", "gaitsimple"):
        found, published = configured(model=model), read(f"{model}-casia-b")
        assert found.model == model and found.arguments == published.arguments
        assert found.data.partition is None and found.settings.precision == "float32", "float16 needs a GPU"
        assert found.changed({"precision": "float16"}, "here").settings == published.settings
    assert configured() == configured(model="gaitset")
    assert configured(init=Path("base.pt")).model == "gaitbase"


def test_a_file_is_below_options_and_options_are_below_set() -> None:
    Path("mine.yaml").write_text(
        "base: gaitbase-gait3d\niterations: 11\nseed: 1\nbatch: {people: 3, clips: 4}\ndata: {path: elsewhere}\n"
    )
    file = configured(config="mine.yaml", data=None)
    assert (file.settings.iterations, file.settings.seed, file.settings.batch.people) == (11, 1, 3)
    assert file.settings.batch.sampling == read("gaitbase-gait3d").settings.batch.sampling
    assert file.data.path == str(Path("elsewhere").resolve())
    options = configured(config="mine.yaml", seed=2, people=5)
    assert (options.settings.iterations, options.settings.seed, options.settings.batch.people) == (11, 2, 5)
    assert options.data.path == str(Path("walks").resolve())
    both = configured("seed=7", "batch.people=9", config="mine.yaml", seed=2, people=5)
    assert (both.settings.seed, both.settings.batch.people, both.settings.batch.clips) == (7, 9, 4)


def test_every_shortcut_sets_what_it_says() -> None:
    found = configured(
        config="gaitbase-gait3d",
        partition="casia-b",
        protocol="oumvlp",
        cache=Path("cache"),
        iterations=5,
        people=3,
        clips=2,
        frames=7,
        optimizer="adam",
        learning_rate=1e-3,
        milestones="2,4",
        precision="bfloat16",
        evaluate_every=9,
        device="cuda",
        seed=6,
    )
    settings = found.settings
    assert (found.data.partition, found.data.protocol, found.device) == ("casia-b", "oumvlp", "cuda")
    assert found.data.cache == str(Path("cache").resolve())
    assert (settings.iterations, settings.batch.people, settings.batch.clips) == (5, 3, 2)
    assert (settings.batch.sampling.count, settings.batch.sampling.frames) == ("fixed", 7), "always as many frames"
    assert (settings.optimizer.kind, settings.optimizer.learning_rate) == ("adam", 0.001)
    assert settings.optimizer.weight_decay == 5e-4, "what is not named stays"
    assert (settings.schedule.milestones, settings.precision) == ((2, 4), "bfloat16")
    assert (settings.evaluate_every, settings.seed) == (9, 6)


def test_zero_is_an_option_like_others() -> None:
    Path("mine.yaml").write_text("seed: 5\nevaluate_every: 3\n")
    found = configured(config="mine.yaml", seed=0, evaluate_every=0)
    assert (found.settings.seed, found.settings.evaluate_every) == (0, 0)


def test_with_bits_the_shortcuts_are_about_the_two_stages() -> None:
    found = configured(
        "quantized.guidance.weight=0.5",
        init=Path("base.pt"),
        bits="w4a4",
        iterations=10,
        learning_rate=0.02,
        precision="bfloat16",
        people=3,
    )
    first, second = found.quantized.stages.first, found.quantized.stages.second
    assert (first.iterations, second.iterations) == (7, 3)
    assert (first.learning_rate, second.learning_rate) == pytest.approx((0.02, 0.002))
    assert first.schedule.kind == "cosine"
    assert (found.quantized.precision, found.quantized.batch.people) == ("bfloat16", 3)
    assert found.settings.batch.people == 8, "that of a float run is another"
    assert found.quantized.guidance.weight == 0.5 and found.bits == "w4a4"
    assert found.init == str(Path("base.pt").resolve())


def test_float16_is_kept_where_it_was_asked_for_or_can_be_had() -> None:
    assert configured(config="gaitset-casia-b", device="cuda").settings.precision == "float16"
    assert configured("precision=float16").settings.precision == "float16"
    assert configured(precision="float16").settings.precision == "float16"


def test_a_cpu_instead_of_float16_is_said() -> None:
    notes.clear()
    configured(config="gaitset-casia-b", partition="casia-b")
    assert notes == ["float16 needs a GPU: this run is in float32."]


def test_a_resumed_run_has_its_own_settings_and_what_is_changed_now() -> None:
    begun = configured("losses.triplet.margin=0.3", config="gaitbase-casia-b", iterations=50, people=3)
    begun.write(Path("run") / "config.yaml")
    resumed = configure(Path("run"), {"resume": True, "set": (), "data": None}, notes.append)
    assert resumed == begun
    longer = configure(Path("run"), {"resume": True, "set": ("save_every=5",), "iterations": 60}, notes.append)
    assert (longer.settings.iterations, longer.settings.save_every) == (60, 5)
    assert longer.settings.losses.triplet.margin == 0.3


@pytest.mark.parametrize(
    ("settings", "options", "problem", "fix"),
    [
        ((), {"data": None}, "No data were named.", "`data`"),
        ((), {"model": "gaitst"}, "no backbone called 'gaitst'", "gaitset"),
        ((), {"config": "gaitset-casiab"}, "no configuration called 'gaitset-casiab'", "gaitset-casia-b"),
        ((), {"config": "gone.yaml"}, "gone.yaml cannot be read", "give a YAML file"),
        ((), {"config": "gaitset-grew", "model": "gaitbase"}, "is of gaitset, not of gaitbase", "leave `model` out"),
        ((), {"config": "gaitset-grew", "resume": True}, "`config` is for a new run", "config.yaml"),
        ((), {"resume": True}, "There is no run in run.", "check `out`"),
        ((), {"bits": "w4a4"}, "Training at `bits` starts from a float network.", "`init`"),
        ((), {"bits": "w9a9", "init": Path("base.pt")}, "'w9a9' is not a bit-width recipe", "w8a8"),
        ((), {"bits": "w4a4", "init": Path("base.pt"), "optimizer": "adam"}, "`optimizer` is for float", "`bits`"),
        ((), {"bits": "w4a4", "init": Path("base.pt"), "milestones": "3"}, "`milestones` is for float", "`bits`"),
        (("optimizer.kind=adam",), {"bits": "w4a4", "init": Path("base.pt")}, "optimizer is for float", "quantized"),
        (("iterations=3",), {"bits": "w4a4", "init": Path("base.pt")}, "iterations is for float", "quantized"),
        (("quantized.guidance.weight=0",), {}, "keys of quantized are for training at `bits`", "leave them out"),
        (("bits=w4a4",), {}, "Training at `bits` starts from a float network.", "`init`"),
        (("losses.tripet.margin=1",), {}, "no key losses.tripet (in the command line)", "losses.triplet."),
        (("margin=1",), {}, "no key margin (in the command line)", "losses.triplet.margin"),
        (
            ("quantized.first_last=fp",),
            {"bits": "w4a4", "init": Path("base.pt")},
            "quantized.first_last in the command line: The first and the last layer cannot stay in floating point",
            "give them 8 bits, or the same",
        ),
        (("quantized.first_last=9",), {"bits": "w4a4", "init": Path("base.pt")}, "no policy", "8, same"),
        (("batch.people=many",), {}, "batch.people in the command line is 'many'", "example 8"),
        (("batch.people",), {}, "'batch.people' sets nothing", "KEY=VALUE"),
        (("model.name=[1]",), {}, "no backbone called", "gaitset"),
        (("init=5",), {}, "init in the command line is 5, but has to be UTF-8 text", "leave it out"),
        ((), {"milestones": "1,x"}, "schedule.milestones in the command line is '1,x'", "[10000, 20000, 30000]"),
        ((), {"iterations": 0}, "iterations in the command line is 0", "example 40000"),
        ((), {"protocol": "casia"}, "data.protocol in the command line is 'casia'", "casia-b"),
        ((), {"init": Path("gone.pt")}, "gone.pt cannot be read: there is no such file", "path"),
    ],
)
def test_what_cannot_be_is_refused(settings: tuple[str, ...], options: dict[str, Any], problem: str, fix: str) -> None:
    with pytest.raises(QgaitError) as refused:
        configured(*settings, **options)
    assert problem in refused.value.problem
    assert fix in refused.value.fix


def test_a_run_does_not_change_its_kind() -> None:
    configured(config="gaitset-casia-b", partition="casia-b").write(Path("run") / "config.yaml")
    with pytest.raises(QgaitError, match="is of gaitset at float, not of gaitset at w4a4"):
        configure(Path("run"), {"resume": True, "bits": "w4a4", "init": Path("base.pt")}, notes.append)

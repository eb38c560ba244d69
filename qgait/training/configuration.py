"""Everything that decides a training run, as one YAML file says it: network, data, settings, bits.

``configs/`` holds the published ones by name. A file says only what differs from the one that its key ``base`` names,
or else from the defaults of ``settings``. What a run was begun with stands whole in its folder's ``config.yaml``.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from qgait.errors import QgaitError
from qgait.field_bounds import Bounded, Text, hints_of
from qgait.files import replace_file
from qgait.models.registry import BACKBONES
from qgait.quantizers.grid import Recipe
from qgait.reading import read_text
from qgait.shown import short, shown
from qgait.training import yaml_text
from qgait.training.configs import file_of, names
from qgait.training.settings import QuantizedSettings, Settings
from qgait.training.typed_settings import Place, dotted, plain, replaced, values

CONFIG = "config.yaml"
OFF = "off"  # instead of a folder for the cache
MOST_BASES = 20
FIX = "give a YAML file of settings, or a name from `qgait train --list-configs`."

Protocol = Literal["casia-b", "oumvlp", "grew", "gait3d"]


@dataclass(frozen=True)
class Data(Bounded):
    """Where silhouettes are and how they are divided.

    ``path`` is a folder in OpenGait's layout; ``partition`` a file or a built-in name, None for all people;
    ``protocol`` that of the evaluation, None for no evaluation, which looks at the first ``test_frames`` of a sequence,
    None for all; ``cache`` a folder for the silhouettes in packed form, None for the user's that all runs share,
    ``off`` to read the data set's own files instead. With ``binary`` silhouettes are thresholded at 128, in training
    and in its test.
    """

    path: Text | None = None
    partition: Text | None = None
    protocol: Protocol | None = "casia-b"
    test_frames: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    cache: Text | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.binary and self.cache == OFF:
            raise QgaitError("Thresholded silhouettes are kept in a cache.", "leave cache: off or binary: true out.")


@dataclass(frozen=True)
class Configuration(Bounded):
    """A run. ``arguments`` are those of the backbone's constructor; ``quantized`` counts when there are ``bits``.

    What float and quantized settings both have (losses, seed, ...) is the same in both, but for batch and precision.
    """

    model: Text = "gaitset"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    data: Data = Data()
    settings: Settings = Settings()  # noqa: RUF009 - they are frozen
    quantized: QuantizedSettings = QuantizedSettings()  # noqa: RUF009
    init: Text | None = None
    bits: Text | None = None
    device: Text = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits is not None:
            Recipe.parse(self.bits)

    @property
    def of_run(self) -> Settings | QuantizedSettings:
        """The settings that count."""
        return self.settings if self.bits is None else self.quantized

    def changed(self, changes: object, source: str) -> Configuration:
        """With ``changes``, plain data as ``plain`` gives it but for what stays; ``source`` is named in errors."""
        own, shared = _quantized_fields()
        name = self._named(changes, source)
        arguments = self.arguments if name == self.model else {}
        hints = {
            "model": {"name": Literal[tuple(BACKBONES)], **_constructor(name)},
            "data": Data,
            **hints_of(Settings),
            "quantized": own,
            "init": Text | None,
            "bits": Text | None,
            "device": Text,
        }
        place = Place(source, keys=tuple(key for top, hint in hints.items() for key in dotted(top, hint)))
        now = {
            "model": {"name": name, **arguments},
            "quantized": {key: getattr(self.quantized, key) for key in own},
            **{key: getattr(self.settings, key) for key in hints_of(Settings)},
            **{key: getattr(self, key) for key in ("data", "init", "bits", "device")},
        }
        _check_first_last(changes, source)
        new = values(hints, changes or {}, place, now)
        model = now["model"] | new.pop("model", {})
        quantized = new.pop("quantized", {})
        direct = {key: new.pop(key) for key in ("data", "init", "bits", "device") if key in new}
        both = {key: value for key, value in new.items() if key in shared}
        return dataclasses.replace(
            self,
            model=model.pop("name"),
            arguments=model,
            settings=replaced(self.settings, new, place),
            quantized=replaced(self.quantized, quantized | both, place),
            **direct,
        )

    def plain(self) -> dict[str, Any]:
        """All of it as plain data, in the order of the file."""
        own, _ = _quantized_fields()
        quantized = plain(self.quantized)
        return {
            "model": {"name": self.model, **plain(self.arguments)},
            "init": self.init,
            "bits": self.bits,
            "device": self.device,
            "data": plain(self.data),
            **plain(self.settings),
            "quantized": {key: quantized[key] for key in own},
        }

    def write(self, path: Path) -> None:
        """Writes the file that ``read`` makes the same configuration of."""
        head = (
            "# What this run was begun with, whole. `qgait train --resume` reads it; as --config it repeats the run.\n"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (head + yaml_text.write(self.plain())).encode())

    def _named(self, changes: object, source: str) -> str:
        model = changes.get("model") if isinstance(changes, Mapping) else None
        name = model.get("name", self.model) if isinstance(model, Mapping) else self.model
        if not isinstance(name, str) or name not in BACKBONES:
            fix = f"choose one of {', '.join(BACKBONES)}."
            raise QgaitError(f"There is no backbone called {shown(name)} (in {source}).", fix)
        return name


def read(choice: str | Path, above: tuple[Path, ...] = ()) -> Configuration:
    """A published configuration by name, or one in a file (a path with a folder or a suffix); ``above`` named it."""
    path = _path(choice, above)
    if path in above:
        raise QgaitError(f"{path} is its own base.", "leave out the key base in one of the files.")
    if len(above) == MOST_BASES:
        raise QgaitError(f"{above[0]} has more than {MOST_BASES} bases, one behind the other.", "write fewer files.")
    content = yaml_text.parse(read_text(path, yaml_text.MAX_BYTES, FIX), str(path))
    changes = {} if content is None else content
    start = Configuration()
    if isinstance(changes, dict) and "base" in changes:
        changes = dict(changes)
        base = changes.pop("base")
        if not isinstance(base, str):
            raise Place(str(path), "base").wrong(base, "the name of a configuration or of a file", names()[0])
        start = read(base, (*above, path))
    return start.changed(changes, str(path))


def typed(settings: Iterable[str]) -> dict[str, Any]:
    """``a.b=1`` and so on as the mapping ``{"a": {"b": 1}}``; later ones win. Values are read as YAML."""
    whole: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys) or len(keys) > yaml_text.MAX_DEPTH:
            raise QgaitError(f"{shown(text)} sets nothing.", "write KEY=VALUE, for example batch.people=8.")
        data: Any = yaml_text.parse(value, short(text))
        for name in reversed(keys):
            data = {name: data}
        whole = merged(whole, data)
    return whole


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one; where both have a value, the second's."""
    both = dict(first)
    for key, value in second.items():
        was = both.get(key)
        both[key] = merged(was, value) if isinstance(was, Mapping) and isinstance(value, Mapping) else value
    return both


def _check_first_last(changes: object, source: str) -> None:
    """The recipe's own reason why there is no such policy, before its type is looked at."""
    quantized = changes.get("quantized") if isinstance(changes, Mapping) else None
    if isinstance(quantized, Mapping) and "first_last" in quantized:
        try:
            Recipe(8, 8, shown(quantized["first_last"]).strip("'"))  # type: ignore[arg-type]
        except QgaitError as error:
            raise QgaitError(f"quantized.first_last in {source}: {error.problem}", error.fix) from None


def _path(choice: str | Path, above: tuple[Path, ...]) -> Path:
    path = Path(choice)
    if isinstance(choice, str) and not path.suffix and len(path.parts) == 1:
        if choice not in names():
            nearest = difflib.get_close_matches(choice, names(), 1, cutoff=0.0)[0]
            raise QgaitError(
                f"There is no configuration called {shown(choice)}.",
                f"the nearest is {nearest}, `qgait train --list-configs` lists them all, and files end in .yaml.",
            )
        return file_of(choice)
    return Path(os.path.realpath(above[-1].parent / path if above else path))  # resolve() raises where links loop


def _quantized_fields() -> tuple[dict[str, Any], set[str]]:
    """(type hints of what quantized settings have for themselves, names of what they share with float ones)."""
    hints = hints_of(QuantizedSettings)
    own = {
        "batch",
        "precision",
    }  # small batches are enough of the float network's help; float16 is for float training alone
    shared = set(hints) & set(hints_of(Settings)) - own
    return {key: hint for key, hint in hints.items() if key not in shared}, shared


def _constructor(name: str) -> dict[str, Any]:
    """The backbone's arguments; how many classes there are is for the data to say."""
    return {key: hint for key, hint in hints_of(BACKBONES[name]).items() if key != "classes"}

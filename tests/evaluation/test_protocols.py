from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.evaluation.protocols import PROTOCOLS, check_protocol, evaluate

TYPES = [f"nm-0{i}" for i in range(1, 7)] + ["bg-01", "bg-02", "cl-01", "cl-02"]
CONDITIONS = {"nm": ("nm-05", "nm-06"), "bg": ("bg-01", "bg-02"), "cl": ("cl-01", "cl-02")}


def of(names: list[str]) -> list[Sequence]:
    return [Sequence(*name.split("/"), Path(name)) for name in names]  # type: ignore[call-arg]


def walks(subjects: int, types: list[str], views: list[str]) -> list[Sequence]:
    return of([f"{s:03d}/{t}/{v}" for s in range(1, subjects + 1) for t in types for v in views])


def embeddings_of(sequences: list[Sequence], noise: float, seed: int = 0) -> np.ndarray:
    """One random centre a subject, and noise."""
    rng = np.random.default_rng(seed)
    centre = {s: rng.normal(size=(3, 4)) for s in sorted({s.subject for s in sequences})}
    return np.stack([centre[s.subject] + noise * rng.normal(size=(3, 4)) for s in sequences]).astype(np.float32)


def distance_of(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.sqrt(np.sum((x.astype(np.float64) - y) ** 2, axis=1))))


def nearest(i: int, gallery: list[int], e: np.ndarray) -> list[int]:
    return sorted(gallery, key=lambda j: distance_of(e[i], e[j]))


def cross_view_by_loops(
    e: np.ndarray, s: list[Sequence], gallery_types: tuple[str, ...], probe_types: tuple[str, ...]
) -> tuple[float, dict[tuple[str, str], float]]:
    views = sorted({x.view for x in s})
    cells: dict[tuple[str, str], float] = {}
    means = []
    for v1 in views:
        row = []
        for v2 in views:
            gallery = [j for j, x in enumerate(s) if x.type in gallery_types and x.view == v2]
            probes = [i for i, x in enumerate(s) if x.type in probe_types and x.view == v1]
            if gallery and probes:
                right = [s[nearest(i, gallery, e)[0]].subject == s[i].subject for i in probes]
                cells[v1, v2] = 100 * sum(right) / len(right)
                if v1 != v2:
                    row.append(cells[v1, v2])
        if row:
            means.append(sum(row) / len(row))
    return sum(means) / len(means), cells


@pytest.mark.parametrize("seed", range(4))
def test_casia_b_equals_loops(seed: int) -> None:
    sequences = walks(6, TYPES, ["000", "036", "090"])
    rng = np.random.default_rng(seed)
    if seed:  # partial data
        kept = np.sort(rng.permutation(len(sequences))[: len(sequences) * 2 // 3])
        sequences = [sequences[i] for i in kept]
    e = embeddings_of(sequences, 1.2, seed)
    found = evaluate("casia-b", e, sequences)
    for condition, types in CONDITIONS.items():
        mean, cells = cross_view_by_loops(e, sequences, ("nm-01", "nm-02", "nm-03", "nm-04"), types)
        np.testing.assert_allclose(found["rank1"][condition], mean)
        assert 5 < mean < 95
        views = found["table"]["views"]
        for row, v1 in enumerate(views):
            for column, v2 in enumerate(views):
                cell = found["table"][condition][row][column]
                assert cell == pytest.approx(cells[v1, v2]) if (v1, v2) in cells else cell is None
            others = [cells[v1, v2] for v2 in views if v1 != v2 and (v1, v2) in cells]
            assert found["by_probe_view"][condition][v1] == pytest.approx(np.mean(others))
    json.dumps(found, allow_nan=False)


def test_casia_b_by_hand() -> None:
    sequences = of(
        ["1/nm-01/000", "2/nm-02/000", "1/nm-03/090", "2/nm-04/090", "1/nm-05/000", "2/nm-06/090", "2/nm-05/000"]
    )
    at = [0.0, 1.0, 0.0, 1.0, 0.1, 0.9, 0.4]
    e = np.array(at, np.float32).reshape(-1, 1, 1)
    found = evaluate("casia-b", e, sequences)
    # probes at 000: subject 1 is right, subject 2 at 0.4 is nearer to subject 1; probe at 090 is right
    assert found["rank1"] == {"nm": 75.0}
    assert found["by_probe_view"] == {"nm": {"000": 50.0, "090": 100.0}}
    assert found["table"] == {"views": ["000", "090"], "nm": [[50.0, 50.0], [100.0, 100.0]]}
    assert (found["gallery"], found["probes"], found["unused"]) == (4, 3, 0)
    assert found["notes"] == ["There are no bg probes.", "There are no cl probes."]


def test_the_same_view_does_not_count() -> None:
    sequences = walks(5, ["nm-01", "nm-05"], ["000", "090"])
    e = np.zeros((len(sequences), 1, 5), np.float32)
    for i, s in enumerate(sequences):
        subject = int(s.subject) - 1
        # within a view people are perfectly told apart; across views everybody is their neighbour
        e[i, 0, subject if s.view == "000" else (subject + 1) % 5] = 1
    found = evaluate("casia-b", e, sequences)
    assert found["rank1"]["nm"] == 0
    assert found["table"]["nm"] == [[100, 0], [0, 100]]


def test_gallery_types_are_not_probes_and_others_are_left_out() -> None:
    sequences = walks(3, [*TYPES, "nm-07", "xx-01"], ["000", "090"])
    found = evaluate("casia-b", embeddings_of(sequences, 0.0), sequences)
    assert (found["gallery"], found["probes"], found["unused"]) == (3 * 4 * 2, 3 * 6 * 2, 3 * 2 * 2)
    assert found["rank1"] == {"nm": 100, "bg": 100, "cl": 100} and not found["notes"]


def test_order_and_names_of_subjects_do_not_matter() -> None:
    sequences = walks(8, TYPES, ["000", "054", "108"])
    e = embeddings_of(sequences, 1.0)
    expected = evaluate("casia-b", e, sequences)
    order = np.random.default_rng(0).permutation(len(sequences))
    assert evaluate("casia-b", e[order], [sequences[i] for i in order])["rank1"] == expected["rank1"]
    renamed = [Sequence(f"z{900 - int(s.subject)}", s.type, s.view, s.path) for s in sequences]
    assert evaluate("casia-b", e, renamed)["rank1"] == expected["rank1"]
    assert evaluate("casia-b", 2 * e, sequences)["rank1"] == expected["rank1"]
    assert evaluate("casia-b", np.zeros_like(e), sequences)["rank1"] == {"nm": 0, "bg": 0, "cl": 0}


def test_random_embeddings_are_at_chance() -> None:
    sequences = walks(10, TYPES, ["000", "054", "108", "162"])
    e = np.random.default_rng(1).normal(size=(len(sequences), 2, 4)).astype(np.float32)
    assert all(5 < value < 15 for value in evaluate("casia-b", e, sequences)["rank1"].values())


def test_probes_without_mate_are_errors_and_named() -> None:
    sequences = walks(4, ["nm-01", "nm-05"], ["000", "090"])
    sequences = [s for s in sequences if s.name != "003-nm-01-090"]
    found = evaluate("casia-b", embeddings_of(sequences, 0.0), sequences)
    assert found["probes_without_mate"] == ["003-nm-05-000"]
    assert found["rank1"]["nm"] == pytest.approx((75 + 100) / 2)
    assert "1 of 8 probes have no gallery mate in at least one view" in found["notes"][-1]


def test_oumvlp_equals_loops() -> None:
    sequences = walks(7, ["00", "01"], ["000", "015", "030", "270"])
    e = embeddings_of(sequences, 1.0, 3)
    found = evaluate("oumvlp", e, sequences)
    mean, _ = cross_view_by_loops(e, sequences, ("01",), ("00",))
    np.testing.assert_allclose(found["rank1"]["all"], mean)
    assert set(found["rank1"]) == {"all"} and 20 < mean < 98
    assert found["protocol"] == "oumvlp"


def test_grew_equals_loops() -> None:
    sequences = walks(12, ["01", "02"], ["a", "b"]) + of(["probe/03/x", "probe/03/y", "099/02/z"])
    e = embeddings_of(sequences, 1.3, 5)
    found = evaluate("grew", e, sequences)
    gallery = [i for i, s in enumerate(sequences) if s.type == "01"]
    probes = [i for i, s in enumerate(sequences) if s.type == "02"]
    for k in (1, 5, 10, 20):
        hits = [sequences[i].subject in {sequences[j].subject for j in nearest(i, gallery, e)[:k]} for i in probes]
        assert found[f"rank{k}"] == {"all": pytest.approx(100 * np.mean(hits))}
    assert found["rank1"]["all"] < found["rank5"]["all"] < 100
    assert found["probes_without_mate"] == ["099-02-z"] and found["unused"] == 2
    assert "count as errors" in found["notes"][0]


def test_gait3d_equals_loops() -> None:
    names = [f"{s:04d}/camid{c}_videoid{c}/seq{q}" for s in range(9) for c in range(3) for q in range(2)]
    sequences = of([*names, "0100/camid0_videoid0/seq0"])
    e = embeddings_of(sequences, 1.0, 7)
    probe_set = {f"{s:04d}-camid{s % 3}_videoid{s % 3}-seq0" for s in range(9)} | {"0100-camid0_videoid0-seq0", "gone"}
    found = evaluate("gait3d", e, sequences, probe_set=probe_set)
    gallery = [i for i, s in enumerate(sequences) if s.name not in probe_set]
    probes = [i for i, s in enumerate(sequences) if s.name in probe_set and s.subject != "0100"]
    rankings = [[sequences[j].subject == sequences[i].subject for j in nearest(i, gallery, e)] for i in probes]
    for k in (1, 5, 10):
        assert found[f"rank{k}"] == {"all": pytest.approx(100 * np.mean([any(r[:k]) for r in rankings]))}
    places = [np.flatnonzero(r) + 1 for r in rankings]
    precision = np.mean([np.mean(np.arange(1, len(p) + 1) / p) for p in places])
    assert found["map"] == {"all": pytest.approx(100 * precision)} and found["map"]["all"] < 95
    assert found["minp"] == {"all": pytest.approx(100 * np.mean([len(p) / p[-1] for p in places]))}
    assert found["probes_without_mate"] == ["0100-camid0_videoid0-seq0"]
    assert found["notes"][0].startswith("1 of 11 sequences of the PROBE_SET are not in the data")
    assert "left out" in found["notes"][1]
    assert (found["gallery"], found["probes"]) == (45, 10)


def test_cosine_looks_at_directions() -> None:
    sequences = walks(6, ["01", "02"], ["a"])
    e = embeddings_of(sequences, 0.05)
    lengths = np.random.default_rng(0).uniform(0.1, 30, (len(e), 1, 1)).astype(np.float32)
    assert evaluate("grew", e * lengths, sequences, distance="cosine")["rank1"]["all"] == 100
    assert evaluate("grew", e * lengths, sequences)["rank1"]["all"] < 100


def test_integer_embeddings_are_accepted() -> None:
    sequences = walks(5, ["01", "02"], ["a"])
    e = np.round(embeddings_of(sequences, 0.02) * 40).astype(np.int8)
    assert evaluate("grew", e, sequences)["rank1"]["all"] == 100


GREW = walks(3, ["01", "02"], ["a"])


@pytest.mark.parametrize(
    ("protocol", "sequences", "said"),
    [
        ("casia-b", walks(2, ["nm-05"], ["000", "090"]), "no gallery sequences .*nm-01"),
        ("casia-b", walks(2, ["nm-01"], ["000", "090"]), "no probe sequences .*nm-05.*cl-02"),
        ("casia-b", walks(2, TYPES, ["000"]), "different views .*000"),
        ("casia-b", GREW, "their types are 01, 02"),
        ("oumvlp", walks(2, ["00"], ["000", "090"]), "no gallery sequences"),
        ("oumvlp", walks(2, ["01"], ["000", "090"]), "no probe sequences"),
        ("grew", walks(2, ["02"], ["a"]), "no gallery sequences"),
        ("grew", walks(2, ["01"], ["a"]), "no probe sequences"),
        ("gait3d", GREW, "which sequences are probes"),
        ("casia-b", [], "no sequences"),
        ("casia-c", GREW, "no protocol 'casia-c'"),
    ],
)
def test_data_that_do_not_fit_get_a_sentence(protocol: str, sequences: list[Sequence], said: str) -> None:
    with pytest.raises(QgaitError, match=said):
        evaluate(protocol, np.zeros((len(sequences), 2, 3), np.float32), sequences)


def test_gait3d_refusals() -> None:
    e = np.zeros((len(GREW), 2, 3), np.float32)
    for probe_set, said in (
        ({"absent"}, "PROBE_SET"),
        ({s.name for s in GREW}, "all are in the PROBE_SET"),
        ({s.name for s in GREW if s.subject == "001"}, "No probe has a sequence of the same subject"),
    ):
        with pytest.raises(QgaitError, match=said):
            evaluate("gait3d", e, GREW, probe_set=probe_set)


def test_embeddings_that_do_not_fit_get_a_sentence() -> None:
    good = embeddings_of(GREW, 0.1)
    broken = good.copy()
    broken[1, 0, 0] = np.nan
    for e, said in ((good[:-1], "do not belong"), (good[0], "do not belong"), (broken, r"NaN.*001-02-a")):
        with pytest.raises(QgaitError, match=said):
            evaluate("grew", e, GREW)
    with pytest.raises(QgaitError, match="manhattan"):
        evaluate("grew", good, GREW, distance="manhattan")


def test_names_of_protocols() -> None:
    for protocol in PROTOCOLS:
        check_protocol(protocol)
    with pytest.raises(QgaitError) as caught:
        check_protocol("CASIA")
    assert "casia-b, oumvlp, grew, gait3d" in caught.value.fix

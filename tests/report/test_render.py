from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError
from report_facts import PLACES, small_facts, verification

from qgait.report import facts
from qgait.report.render import cost, count, html, percent, plain, real, render, size, speed

VOID = {"meta", "img", "br", "path", "rect"}


class Page(HTMLParser):
    """Text by table class and row, attributes that load something, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self._table = ""
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        self.loaded += [str(given[name]) for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag == "table":
            self._table = str(given["class"]).split()[-1]
            self.tables.setdefault(self._table, [])
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.tables[self._table][-1][-1] += data


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_the_page_needs_nothing_from_outside(name: str) -> None:
    text = html(small_facts(name))
    page = Page(text)
    assert page.loaded and all(value.startswith("data:image/png;base64,") for value in page.loaded)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"https?:|//\w|url\(|@import|/work", re.sub(r"base64,[^\"]+", "", text))


def test_every_figure_of_the_table_is_one_of_the_facts() -> None:
    given = small_facts()
    number = 11.0
    for row in given["table"]:  # figures that occur nowhere else
        number += 1
        row["rank1"] = {"nm": number + 0.1, "bg": number + 0.2, "cl": number + 0.3}
        row["eer"] = number + 0.4
        row["differing"] = int(number * 1001)
        row["frame_ms"], row["instructions_per_frame"] = number / 1000, None
        row["bytes"] = int(number * 1000)
    given["table"][-1]["frame_ms"], given["table"][-1]["instructions_per_frame"] = None, 4_560_000
    rows = Page(html(given)).tables["main"][1:]
    assert len(rows) == len(given["table"])
    for row, cells in zip(given["table"], rows, strict=True):
        rank1 = [f"{row['rank1'][condition]:.1f}" for condition in ("nm", "bg", "cl")]
        measured = [percent(row["eer"]), count(row["differing"]), speed(row), size(row["bytes"])]
        wanted = [f"{row['level']} · {row['runtime']}", *rank1, *measured]
        assert [cell.strip() for cell in cells] == wanted
    assert rows[-1][6] == "4.56 M instr."


def test_what_was_not_measured_is_a_dash() -> None:
    given = small_facts()
    for row in given["table"]:
        row |= dict.fromkeys(("rank1", "eer", "differing", "frame_ms", "instructions_per_frame", "bytes"))
    for cells in Page(html(given)).tables["main"][1:]:
        assert cells[1:] == ["–"] * 7


def test_every_layer_has_a_box_and_a_bar() -> None:
    given = small_facts("gaitbase")
    text = html(given)
    bars = Page(text).tables["bars"][1:]
    assert [cells[0] for cells in bars] == [row["layer"] for row in given["errors"]]
    assert [cells[2:] for cells in bars] == [
        [percent(row["sqnr_db"]), count(row["codes"]), count(row["fake_float32"]), count(row["fake_float64"])]
        for row in given["errors"]
    ]
    found = re.findall(r'<div class="box[^>]*>\s*<p><b>([^<]+)</b>', text)
    assert found == ["silhouette", *(box["name"] for box in given["network"]["boxes"])]


def test_a_broken_promise_is_what_the_page_says_first() -> None:
    given = small_facts()
    assert "It held." in html(given) and "did not hold" not in html(given)
    given["verdict"] = facts.verdict(
        verification(ort=3), given["errors"], ["qgait verify: Not equal: ort."], ["No QEMU."], PLACES
    )
    text = html(given)
    assert "It held." not in text and "max |int difference| = 5" in text
    assert "ort: 3 of 8,680 codes differ, first in gl_add2." in text
    assert "Not equal: ort." in text and "No QEMU." in text


def test_the_heading_claims_no_place_that_took_no_part() -> None:
    given = small_facts()
    assert "<h1>max |int difference| = 0, from PyTorch to arm code under QEMU.</h1>" in html(given)
    given["verdict"]["places"] = ["numpy", "ONNX Runtime"]
    text = html(given)
    assert "<h1>max |int difference| = 0, from PyTorch to ONNX Runtime.</h1>" in text and "board" not in text


def test_every_pair_of_views_has_its_rank_1() -> None:
    rows = Page(html(small_facts())).tables["views"]
    assert rows[:3] == [["probe", "000", "090"], ["000", "99.2", "87.5"], ["090", "–", "98.8"]]
    given = small_facts()
    given["recognition"] |= {"views": None, "conditions": [], "notes": ["No rank-1 by the protocol grew: no types."]}
    text = html(given)
    assert "views" not in Page(text).tables and "No rank-1 by the protocol grew: no types." in text


def test_kernels_have_their_costs_or_the_reason_why_not() -> None:
    given = small_facts()
    assert [cells[-1].strip() for cells in Page(html(given)).tables["kernels"]] == ["instructions", "98,765"]
    given["kernels"][0] |= {"unit": None, "remark": "There is no emulator."}
    given["kernels"][0]["kernels"][0]["cost"] = None
    text = html(given)
    assert Page(text).tables["kernels"][1][-1] == "–" and "There is no emulator." in text


def test_names_cannot_break_out_of_the_page() -> None:
    given = small_facts()
    given["network"]["boxes"][0]["name"] = "<script>alert(1)</script>"
    text = html(given)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "blobs &amp; noise" in text and "&lt;here&gt;" in text


def test_the_file_appears_in_one_move(tmp_path: Path) -> None:
    render(small_facts(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html(small_facts())


def test_facts_that_lack_something_are_refused(tmp_path: Path) -> None:
    given: dict[str, Any] = small_facts()
    del given["network"]["operators"]
    with pytest.raises(UndefinedError, match="operators"):
        render(given, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_numbers_read_well() -> None:
    assert (count(1234567), count(None), percent(91.26)) == ("1,234,567", "–", "91.3")
    assert (size(312_345), size(1_580_000), size(None)) == ("305 KiB", "1.51 MiB", "–")
    assert (cost(98765.4, "instructions"), cost(0.00123, "ms"), cost(None, None)) == ("98,765", "1.23 µs", "–")
    assert (real(0.00392157, 3), real(0.00000123, 3), real(0.0)) == ("0.00392", "1.23e-06", "0")


def test_nested_provenance_is_one_line() -> None:
    assert plain({"rank1": {"nm": 91.23456, "cl": 40.0}, "views": [0, 90], "by": "qgait"}) == (
        "rank1 nm 91.23, cl 40, views 0, 90, by qgait"
    )

"""Amounts of memory: what people may write, and what tables show."""

from __future__ import annotations

import pytest

from qgait.errors import QgaitError
from qgait.targets.memory import amount, kib, share


@pytest.mark.parametrize(("text", "size"), [("65536", 65536), ("512k", 2**19), ("4M", 2**22), (" 1K ", 1024)])
def test_amounts(text: str, size: int) -> None:
    assert amount(text) == size


@pytest.mark.parametrize("text", ["", "0", "4G", "1.5M", "-3k", "much"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(QgaitError, match="no amount of memory"):
        amount(text)


def test_tables_show_kib() -> None:
    assert kib(1536 * 1024) == "1,536 KiB"
    assert share(1_234_567, amount("4M")) == "1,206 KiB of 4,096 KiB"
    assert share(1_234_567, None) == "1,206 KiB"

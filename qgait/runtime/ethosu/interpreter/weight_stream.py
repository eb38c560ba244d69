"""The compressed form of weights: slices of Golomb-Rice codes, bits from the lowest of a byte to its highest.

A slice has at most 2**15 weights, and where it says so the lengths of the runs of zeros between them. A weight is an
index: into a palette, or past it a number of its own. Of an index, a quotient comes as ones and zeros (twelve of them a
chunk, those for 2 told apart by a second group of bits) and the remainder plainly, one chunk later. Lengths of runs are
a second sequence of that kind, which takes turns with the first so that neither gets far ahead. The decoder in Vela's
package ends its process on a damaged stream; this one raises QgaitError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.bit_reader import WINDOW, BitReader
from qgait.runtime.ethosu.interpreter.errors import broken

END, NO_RUNS, PLAIN = 7, 6, 7  # what the divisors of runs and of weights say instead
CHUNK, WIDE_CHUNK = WINDOW, 8  # symbols at once; fewer of plain numbers with more than 5 bits
AHEAD = 8
ONES = [number.bit_count() for number in range(1 << CHUNK)]
Numbers = NDArray[np.int64]


@dataclass
class Palette:
    """What indices stand for: entries, then numbers from ``offset`` on; the lowest bit is the sign."""

    entries: Numbers
    offset: int
    bits: int

    def weights(self, indices: Numbers) -> Numbers:
        """Weights -255..255."""
        count = len(self.entries)
        known = self.entries[np.minimum(indices, count - 1)] if count else indices
        codes = np.where(indices < count, known, indices - count + self.offset)
        return np.where(codes & 1, -(codes >> 1), codes >> 1)


@dataclass
class Sequence:
    """Codes of one kind within a slice: quotients as they come, and where their remainders start."""

    wanted: int
    divisor: int
    symbols: list[int] = field(default_factory=list)  # of every chunk
    starts: list[int] = field(default_factory=list)
    read: int = 0  # codes whose quotient is there
    remainders: int = 0  # codes whose remainder is there

    def take(self, count: int, position: int) -> int:
        """Notes the remainders of a chunk with ``count`` codes at ``position``; gives the position behind them."""
        count = min(count, self.wanted - self.remainders)
        self.symbols.append(count)
        self.starts.append(position)
        self.remainders += count
        return position + count * self.divisor

    def numbers(self, quotients: Numbers, bits: NDArray[np.uint8]) -> Numbers:
        """``quotient * 2**divisor + remainder`` of all codes."""
        counts = np.array(self.symbols, np.int64)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        at = np.repeat(np.array(self.starts, np.int64), counts) + within * self.divisor
        result = quotients[: len(at)] << self.divisor
        for bit in range(self.divisor):
            result = result + (bits[at + bit].astype(np.int64) << bit)
        return result


def decompressed(content: bytes) -> NDArray[np.int16]:
    """All weights of a stream, zeros included."""
    reader = BitReader(content)
    slices: list[NDArray[np.int16]] = []
    palette: Palette | None = None
    while True:
        if reader.position + 3 > reader.length:
            raise broken("has weights that cannot be decompressed: they have no end")
        runs = reader.get(3)
        if runs == END:
            reader.position += -reader.position % 8
            palette = None
            if reader.position == reader.length:
                return np.concatenate(slices or [np.zeros(0, np.int16)])
            continue
        made, palette = _slice(reader, runs, palette)
        slices.append(made)


def _slice(reader: BitReader, runs: int, palette: Palette | None) -> tuple[NDArray[np.int16], Palette]:
    wanted, divisor = reader.get(15) + 1, reader.get(3)
    truncated, new = reader.get(1), reader.get(1)
    if new:
        offset, count, bits = reader.get(5), reader.get(5), reader.get(3) + 2
        entries = [reader.get(bits) for _ in range(count + 1 if count else 0)]
        palette = Palette(np.array(entries, np.int64), offset, bits)
    plain = divisor == PLAIN
    if palette is None or (divisor > 5 and not plain) or runs in (4, 5):
        raise broken("has weights that cannot be decompressed: a slice has an impossible header")
    if plain:
        divisor = (len(palette.entries) - 1).bit_length() if len(palette.entries) else palette.bits
    weights = Sequence(wanted, divisor)
    zeros = Sequence(wanted + new if runs != NO_RUNS else 0, runs if runs != NO_RUNS else 0)
    indices, lengths = _codes(reader, weights, zeros, plain, bool(truncated))
    values = palette.weights(indices)
    if runs == NO_RUNS:
        return values.astype(np.int16), palette
    before = np.cumsum(lengths) if new else np.append(0, np.cumsum(lengths))  # a new palette may follow zeros
    places = np.arange(wanted) + before[:wanted]
    made = np.zeros(wanted + int(lengths.sum()), np.int16)
    made[places] = values
    return made, palette


def _codes(
    reader: BitReader, weights: Sequence, zeros: Sequence, plain: bool, truncated: bool
) -> tuple[Numbers, Numbers]:
    """The indices of a slice's weights and the lengths of its runs of zeros."""
    window, ones = reader.window, ONES
    symbols = WIDE_CHUNK if plain and weights.divisor > 5 else CHUNK
    run_bits = CHUNK if zeros.divisor < 3 else 8
    run_mask, position = (1 << run_bits) - 1, reader.position
    first, second, run_units = [], [], []
    last_weights = last_zeros = 0
    running = True
    while running:
        balance = weights.read - zeros.read if zeros.wanted else 0
        more_weights = balance < AHEAD and weights.read < weights.wanted
        more_zeros = balance >= 0 and zeros.read < zeros.wanted
        now_weights = now_zeros = unit = 0
        if more_weights and not plain:
            unit = window[position]
            position += CHUNK
        if more_zeros:
            units = window[position] & run_mask
            position += run_bits
            run_units.append(units)
            now_zeros = run_bits - ones[units]
            zeros.read += now_zeros
        if more_weights:
            count = ones[unit]
            other = window[position] & (1 << count) - 1
            position += count
            first.append(unit)
            second.append(other)
            now_weights = symbols if truncated else symbols - ones[other]
            weights.read += now_weights
        if last_weights:
            position = weights.take(last_weights, position)
        if last_zeros:
            position = zeros.take(last_zeros, position)
        reader.check(position)
        last_weights, last_zeros = now_weights, now_zeros
        running = more_weights or more_zeros
    reader.position = position
    quotients = _quotients(np.array(first, np.int64), np.array(second, np.int64), symbols, truncated)
    lengths = _unary(np.array(run_units, np.int64), run_bits)
    return weights.numbers(quotients, reader.bits), zeros.numbers(lengths, reader.bits)


def _quotients(first: Numbers, second: Numbers, symbols: int, truncated: bool) -> Numbers:
    """Codes 0, 1 and 2 of every chunk, summed up to the next one below 2 (every one is its own when truncated)."""
    places = np.arange(symbols)
    set_ = first[:, np.newaxis] >> places & 1
    rank = np.maximum(np.cumsum(set_, axis=1) - 1, 0)
    codes = (set_ * (1 + (second[:, np.newaxis] >> rank & 1))).ravel()
    return codes if truncated else _sums(codes, codes < 2)


def _unary(units: Numbers, bits: int) -> Numbers:
    """How many ones come before every zero."""
    ones = (units[:, np.newaxis] >> np.arange(bits) & 1).ravel()
    return _sums(ones, ones == 0)


def _sums(numbers: Numbers, ends: NDArray[np.bool_]) -> Numbers:
    """Sums of neighbours, up to every place where one ends."""
    return np.diff(np.cumsum(numbers)[ends], prepend=0)

"""Model files whose weights have 2 to 7 bits: as many bytes as that takes, the same network again, damage named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from model_edits import Arrays, content_of, edited
from quantized_backbones import quantized
from small_networks import clips, layers

from qgait.calibration.calibrate import calibrate
from qgait.errors import QgaitError
from qgait.models import checkpoint, shipped
from qgait.models.backbone import describe
from qgait.quantizers import model_file
from qgait.quantizers.grid import FirstLast, Recipe
from qgait.quantizers.parameters import weight_layers
from qgait.quantizers.simulated import SimulatedNetwork


def network(bits: int, first_last: FirstLast = "8") -> SimulatedNetwork:
    return calibrate("gaitset", list(layers("gaitset")), clips(2, 4), Recipe(bits, bits, first_last))[0]


@pytest.mark.parametrize("first_last", ["8", "same"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_gives_the_same_integers_again(bits: int, first_last: FirstLast, tmp_path: Path) -> None:
    net = network(bits, first_last)
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    for ours, theirs in zip(weight_layers(net.layers), weight_layers(again.layers), strict=True):
        integers = again.weight_integers(theirs).detach().numpy()
        np.testing.assert_array_equal(integers, net.weight_integers(ours).detach().numpy())
    clip = clips(1)[0]
    np.testing.assert_array_equal(again.embed(clip), net.embed(clip))
    model_file.save(again, tmp_path / "again.safetensors")
    same = [content_of(tmp_path / f"{name}.safetensors")[1] for name in ("m", "again")]
    assert all(np.array_equal(same[0][name], same[1][name]) for name in same[0])


@pytest.mark.parametrize("bits", [4, 8])
def test_how_weights_lie_in_memory_does_not_matter(bits: int, tmp_path: Path) -> None:
    """Folded weights of convolutions over time, and those of a network in channels last, are not in C's order."""
    net = network(bits)
    model_file.save(net, tmp_path / "m.safetensors")
    for weight in net.weights.values():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    model_file.save(net, tmp_path / "last.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "last.safetensors").read_bytes()
    model_file.load(tmp_path / "last.safetensors")


def test_a_shared_weight_has_the_bits_of_the_widest_that_share_it(tmp_path: Path) -> None:
    net = quantized("gaitgl", "w4a4")
    owners = {layer.shares for layer in net.layers if layer.shares}
    assert owners
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    for ours, theirs in zip(net.layers, again.layers, strict=True):
        if ours.weight is not None:
            integers = again.weight_integers(theirs).detach().numpy()
            np.testing.assert_array_equal(integers, net.weight_integers(ours).detach().numpy(), err_msg=ours.name)


@functools.cache
def walkers(bits: int, first_last: FirstLast) -> SimulatedNetwork:
    """The shipped network, which was trained, at other bits."""
    real = describe(checkpoint.load(shipped.checkpoint()))
    return calibrate("gaitset", real, clips(2, 4), Recipe(bits, bits, first_last))[0]


@pytest.mark.parametrize("first_last", ["8", "same"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_bytes_of_weights_are_parameters_times_bits_over_eight(
    bits: int, first_last: FirstLast, tmp_path: Path
) -> None:
    net = walkers(bits, first_last)
    model_file.save(net, tmp_path / "m.safetensors")
    _, arrays = content_of(tmp_path / "m.safetensors")
    found = sum(array.nbytes for name, array in arrays.items() if name.startswith("weight:"))
    counts = {layer.name: layer.weight.numel() for layer in weight_layers(net.layers) if layer.weight is not None}
    wanted = sum(count * net.weight_bits[name] for name, count in counts.items()) / 8
    assert sum(counts.values()) > 160_000 and wanted <= found <= 1.05 * wanted
    assert (tmp_path / "m.safetensors").stat().st_size < found + 60_000, "steps, biases and the JSON"


def test_the_shipped_network_was_calibrated_from_the_shipped_checkpoint() -> None:
    real, net = describe(checkpoint.load(shipped.checkpoint())), model_file.load(shipped.path())
    for ours, theirs in zip(net.layers, real, strict=True):
        if theirs.weight is not None and ours.weight is not None:
            step = net.weight_steps[ours.name].detach()
            room = (step.view(-1, 1, 1, 1) if ours.kind == "conv" else step.unsqueeze(1)) * 0.5001
            inside = ours.weight.abs() < 126.5 * room / 0.5001
            assert ((ours.weight - theirs.weight).abs() <= room)[inside].all()


Damage = Callable[[Arrays], object]


def padded_name(arrays: Arrays) -> str:
    """A packed weight with bits behind its last number: 4 bits of an odd number of weights."""
    return next(name for name, array in sorted(arrays.items()) if array.dtype == np.uint8 and array[-1] < 16)


def last_byte(arrays: Arrays) -> None:
    arrays[padded_name(arrays)][-1] |= 0x80


def first_code(arrays: Arrays) -> None:
    array = arrays[padded_name(arrays)]
    array[0] = (array[0] & 0xF0) | 0x08


DAMAGE: dict[str, tuple[Damage, str]] = {
    "padding": (last_byte, "has bits set behind its last number"),
    "a code beyond the grid": (first_code, "has the code -8, which is not one of -7 to 7"),
    "a byte too few": (lambda a: a.update({padded_name(a): a[padded_name(a)][:-1]}), ", not U8 ["),
    "a byte too many": (lambda a: a.update({padded_name(a): np.append(a[padded_name(a)], np.uint8(0))}), ", not U8 ["),
    "bytes with a sign": (lambda a: a.update({padded_name(a): a[padded_name(a)].view(np.int8)}), "is I8 ["),
    "float weights": (lambda a: a.update({padded_name(a): np.zeros((3, 3, 3, 3), np.float32)}), "is F32 [3, 3, 3, 3]"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_was_not_packed_so_is_refused_by_name(what: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model_file.save(quantized("gaitgl", "w4a4"), path)
    name = padded_name(content_of(path)[1])
    damage, words = DAMAGE[what]
    edited(path, lambda _, arrays: damage(arrays))
    with pytest.raises(QgaitError) as caught:
        model_file.load(path)
    assert words in caught.value.problem and name in caught.value.problem


def test_one_flipped_bit_of_a_packed_weight_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model_file.save(network(3), path)
    content = path.read_bytes()
    place = len(content) - 3  # packed weights come last
    path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    with pytest.raises(QgaitError, match="was altered after it was written"):
        model_file.load(path)


def test_bits_that_are_not_those_of_the_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model_file.save(network(3), path)
    edited(path, lambda description, _: description["weight_bits"].update(set_block2_conv1=5))
    with pytest.raises(QgaitError, match=r"weight:set_block2_conv1 is U8 \[\d+\], not U8 \[\d+\]"):
        model_file.load(path)

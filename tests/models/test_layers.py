from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from example_graphs import silhouettes
from float_models import FORMS, SMALL, interpret, small_model
from torch import nn

from qgait.models.backbone import describe
from qgait.models.embedding import embed_clip
from qgait.models.float_ops import FloatOps
from qgait.models.layers import shapes
from qgait.models.recorder import Recorder
from qgait.models.series import min_frames, repeated, series_of
from qgait.quantizers import traversal
from qgait.quantizers.float_arithmetic import FloatArithmetic

BACKBONES = sorted(SMALL)


def frames(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(silhouettes(count, seed)).float() / 255


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("count", [1, 5, 8])
def test_recorded_layers_compute_what_the_model_computes(name: str, form: dict[str, Any], count: int) -> None:
    model = small_model(name, seed=1, **form).double()
    clip = frames(count).double()
    with torch.no_grad():
        expected = model(clip[None])[0]
    assert expected.std() > 1e-3
    layers = describe(model)
    clip = clip.repeat(repeated(count, model.min_frames) // count, 1, 1)
    torch.testing.assert_close(interpret(layers, clip), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_changed_weight_is_seen_by_that_comparison(name: str) -> None:
    model = small_model(name, seed=1).double()
    layers = describe(model)
    first = next(layer for layer in layers if layer.weight is not None)
    first.weight[:, 0, 1, 1] += 1e-3  # type: ignore[index]
    assert first.weight.data_ptr() != next(model.parameters()).data_ptr()  # type: ignore[union-attr]
    with torch.no_grad():
        expected = model(frames(5).double()[None])[0]
    assert not torch.allclose(interpret(layers, frames(5)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_executor_of_quantization_computes_what_the_model_computes(name: str, form: dict[str, Any]) -> None:
    """In float32, whole and in chunks, for every length from one frame up."""
    model = small_model(name, seed=2, **form)
    layers = describe(model)
    for count in range(1, 9):
        clip = silhouettes(count, count)
        with torch.no_grad():
            expected = model(torch.from_numpy(clip).float()[None] / 255)
            for chunk in (None, 1, 3):
                found = traversal.run(layers, torch.from_numpy(clip)[None], FloatArithmetic(), chunk)
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_shapes_and_lengths_are_those_of_the_tensors(name: str, form: dict[str, Any]) -> None:
    model = small_model(name, **form)
    layers = describe(model)
    sizes = {layer: ((series_of(layers)[layer].length(8),) if layer in series_of(layers) else ()) + shape
             for layer, shape in shapes(layers).items()}  # fmt: skip
    assert model.min_frames == min_frames(layers)
    seen: dict[str, tuple[int, ...]] = {}

    class Watch(FloatOps):
        def __getattribute__(self, method: str):
            call = object.__getattribute__(self, method)
            if method.startswith("_"):
                return call

            def watched(*args, **kwargs):
                y = call(*args, **kwargs)
                names = [a for a in args if isinstance(a, str)]
                seen[names[0]] = tuple(y.shape[1:])
                return y

            return watched

    with torch.no_grad():
        model.run(Watch(), frames(8)[None, :, None])
    assert sizes.pop("silhouette") == (8, 1, 64, 44)
    assert seen == {layer: shape for layer, shape in sizes.items() if not layer.endswith(".window") or layer in seen}
    assert any(layer.endswith(".window") for layer in sizes) == any(layer.kind == "window" for layer in layers)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_batch_of_clips_equals_clips_one_by_one(name: str, form: dict[str, Any]) -> None:
    model = small_model(name, **form)
    batch = torch.stack([frames(3, 1), frames(3, 2)])
    with torch.no_grad():
        together = model(batch)
        alone = torch.cat([model(batch[:1]), model(batch[1:])])
    assert together.shape == (2, *shapes(describe(model))["embedding"])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("at_once", [1, 4, 32])
def test_clips_in_pieces_equal_the_whole_clip(name: str, form: dict[str, Any], at_once: int) -> None:
    model = small_model(name, seed=3, **form)
    clip = silhouettes(9, 5)
    with torch.no_grad():
        whole = model(torch.from_numpy(clip).float()[None] / 255)[0].numpy()
    pieces = embed_clip(model, clip, frames_at_once=at_once)
    assert pieces.dtype == np.float32
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-5)
    assert not np.allclose(embed_clip(model, clip[:4]), whole, rtol=1e-4, atol=1e-5), "later frames must matter"


def test_what_is_no_clip_is_refused() -> None:
    model = small_model("gaitset")
    for bad in (np.zeros((0, 64, 44), np.uint8), np.zeros((64, 44), np.uint8), np.zeros((2, 64, 44), np.float32)):
        with pytest.raises(ValueError, match="a clip is uint8"):
            embed_clip(model, bad)


def test_the_recorder_refuses_what_has_no_integer_form() -> None:
    recorder = Recorder()
    x = recorder.conv("silhouette", "a", nn.Conv2d(1, 4, 3))
    with pytest.raises(ValueError, match="two layers"):
        recorder.conv("silhouette", "a", nn.Conv2d(1, 4, 3))
    with pytest.raises(ValueError, match="grouped"):
        recorder.conv(x, "b", nn.Conv2d(4, 4, 3, groups=2))
    clip = recorder.frame_max(x, "c")
    with pytest.raises(ValueError, match="cannot be joined"):
        recorder.add(x, clip, "d")
    with pytest.raises(ValueError, match="no frames"):
        recorder.frame_max(clip, "e")


def test_a_bias_of_the_convolution_is_folded_too() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    recorder = Recorder()
    recorder.conv("silhouette", "a", conv, norm.eval())
    layer = recorder.layers[0]
    x = torch.rand(1, 2, 5, 5, dtype=torch.float64)
    folded = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(folded, norm.double()(conv.double()(x)))

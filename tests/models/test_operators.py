"""Operators against torch's own layers, computed and recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from float_models import interpret
from torch import Tensor, nn

from qgait.models.float_ops import FloatOps
from qgait.models.layers import shapes
from qgait.models.recorder import Recorder

RUN = Callable[..., object]


def clips(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(*shape, dtype=torch.float64)


def shaken(norm: nn.Module) -> nn.Module:
    for tensor in (norm.running_mean, norm.bias):
        nn.init.normal_(tensor)
    for tensor in (norm.running_var, norm.weight):
        nn.init.uniform_(tensor, 0.5, 2)
    return norm.double().eval()


def frames_in_front(x: Tensor) -> Tensor:
    """Torch's [n, C, s, ...] to [n, s, C, ...]."""
    return x.transpose(1, 2)


def recorded(run: RUN, x: Tensor) -> list[Tensor]:
    """What the layers that ``run`` records compute from frames [n, s, 1, H, W], clip by clip."""
    recorder = Recorder()
    run(recorder, "silhouette")
    return [interpret(recorder.layers, clip[:, 0], whole=True) for clip in x]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
        ((3, 1, 1), (3, 1, 1), (0, 0, 0)),
        ((1, 1, 1), (1, 2, 2), (0, 0, 0)),
        ((5, 3, 2), (2, 2, 1), (2, 1, 0)),
    ],
)
def test_conv3d(kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(1, 4, kernel, stride, padding).double()
    deeper = nn.Conv3d(4, 3, kernel, stride, padding, bias=False).double()
    norms = [shaken(nn.BatchNorm3d(n)) for n in (4, 3)]
    x = clips(2, 11, 1, 12, 11)

    def run(ops: FloatOps, x: Tensor) -> Tensor:
        return ops.conv3d(ops.conv3d(x, "a", conv, norms[0], "relu"), "b", deeper, norms[1], "leaky_relu")

    with torch.no_grad():
        y = norms[0](conv(x.transpose(1, 2))).relu()
        expected = frames_in_front(F.leaky_relu(norms[1](deeper(y))))
        torch.testing.assert_close(run(FloatOps(), x), expected)
    for found, right in zip(recorded(run, x), expected, strict=True):
        torch.testing.assert_close(found, right)


def test_the_channels_of_a_recorded_conv3d_are_frames_side_by_side() -> None:
    conv = nn.Conv3d(4, 5, 3, padding=1, bias=False)
    recorder = Recorder()
    recorder.conv3d(recorder.conv("silhouette", "first", nn.Conv2d(1, 4, 1)), "x", conv)
    window, layer = recorder.layers[1:]
    assert (window.kind, window.name, window.size, window.frames_stride, window.frames_padding) == (
        *("window", "x.window"),
        *(3, 1, 1),
    )
    assert (layer.kind, layer.inputs, layer.padding) == ("conv", ("x.window",), (1, 1, 1, 1))
    assert layer.weight is not None and layer.weight.shape == (5, 12, 3, 3)
    assert torch.equal(layer.weight[2, 2 * 4 + 1], conv.weight[2, 1, 2].double())


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 3, 0), (5, 3, 1), (3, 1, 1)])
def test_window_max(size: int, stride: int, padding: int) -> None:
    def run(ops: FloatOps, x: Tensor) -> Tensor:
        return ops.window_max(x, "a", size, stride, padding)

    for count in (3, 4, 8):
        x = clips(2, count, 1, 4, 3) - 3
        pool = nn.MaxPool3d((size, 1, 1), (stride, 1, 1), (padding, 0, 0))
        expected = frames_in_front(pool(x.transpose(1, 2)))
        torch.testing.assert_close(run(FloatOps(), x), expected)
        for found, right in zip(recorded(run, x), expected, strict=True):
            torch.testing.assert_close(found, right)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_window_pool(size: int, count: int) -> None:
    def run(ops: FloatOps, x: Tensor) -> Tensor:
        return ops.window_pool(x, "a", size)

    x = clips(2, count, 1, 4, 3) - 3
    flat = x.permute(0, 2, 3, 4, 1).flatten(0, 3)[:, None]
    mean, top = F.avg_pool1d(flat, size, 1, size // 2), F.max_pool1d(flat, size, 1, size // 2)
    expected = (mean + top).view(2, 1, 4, 3, count).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(run(FloatOps(), x), expected)
    for found, right in zip(recorded(run, x), expected, strict=True):
        torch.testing.assert_close(found, right)


def test_windows_and_linear_layers_are_convolutions_over_time() -> None:
    torch.manual_seed(0)
    convs = [nn.Conv1d(1, 5, 3, padding=1).double() for _ in range(4)]
    weight = torch.stack([conv.weight.permute(2, 1, 0).flatten(0, 1) for conv in convs])
    bias = torch.stack([conv.bias for conv in convs])
    x = clips(2, 6, 1, 4, 3)

    def run(ops: FloatOps, x: Tensor) -> Tensor:
        parts = ops.strip_pool(x, "strips", (4,), "mean")
        return ops.part_linear(ops.window(parts, "w", 3, 1, 1), "a", weight, bias, activation="sigmoid")

    with torch.no_grad():
        parts = x.mean(-1)[:, :, 0]  # [n, s, P]
        expected = torch.stack([torch.sigmoid(conv(parts[:, None, :, p])) for p, conv in enumerate(convs)], 1)
        expected = expected.permute(0, 3, 1, 2)  # from [n, P, C, s]
        torch.testing.assert_close(run(FloatOps(), x), expected)
        for found, right in zip(recorded(run, x), expected, strict=True):
            torch.testing.assert_close(found, right)


@pytest.mark.parametrize("shared", [True, False])
def test_generalized_means(shared: bool) -> None:
    powers = [nn.Parameter(torch.tensor([p], dtype=torch.float64)) for p in ([6.5] if shared else [2.0, 6.5, 3.0])]
    x = clips(2, 3, 1, 8, 5)

    def run(ops: FloatOps, x: Tensor) -> Tensor:
        return ops.gem_pool(x, "a", (1, 5, 2), powers)

    each = [float(p.detach()) for p in powers] * (3 if shared else 1)
    with torch.no_grad():
        found = run(FloatOps(), x)
        for r, (start, stop) in enumerate(((0, 1), (1, 6), (6, 8))):
            plane = x[:, :, 0, start:stop].clamp(min=1e-6).flatten(2)
            expected = F.lp_pool1d(plane, each[r], plane.shape[2])[..., 0] / plane.shape[2] ** (1 / each[r])
            torch.testing.assert_close(found[:, :, r, 0], expected)
        for one, right in zip(recorded(run, x), found, strict=True):
            torch.testing.assert_close(one, right)


@pytest.mark.parametrize("features", [3, 12])
def test_a_norm_behind_a_linear_layer(features: int) -> None:
    """Shared by the four parts, or with features of their own in a BNNeck's order."""
    torch.manual_seed(0)
    norm = shaken(nn.BatchNorm1d(features))
    weight, bias = torch.randn(4, 1, 3).double(), torch.randn(4, 3).double()
    x = clips(5, 2, 1, 4, 6)

    def run(ops: FloatOps, x: Tensor) -> Tensor:
        return ops.part_linear(ops.strip_pool(ops.frame_max(x, "m"), "s", (4,)), "a", weight, bias, norm)

    top = x.amax(1)[:, 0]
    parts = torch.einsum("npi,pio->npo", (top.mean(2) + top.amax(2))[..., None], weight) + bias
    with torch.no_grad():
        if features == 3:
            expected = norm(parts.transpose(1, 2)).transpose(1, 2)
        else:
            expected = norm(torch.stack([parts[:, p, c] for c in range(3) for p in range(4)], 1))
            expected = torch.stack([expected[:, p::4] for p in range(4)], 1)
        torch.testing.assert_close(run(FloatOps(), x), expected)
    for found, right in zip(recorded(run, x), expected, strict=True):
        torch.testing.assert_close(found[0], right)


def test_products_slices_and_joins() -> None:
    gates = torch.eye(1).double()[None]

    def run(ops: FloatOps, x: Tensor) -> Tensor:
        gate = ops.part_linear(ops.strip_pool(x, "mean", (1,), "mean"), "gate", gates, activation="sigmoid")
        top, rest = ops.row_slice(x, "top", 0, 3), ops.row_slice(x, "rest", 3, 8)
        joined = ops.concat([ops.multiply(rest, gate, "gated"), top], "joined")
        return ops.multiply(joined, x, "squared")

    x = clips(2, 3, 1, 8, 5)
    gate = torch.sigmoid(x.mean((3, 4), keepdim=True))
    expected = torch.cat([x[..., 3:, :] * gate, x[..., :3, :]], -2) * x
    torch.testing.assert_close(run(FloatOps(), x), expected)
    for found, right in zip(recorded(run, x), expected, strict=True):
        torch.testing.assert_close(found, right)


def test_one_module_called_twice_is_one_set_of_weights() -> None:
    recorder, conv = Recorder(), nn.Conv2d(1, 4, 3, padding=1)
    for name in ("a", "b"):
        recorder.conv(recorder.row_slice("silhouette", f"{name}_rows", 0, 8), name, conv)
    recorder.conv("silhouette", "c", nn.Conv2d(1, 4, 3, padding=1))
    first, second, other = (layer for layer in recorder.layers if layer.kind == "conv")
    assert (first.shares, second.shares, other.shares) == ("", "a", "")
    assert second.weight is first.weight and second.bias is first.bias


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda ops, x: ops.row_slice(x, "a", 60, 65), "a: rows 60 to 65 are not in a map of 64 rows"),
        (lambda ops, x: ops.gem_pool(x, "a", (32, 31), [torch.ones(1)]), r"a: regions of \(32, 31\) rows do not fill"),
        (lambda ops, x: ops.window(ops.frame_max(x, "m"), "a", 3), "a: 'm' has no frames"),
        (lambda ops, x: ops.multiply(x, ops.frame_max(x, "m"), "a"), "cannot be joined"),
    ],
)
def test_what_does_not_fit_is_refused(run: RUN, sentence: str) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match=sentence):
        run(recorder, "silhouette")
        shapes(recorder.layers)

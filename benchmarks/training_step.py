"""Forward and backward of quantized training beside those of the same network in float, on one processor core.

    python benchmarks/training_step.py [--model gaitbase] [--bits w4a4]

Random weights, 24 clips of 8 random frames (GaitBase: 8 clips), a mean square as the loss; no data, no optimizer.
Prints the processor seconds of a step, the best of several, in float32 and with bfloat16 convolutions (float: automatic
mixed precision), and each quantized step over the float step of the same precision.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from qgait.calibration.calibrate import calibrate
from qgait.models.backbone import describe
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.quantizers.surrogates import ClipLearning, ElementWiseScaling, Soft, Surrogates

SIZES = {"gaitset": ((16, 32, 64), 128, 24), "gaitbase": ((16, 32, 64, 128), 64, 8)}
SURROGATES = {
    "straight-through": Surrogates(),
    "soft, k = 4": Surrogates(Soft(4), Soft(4)),
    "EWGS": Surrogates(ElementWiseScaling(1), ElementWiseScaling(1)),
    "PACT": Surrogates(activations=ClipLearning()),
}


def main() -> None:
    """Reads the command line and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gaitset", choices=list(SIZES))
    parser.add_argument("--bits", default="w4a4")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    channels, embedding, clips = SIZES[options.model]
    model = build(options.model, channels=channels, embedding=embedding).eval()
    frames = (torch.rand(clips, 8, 64, 44) < 0.3).to(torch.uint8) * 255
    network, _ = calibrate(
        options.model,
        describe(model),
        [clip.repeat(2, 1, 1).numpy() for clip in frames[:3]],
        Recipe.parse(options.bits),
    )
    model.train().to(memory_format=torch.channels_last)

    def of_float(dtype: torch.dtype) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return model(frames.float() / 255)

    def of_levels(dtype: torch.dtype) -> Tensor:
        return network(frames, dtype) * network.embedding_step().float()[:, None]

    print(f"{options.model} {channels}, {clips} clips of 8 frames, {options.bits}, processor seconds a step")
    print(f"{'':18}{'float32':>9}{'':8}{'bfloat16':>9}")
    dtypes = (torch.float32, torch.bfloat16)
    plain = [_seconds(lambda dtype=dtype: of_float(dtype), model, options.times) for dtype in dtypes]  # type: ignore[misc]
    print(f"{'float':18}{plain[0]:9.3f}{'':8}{plain[1]:9.3f}")
    for name, surrogates in SURROGATES.items():
        network.surrogates = surrogates
        taken = [_seconds(lambda dtype=dtype: of_levels(dtype), network, options.times) for dtype in dtypes]  # type: ignore[misc]
        ratios = [t / p for t, p in zip(taken, plain, strict=True)]
        print(f"{name:18}{taken[0]:9.3f} ({ratios[0]:.2f}) {taken[1]:9.3f} ({ratios[1]:.2f})")


def _seconds(forward: Callable[[], Tensor], network: torch.nn.Module, times: int) -> float:
    best = float("inf")
    for _ in range(times + 1):
        network.zero_grad(set_to_none=True)
        start = time.process_time()
        forward().float().square().mean().backward()
        best = min(best, time.process_time() - start)
    return best


if __name__ == "__main__":
    main()

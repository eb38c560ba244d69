"""The four calls of libgait.so from Python's standard library, without qgait.

python ctypes_embedding.py BUNDLE FRAMES

FRAMES is a file of raw silhouettes, one after the other, such as BUNDLE/selftest/clip0.frames; the embedding's codes
(int8, part after part) go to standard output. Sizes are those that gait.h has as GAIT_FRAME_BYTES and so on.
"""

import ctypes
import json
import sys
from pathlib import Path


def main(bundle: Path, frames: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    height, width = manifest["input"]["shape"]
    parts, channels = manifest["output"]["shape"]

    gait = ctypes.CDLL(str((bundle / "libgait.so").absolute()))
    gait.gait_arena_size.restype = ctypes.c_size_t
    gait.gait_reset.argtypes = [ctypes.c_void_p]
    gait.gait_reset.restype = None
    gait.gait_push.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    gait.gait_embedding.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    arena = ctypes.create_string_buffer(gait.gait_arena_size())  # all the memory that it ever uses
    gait.gait_reset(arena)
    pixels = frames.read_bytes()
    for start in range(0, len(pixels), height * width):
        if gait.gait_push(arena, pixels[start : start + height * width]) != 0:
            sys.exit("gait_push failed.")
    codes = (ctypes.c_int8 * (parts * channels))()
    if gait.gait_embedding(arena, codes) != 0:
        sys.exit("gait_embedding failed: no frame was pushed.")
    sys.stdout.buffer.write(bytes(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Pushes silhouettes into a bundle one at a time, as a camera gives them, and says how far walkers are from the first.

python push_frames.py BUNDLE WALK.npy...

A walk is uint8 [frames, height, width], one person in each frame, 255 on 0, of any size. Needs qgait and numpy.
"""

import sys

import numpy as np

import qgait

EVERY = 8  # frames between two embeddings


def main(bundle_folder: str, walks: list[str]) -> None:
    bundle = qgait.open_bundle(bundle_folder)
    stream = bundle.stream()
    first = None
    for walk in walks:
        stream.reset()  # the next walker
        for number, picture in enumerate(np.load(walk), 1):
            try:
                frame = qgait.align([picture])[0]
            except qgait.QgaitError:
                continue  # nobody is in this picture
            stream.push(frame)
            if first is not None and number % EVERY == 0:  # it gets better with every frame
                print(f"{walk}, {number} frames: {qgait.distance(first, stream.embedding(), scale=bundle.scale):.4f}")
        codes = stream.embedding()
        first = codes if first is None else first
        print(f"{walk}: {qgait.distance(first, codes, scale=bundle.scale):.4f} from the first walk")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

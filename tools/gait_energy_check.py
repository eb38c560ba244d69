"""How hard is a data set? Rank-1 of the simplest gait recognition there is, with CASIA-B's protocol.

A sequence is described by its mean silhouette (gait energy image), compared by Euclidean distance. Gallery nm-01 to
nm-04, probes nm-05/06, bg-01/02 and cl-01/02. Same view tells how well bodies and clothes separate people; other views
how much the view matters. The knobs of qgait.data.walkers were set so that synthetic and real people come out alike.

    python tools/gait_energy_check.py CASIA_B_FOLDER WALKERS_FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from qgait.data.pickles import load_arrays
from qgait.data.walkers.dataset import CONDITIONS, VIEWS

PROBES = {"nm": (4, 5), "bg": (6, 7), "cl": (8, 9)}
GALLERY = (0, 1, 2, 3)


def energy_images(root: Path, subjects: list[str]) -> np.ndarray:
    """Mean silhouettes float32 [subjects, conditions, views, 64 * 44] of 0 to 1, NaN where a sequence is missing."""
    out = np.full((len(subjects), len(CONDITIONS), len(VIEWS), 64 * 44), np.nan, np.float32)
    for i, subject in enumerate(subjects):
        for k, condition in enumerate(CONDITIONS):
            for j, view in enumerate(VIEWS):
                file = root / subject / condition / f"{view:03d}" / f"{view:03d}.pkl"
                if file.exists() and len(clip := load_arrays(file)):
                    out[i, k, j] = clip[:, :, 10:54].mean(axis=0).ravel() / 255
    return out


def rank1(images: np.ndarray, probes: tuple[int, ...]) -> np.ndarray:
    """Percent [probe view, gallery view] of probes whose nearest gallery sequence is of the same person."""
    views = images.shape[2]
    out = np.full((views, views), np.nan)
    for a in range(views):
        probe, who = _present(images[:, probes, a])
        for b in range(views):
            gallery, whose = _present(images[:, GALLERY, b])
            if len(probe) and len(gallery):
                distance = (gallery**2).sum(axis=1) - 2 * probe @ gallery.T
                out[a, b] = 100 * (whose[distance.argmin(axis=1)] == who).mean()
    return out


def _present(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    who = np.repeat(np.arange(images.shape[0]), images.shape[1])
    flat = images.reshape(len(who), -1)
    there = ~np.isnan(flat[:, 0])
    return flat[there], who[there]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--people", type=int, default=50, help="how many of the last subjects to use")
    args = parser.parse_args()
    print(f"{'':24s}probe  same view  next view  all other views")
    for folder in args.folders:
        subjects = sorted(p.name for p in folder.iterdir() if p.is_dir())[-args.people :]
        images = energy_images(folder, subjects)
        for name, probes in PROBES.items():
            cells = rank1(images, probes)
            other = ~np.eye(len(VIEWS), dtype=bool)
            row = np.nanmean(np.diag(cells)), np.nanmean(np.diag(cells, 1)), np.nanmean(cells[other])
            print(f"{folder.name[:22]:24s}{name:5s}  {row[0]:9.1f}  {row[1]:9.1f}  {row[2]:15.1f}")


if __name__ == "__main__":
    main()

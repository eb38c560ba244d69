"""Learn how people walk from motion capture and write qgait/data/walkers/gait_statistics.npz.

Input: an npz with xyz_mm int16 [frames, 22, 3] (x, y up, z), start [trials + 1], subject, trial, speed_mps,
straightness, joints and fps, made from the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu). Run once;
the recordings themselves are not part of qgait.

What is learned, for every joint angle of qgait.data.walkers.channels as a Fourier series over the gait cycle:
the mean, its change with speed, the covariance between people, between walks of one person, and the variance from
cycle to cycle; and the mean and covariance of limb proportions and cadence.

    python tools/learn_gait_statistics.py cmu_walk.npz
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from qgait.data.walkers.channels import INDEX, LENGTHS, MIDDLE, NAMES, SIDE, TERMS, fourier_basis, mirror

MIN_STRAIGHTNESS = 0.9  # the rest walk in circles or turn round
MAX_SPEED = 2.2  # m/s; faster trials are runs
MIN_CYCLE, MAX_CYCLE = 0.75, 1.9  # seconds per stride
FACTOR_RANK = 10


def heading_frame(xyz: np.ndarray) -> np.ndarray:
    """Recorded joints [n, 22, 3] mm (y up) -> metres, x forward (the walk's main direction), y left, z up."""
    travel = xyz[-1, 0] - xyz[0, 0]
    angle = np.arctan2(travel[2], travel[0])
    forward = np.array([np.cos(angle), 0.0, np.sin(angle)])
    left = np.cross([0.0, 1.0, 0.0], forward)
    return np.stack([xyz @ forward, xyz @ left, xyz[..., 1]], axis=-1) / 1000.0


def joint_angles(p: dict[str, np.ndarray]) -> np.ndarray:
    """Joint positions by name, each [n, 3] -> angles [n, channels]."""
    n = len(p["pelvis"])
    out = np.zeros((n, len(NAMES)))

    def pitch(d: np.ndarray) -> np.ndarray:
        return np.arctan2(d[:, 0], -d[:, 2])

    def spread(d: np.ndarray, side: int) -> np.ndarray:
        return np.arcsin(np.clip(side * d[:, 1] / np.linalg.norm(d, axis=1), -1, 1))

    hips = (p["l_hip"] + p["r_hip"]) / 2
    for line, a, b in (("pelvis", "l_hip", "r_hip"), ("shoulder", "l_shoulder", "r_shoulder")):
        d = p[a] - p[b]
        out[:, INDEX[line + "_yaw"]] = np.arctan2(-d[:, 0], d[:, 1])
        out[:, INDEX[line + "_list"]] = np.arctan2(d[:, 2], d[:, 1])
    for name, d in (("trunk", p["neck"] - hips), ("head", p["head_top"] - p["neck"])):
        out[:, INDEX[name + "_pitch"]] = np.arctan2(d[:, 0], d[:, 2])
        out[:, INDEX[name + "_roll"]] = np.arctan2(d[:, 1], d[:, 2])
    for side, s, sign in (("left_", "l_", 1), ("right_", "r_", -1)):
        thigh, shank = p[s + "knee"] - p[s + "hip"], p[s + "ankle"] - p[s + "knee"]
        foot = p[s + "toe_end"] - p[s + "ankle"]
        upper, fore = p[s + "elbow"] - p[s + "shoulder"], p[s + "wrist"] - p[s + "elbow"]
        flat = np.hypot(foot[:, 0], foot[:, 1])
        values = {
            "thigh_pitch": pitch(thigh),
            "thigh_spread": spread(thigh, sign),
            "knee": pitch(shank) - pitch(thigh),
            "shank_spread": spread(shank, sign),
            "foot": np.arctan2(flat, -foot[:, 2]) - np.pi / 2 - pitch(shank),
            "toe_out": spread(foot, sign),
            "upper_arm_pitch": pitch(upper),
            "upper_arm_spread": spread(upper, sign),
            "elbow": pitch(fore) - pitch(upper),
            "forearm_spread": spread(fore, sign),
        }
        for name in SIDE:
            out[:, INDEX[side + name]] = np.unwrap(values[name])
    return out


def lengths(p: dict[str, np.ndarray]) -> np.ndarray:
    """Median segment lengths over a trial, left and right averaged, as shares of trunk + thigh + shank."""

    def span(a: str, b: str) -> float:
        return float(np.median(np.linalg.norm(p[a] - p[b], axis=1)))

    def both(a: str, b: str) -> float:
        return (span("l_" + a, "l_" + b) + span("r_" + a, "r_" + b)) / 2

    hips = (p["l_hip"] + p["r_hip"]) / 2
    trunk = float(np.median(np.linalg.norm(p["neck"] - hips, axis=1)))
    thigh, shank = both("hip", "knee"), both("knee", "ankle")
    foot, arm, fore = both("ankle", "toe_end"), both("shoulder", "elbow"), both("elbow", "wrist")
    row = np.array([trunk, thigh, shank, foot, arm, fore, span("l_shoulder", "r_shoulder"), span("l_hip", "r_hip")])
    return row / (trunk + thigh + shank)


def strikes(gap: np.ndarray, fps: int) -> np.ndarray:
    """Times (in frames, refined by a parabola) where the left ankle is furthest ahead of the right one."""
    smooth = np.convolve(np.pad(gap, 2, mode="edge"), [0.1, 0.25, 0.3, 0.25, 0.1], mode="valid")
    level, found = 0.3 * smooth.max(), []
    reach = int(0.3 * fps)
    for i in range(1, len(smooth) - 1):
        near = smooth[max(0, i - reach) : i + reach + 1]
        if smooth[i] >= level and smooth[i] == near.max() and smooth[i] > smooth[i - 1] and smooth[i] >= smooth[i + 1]:
            bend = smooth[i - 1] - 2 * smooth[i] + smooth[i + 1]
            found.append(i + 0.5 * (smooth[i - 1] - smooth[i + 1]) / bend if bend else float(i))
    return np.array(found)


def cycles(p: dict[str, np.ndarray], fps: int) -> tuple[list[np.ndarray], list[float]]:
    """Fourier coefficients [channels, TERMS] of every whole gait cycle, and its length in seconds.

    Cycles from left strike to left strike (phase 0 to 2 pi) and from right to right (pi to 3 pi) both count.
    """
    angles = joint_angles(p)
    gap = p["l_ankle"][:, 0] - p["r_ankle"][:, 0]
    fits, seconds = [], []
    for sign, offset in ((1, 0.0), (-1, np.pi)):
        times = strikes(sign * gap, fps)
        for a, b in pairwise(times):
            if not MIN_CYCLE <= (b - a) / fps <= MAX_CYCLE:
                continue
            frames = np.arange(int(np.ceil(a)), int(np.floor(b)) + 1)
            basis = fourier_basis(offset + 2 * np.pi * (frames - a) / (b - a))
            fits.append(np.linalg.lstsq(basis, angles[frames], rcond=None)[0].T)
            seconds.append((b - a) / fps)
    return fits, seconds


def shrinkage(deviations: np.ndarray, groups: np.ndarray, floor: np.ndarray) -> float:
    """The weight of the diagonal that explains left-out people best.

    Candidates are (1 - w) S + w diag(S); each group is left out once and scored by its Gaussian log-likelihood.
    """
    best, best_score = 0.5, -np.inf
    for w in np.linspace(0.1, 0.95, 18):
        score = 0.0
        for g in np.unique(groups):
            rest, out = deviations[groups != g], deviations[groups == g]
            s = rest.T @ rest / len(rest)
            s = (1 - w) * s + w * np.diag(np.diag(s)) + np.diag(floor)
            _, logdet = np.linalg.slogdet(s)
            score -= 0.5 * (logdet + np.einsum("ni,ni->n", out, np.linalg.solve(s, out.T).T).mean())
        if score > best_score:
            best, best_score = float(w), score
    return best


def factor(covariance: np.ndarray, rank: int) -> np.ndarray:
    """[d, rank] so that factor @ factor.T is the best rank-``rank`` approximation of ``covariance`` [d, d]."""
    values, vectors = np.linalg.eigh(covariance)
    keep = np.argsort(values)[::-1][:rank]
    return vectors[:, keep] * np.sqrt(np.maximum(values[keep], 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recordings", type=Path)
    default = Path(__file__).parents[1] / "qgait/data/walkers/gait_statistics.npz"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    data = np.load(args.recordings)
    fps, names = int(data["fps"]), [str(j) for j in data["joints"]]

    trials: list[dict] = []
    for i, (subject, trial) in enumerate(zip(data["subject"], data["trial"], strict=True)):
        if data["straightness"][i] < MIN_STRAIGHTNESS or data["speed_mps"][i] > MAX_SPEED:
            continue
        xyz = heading_frame(data["xyz_mm"][data["start"][i] : data["start"][i + 1]].astype(np.float64))
        p = {name: xyz[:, j] for j, name in enumerate(names)}
        fits, seconds = cycles(p, fps)
        if not fits:
            continue
        leg = float(np.median(np.linalg.norm(p["l_hip"] - p["l_knee"], axis=1)))
        leg += float(np.median(np.linalg.norm(p["l_knee"] - p["l_ankle"], axis=1)))
        both = np.stack([c for f in fits for c in (f, mirror(f))]).reshape(2 * len(fits), -1)
        # speed in leg lengths a second to the half: the Froude number's root, equal for similar walks of tall and short
        pace = float(data["speed_mps"][i]) / np.sqrt(9.81 * leg)
        trials.append(
            {"subject": str(subject), "trial": str(trial), "pace": pace, "cycles": both, "lengths": lengths(p),
             "cadence": float(np.mean(1 / np.array(seconds))) * np.sqrt(leg / 9.81)}
        )  # fmt: skip
    people = np.array([t["subject"] for t in trials])
    who = np.unique(people)
    pace = np.array([t["pace"] for t in trials])
    means = np.stack([t["cycles"].mean(0) for t in trials])  # mirrored copies included, so exactly symmetric

    # The change with speed: pooled regression inside people, so that slow and fast people do not disturb it.
    inside_pace, inside = pace.copy(), means.copy()
    for s in who:
        inside_pace[people == s] -= pace[people == s].mean()
        inside[people == s] -= means[people == s].mean(0)
    slope = inside_pace @ inside / (inside_pace @ inside_pace)
    pace_by_person = np.array([pace[people == s].mean() for s in who])
    centre = float(pace_by_person.mean())

    # Everyone has one vote, however many trials: subject 35 alone has a third of the recordings.
    at_centre = [t["cycles"] - slope * (t["pace"] - centre) for t in trials]
    person = [np.concatenate([c for c, s in zip(at_centre, people, strict=True) if s == w]) for w in who]
    person_mean = np.stack([c.mean(0) for c in person])
    mean = person_mean.mean(0)
    # Asymmetry of a person is what the mirrored copies hide in their mean: the mean over unmirrored cycles has it.
    real = np.stack([c[0::2].mean(0) for c in person]) - mean
    flipped = np.stack([c[1::2].mean(0) for c in person]) - mean
    deviations = np.concatenate([real, flipped])
    groups = np.concatenate([np.arange(len(who))] * 2)

    walk_dev, cycle_dev = [], []
    for w in who:
        mine = [c for c, s in zip(at_centre, people, strict=True) if s == w]
        centre_of_person = np.concatenate([c[0::2] for c in mine]).mean(0)
        for c in mine:
            if len(mine) > 1:
                share = np.sqrt(len(mine) / (len(mine) - 1) / len(mine))  # one vote a person again
                walk_dev.append((c[0::2].mean(0) - centre_of_person) * share)
            if len(c) > 2:
                cycle_dev.append((c[0::2] - c[0::2].mean(0)).var(0, ddof=1))
    walks = np.stack(walk_dev)
    voters = sum((people == w).sum() > 1 for w in who)
    walk_cov = walks.T @ walks / voters
    both_cov = np.stack([mirror(v.reshape(len(NAMES), TERMS)).ravel() for v in walk_dev])
    walk_cov = (walk_cov + both_cov.T @ both_cov / voters) / 2
    cycle_var = np.mean(cycle_dev, axis=0)
    cycle_var = (cycle_var + mirror_variance(cycle_var)) / 2

    # A person's mean over few walks still holds walk-to-walk variance: take it out of the diagonal.
    per_person = np.array([1 / (people == w).sum() for w in who]).mean()
    between = deviations.T @ deviations / len(who) * len(who) / (len(who) - 1) / 2
    keep = np.clip(1 - per_person * np.diag(walk_cov) / np.maximum(np.diag(between), 1e-12), 0.25, 1.0)
    between = between * np.sqrt(keep[:, None] * keep[None, :])
    weight = shrinkage(deviations * np.sqrt(keep), groups, np.full(deviations.shape[1], 1e-6))

    body = np.log(np.stack([np.mean([t["lengths"] for t in trials if t["subject"] == w], axis=0) for w in who]))
    cadence = np.array([np.mean([t["cadence"] for t in trials if t["subject"] == w]) for w in who])
    # cadence grows with the root of pace: log-log regression over trials inside people
    lc = np.log([t["cadence"] for t in trials])
    lp = np.log(pace)
    for w in who:
        lc[people == w] -= lc[people == w].mean()
        lp[people == w] -= lp[people == w].mean()
    exponent = float(lp @ lc / (lp @ lp))
    cadence_at_centre = np.log(cadence) - exponent * (np.log(pace_by_person) - np.log(centre))

    def f32(a: np.ndarray) -> np.ndarray:
        return np.asarray(a, np.float32)

    np.savez_compressed(
        args.out,
        mean=f32(mean), slope=f32(slope), pace=f32([centre, pace_by_person.std(ddof=1)]),
        between_factor=f32(factor(between, FACTOR_RANK)), between_std=f32(np.sqrt(np.diag(between))),
        between_shrinkage=f32(weight),
        walk_factor=f32(factor(walk_cov, FACTOR_RANK)), walk_std=f32(np.sqrt(np.diag(walk_cov))),
        cycle_std=f32(np.sqrt(cycle_var)),
        cadence=f32([cadence_at_centre.mean(), cadence_at_centre.std(ddof=1), exponent]),
        lengths_mean=f32(body.mean(0)), lengths_std=f32(body.std(0, ddof=1)),
        people=np.array(len(who)), trials=np.array(len(trials)),
        cycles=np.array(sum(len(t["cycles"]) // 2 for t in trials)),
    )  # fmt: skip
    print(f"{len(who)} people, {len(trials)} trials, {sum(len(t['cycles']) // 2 for t in trials)} cycles")
    print(f"pace {centre:.3f} +- {pace_by_person.std(ddof=1):.3f}, shrinkage {weight:.2f}")
    print(f"cadence factor {np.exp(cadence_at_centre.mean()):.3f}, std of log {cadence_at_centre.std(ddof=1):.3f}")
    print(f"cadence exponent {exponent:.2f}")
    for name, m, s in zip(LENGTHS, np.exp(body.mean(0)), body.std(0, ddof=1), strict=True):
        print(f"{name:15s} {m:.3f} +- {100 * s:.1f} %")
    print("middle channels", len(MIDDLE), "->", args.out, args.out.stat().st_size, "bytes")


def mirror_variance(variance: np.ndarray) -> np.ndarray:
    return np.abs(mirror(variance.reshape(len(NAMES), TERMS))).ravel()


if __name__ == "__main__":
    main()

"""How many test images SYSU-MM01 has of each person by each camera: all that its samplers need."""

import numpy as np

from crosslight.evaluation.features import Features

_IDS = """
6 10 17 21 24 25 27 28 31 34 36 37 40 41 42 43 44 45 49 50 51 54 63 69 75 80 81 82 83 84 85 86
87 88 89 90 93 102 104 105 106 108 112 116 117 122 125 129 130 134 138 139 150 152 162 166 167
170 172 176 185 190 192 202 204 207 210 215 223 229 232 237 252 253 257 259 263 266 269 272
273 274 275 282 285 291 300 301 302 303 307 312 315 318 331 333
"""
_COUNTS = {
    1: """
42 34 0 0 0 0 13 17 0 0 0 0 0 0 0 0 0 0 0 0 0 31 28 26 33 0 0 0 0 0 0 0 0 0 0 0 0 19 26 0 0 25
24 0 23 22 29 0 22 21 21 23 27 26 16 0 31 37 38 0 26 13 0 20 21 23 0 22 27 29 23 27 28 22 20
23 29 22 20 21 23 27 0 20 15 17 21 25 25 0 24 32 31 24 20 0
""",
    2: """
29 30 0 0 0 0 40 18 0 0 0 0 0 0 0 0 0 0 0 0 0 23 30 38 36 0 0 0 0 0 0 0 0 0 0 0 0 31 26 0 0 28
31 0 24 26 21 0 20 31 24 28 27 27 21 0 30 29 29 0 24 31 0 28 25 30 0 30 33 32 26 26 25 21 27
26 27 31 29 27 35 28 0 26 29 25 26 26 32 0 27 33 29 36 18 0
""",
    3: """
20 20 20 0 20 20 0 20 20 20 20 20 20 20 20 20 20 20 20 20 21 21 26 20 21 20 20 22 22 21 23 21
21 21 22 21 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20 20 20 20 0 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20
""",
    4: """
20 20 20 20 20 21 21 20 20 20 20 20 20 20 20 20 20 21 23 21 23 21 27 22 20 20 22 20 21 22 22
20 22 26 22 21 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20 20 20 20 20 20 20 0 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 0
""",
    5: """
20 20 20 20 21 22 21 20 0 20 20 20 20 20 20 20 20 20 20 20 20 21 21 20 20 21 20 21 20 21 20 20
22 24 22 21 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20
""",
    6: """
20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
20 20 20
""",
}


def image_counts() -> dict[tuple[int, int], int]:
    """(camera, person) → number of test images, without the pairs that have none."""
    ids = [int(pid) for pid in _IDS.split()]
    return {
        (cam, pid): int(count)
        for cam, counts in _COUNTS.items()
        for pid, count in zip(ids, counts.split(), strict=True)
        if int(count)
    }


def sysu_test_set(
    *, dimensions: int = 4, seed: int = 0, people: int | None = None, shuffled: bool = True
) -> Features:
    """Random features with the cameras, people and file names of the real test set."""
    kept = sorted({pid for _, pid in image_counts()})[:people]
    rows = [
        (cam, pid, k + 1)
        for (cam, pid), count in image_counts().items()
        if pid in kept
        for k in range(count)
    ]
    generator = np.random.default_rng(seed)
    if shuffled:
        rows = [rows[i] for i in generator.permutation(len(rows))]
    cams = np.array([cam for cam, _, _ in rows])
    return Features(
        feats=generator.normal(size=(len(rows), dimensions)),
        pids=np.array([pid for _, pid, _ in rows]),
        cams=cams,
        modality=np.isin(cams, (3, 6)).astype(np.uint8),
        paths=np.array([f"cam{cam}/{pid:04d}/{k:04d}.jpg" for cam, pid, k in rows]),
    )

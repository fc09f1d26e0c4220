"""Which way the visible points of a figure face: out of the body, and bent by the folds of cloth.

Sums have a stated order: the same machine gives the same bits, and pictures stay as they are.
"""

import numpy as np

from crosslight.data.promenade.arrays import Floats, compiled

_TINY = np.float32(1e-9)
_AWAY = np.float32(-0.15)


@compiled
def orient(values: Floats, camera: Floats) -> tuple[Floats, Floats]:
    """Unit normals that do not point away from the camera, and unit directions towards it.

    Args:
        values: `(n, 6)` or more columns, float32: normals and positions.
        camera: `(3,)` float32, where the camera hangs.

    Returns:
        `(n, 3)` and `(n, 3)`, float32.
    """
    count = values.shape[0]
    normals, towards = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    for row in range(count):
        nx, ny, nz = values[row, 0], values[row, 1], values[row, 2]
        length = np.sqrt(nx * nx + ny * ny + nz * nz) + _TINY
        nx, ny, nz = nx / length, ny / length, nz / length
        cx = camera[0] - values[row, 3]
        cy = camera[1] - values[row, 4]
        cz = camera[2] - values[row, 5]
        length = np.sqrt(cx * cx + cy * cy + cz * cz) + _TINY
        cx, cy, cz = cx / length, cy / length, cz / length
        if nx * cx + ny * cy + nz * cz < _AWAY:
            nx, ny, nz = -nx, -ny, -nz
        normals[row, 0], normals[row, 1], normals[row, 2] = nx, ny, nz
        towards[row, 0], towards[row, 1], towards[row, 2] = cx, cy, cz
    return normals, towards


@compiled
def bend(
    normals: Floats, towards: Floats, folds: Floats, strength: Floats
) -> tuple[Floats, Floats]:
    """Normals bent by folds, and how squarely they face the camera.

    Args:
        normals: `(n, 3)` float32, unit vectors.
        towards: `(n, 3)` float32, unit vectors towards the camera.
        folds: `(n, 3)` float32, see `fold_slopes`.
        strength: `(n,)` float32.

    Returns:
        `(n, 3)` and `(n,)` from 0 to 1, float64.
    """
    count = normals.shape[0]
    bent, facing = np.empty((count, 3)), np.empty(count)
    for row in range(count):
        nx, ny, nz = (
            np.float64(normals[row, 0]),
            np.float64(normals[row, 1]),
            np.float64(normals[row, 2]),
        )
        # Sideways around a standing body, and up along it.
        sx, sy = -ny, nx
        length = np.sqrt(sx * sx + sy * sy) + 1e-9
        sx, sy = sx / length, sy / length
        ux, uy, uz = -(nz * sy), nz * sx, nx * sy - ny * sx
        across = np.float64(np.float32(1.2) * folds[row, 1])
        along = np.float64(folds[row, 2])
        power = np.float64(strength[row])
        bx = nx + power * (across * sx + along * ux)
        by = ny + power * (across * sy + along * uy)
        bz = nz + power * (along * uz)
        length = np.sqrt(bx * bx + bz * bz + by * by) + 1e-9
        bx, by, bz = bx / length, by / length, bz / length
        bent[row, 0], bent[row, 1], bent[row, 2] = bx, by, bz
        square = bx * towards[row, 0] + bz * towards[row, 2] + by * towards[row, 1]
        facing[row] = min(max(square, 0.0), 1.0)
    return bent, facing

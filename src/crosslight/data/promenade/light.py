"""How bodies darken themselves and the ground: capsules stand in for the figure."""

import numpy as np

from crosslight.data.promenade.arrays import Bools, Floats, compiled


@compiled
def ambient_occlusion(
    positions: Floats, normals: Floats, capsules: Floats, wanted: Bools | None = None
) -> Floats:
    """How much of the sky each point sees, `(n,)` in [0, 1].

    Args:
        positions: `(n, 3)` metres, z = 0 is the ground.
        normals: `(n, 3)`.
        capsules: `(c, 7)` both ends of the axis and the radius.
        wanted: `(n,)` which points are looked at; the others are 0.
    """
    out = np.zeros(positions.shape[0], np.float32)
    for i in range(positions.shape[0]):
        if wanted is not None and not wanted[i]:
            continue
        lift = min(max(0.55 + 0.9 * positions[i, 2], 0.0), 1.0)
        light = np.sqrt(lift) * (0.62 + 0.19 * (1 + normals[i, 2]))
        for j in range(capsules.shape[0]):
            length = 0.0
            along = 0.0
            for axis in range(3):
                step = capsules[j, 3 + axis] - capsules[j, axis]
                length += step * step
                along += (positions[i, axis] - capsules[j, axis]) * step
            along = min(max(along / length, 0.0), 1.0)
            square = 0.0
            facing = 0.0
            for axis in range(3):
                step = capsules[j, 3 + axis] - capsules[j, axis]
                towards = capsules[j, axis] + along * step - positions[i, axis]
                square += towards * towards
                facing += towards * normals[i, axis]
            if facing <= 0:
                continue
            distance = np.sqrt(square) + 1e-6
            facing = min(facing / distance, 1.0)
            size = min(capsules[j, 6] / distance, 1.0)
            light *= 1 - 0.85 * facing * size * size
        out[i] = light
    return out


@compiled
def sun_visibility(
    positions: Floats,
    normals: Floats,
    sun: Floats,
    capsules: Floats,
    wanted: Bools | None = None,
) -> Floats:
    """How much of the sun each point sees, `(n,)` in [0, 1], with soft edges.

    Args:
        positions: `(n, 3)` metres.
        normals: `(n, 3)`; zero for the ground.
        sun: `(3,)` unit vector towards the sun.
        capsules: As in `ambient_occlusion`.
        wanted: As in `ambient_occlusion`.
    """
    out = np.zeros(positions.shape[0], np.float32)
    for i in range(positions.shape[0]):
        if wanted is not None and not wanted[i]:
            continue
        light = 1.0
        for j in range(capsules.shape[0]):
            length = 0.0
            step_sun = 0.0
            from_step = 0.0
            from_sun = 0.0
            for axis in range(3):
                step = capsules[j, 3 + axis] - capsules[j, axis]
                offset = positions[i, axis] + 0.05 * normals[i, axis] - capsules[j, axis]
                length += step * step
                step_sun += step * sun[axis]
                from_step += offset * step
                from_sun += offset * sun[axis]
            # The closest approach between the ray to the sun and the axis of the capsule.
            along = (from_step - from_sun * step_sun) / (length - step_sun * step_sun + 1e-9)
            along = min(max(along, 0.0), 1.0)
            reach = along * step_sun - from_sun
            if reach <= 0.8 * capsules[j, 6]:
                continue
            square = 0.0
            for axis in range(3):
                step = capsules[j, 3 + axis] - capsules[j, axis]
                offset = positions[i, axis] + 0.05 * normals[i, axis] - capsules[j, axis]
                gap = offset + reach * sun[axis] - along * step
                square += gap * gap
            shade = (np.sqrt(square) - 0.75 * capsules[j, 6]) / 0.05
            light = min(light, min(max(shade, 0.0), 1.0))
        out[i] = light
    return out

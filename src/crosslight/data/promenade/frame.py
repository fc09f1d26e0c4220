"""The box that a detector cuts out around a person, and the rays through it."""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Floats, compiled, rotation
from crosslight.data.promenade.cameras import Camera
from crosslight.data.promenade.factors import View
from crosslight.data.promenade.mesh import Mesh

_USUAL_ASPECT = 0.47
"""Width over height of a walking person's box; boxes cut tight would make everybody stocky."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A crop in the image plane of a camera, in units of its focal length."""

    camera: Camera
    centre: tuple[float, float]
    width: float
    height: float

    def project(self, positions: Floats, columns: int, rows: int) -> tuple[Floats, Floats]:
        """World points `(n, 3)` as pixels `(n, 2)` and depths `(n,)` in metres."""
        local = (positions - self.camera.position) @ self.camera.axes.T
        depth = np.maximum(local[:, 2], 1e-3)
        x = (local[:, 0] / depth - self.centre[0]) / self.width + 0.5
        y = (local[:, 1] / depth - self.centre[1]) / self.height + 0.5
        return np.stack([x * columns, y * rows], axis=1), local[:, 2]

    def rays(self, columns: int, rows: int) -> Floats:
        """World directions through the pixels `(rows * columns, 3)`, one metre forwards each."""
        x = ((np.arange(columns) + 0.5) / columns - 0.5) * self.width + self.centre[0]
        y = ((np.arange(rows) + 0.5) / rows - 0.5) * self.height + self.centre[1]
        local = np.ones((rows, columns, 3))
        local[..., 0], local[..., 1] = x[None], y[:, None]
        rays: Floats = local.reshape(-1, 3) @ self.camera.axes
        return rays


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A figure standing in the world."""

    mesh: Mesh
    positions: Floats
    normals: Floats
    capsules: Floats


def place_actor(mesh: Mesh, x: float, y: float, yaw: float) -> Actor:
    """Puts a figure on the ground, turned by `yaw` from facing the camera."""
    turn, offset = rotation("z", yaw + np.pi).T, np.array([x, y, 0.0])
    ends = mesh.capsules[:, :6].reshape(-1, 3) @ turn + offset
    return Actor(
        mesh=mesh,
        positions=mesh.positions @ turn + offset,
        normals=mesh.normals @ turn,
        capsules=np.concatenate([ends.reshape(-1, 6), mesh.capsules[:, 6:]], axis=1),
    )


@compiled
def _bounds(local: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest of x / z and y / z."""
    low, high = np.empty(2), np.empty(2)
    low[:], high[:] = np.inf, -np.inf
    for row in range(local.shape[0]):
        for axis in range(2):
            place = local[row, axis] / local[row, 2]
            low[axis], high[axis] = min(low[axis], place), max(high[axis], place)
    return low, high


def frame_actor(actor: Actor, camera: Camera, view: View) -> Frame:
    """The detector's box around an actor, with the view's jitter."""
    local = (actor.positions - camera.position) @ camera.axes.T
    low, high = _bounds(local)
    height = (high[1] - low[1]) * 1.06
    width = 0.5 * (high[0] - low[0]) * 1.15 + 0.5 * _USUAL_ASPECT * height
    centre = (low + high) / 2
    return Frame(
        camera=camera,
        centre=(
            float(centre[0] + view.crop_x * 0.6 * height),
            float(centre[1] + view.crop_y * height),
        ),
        width=float(width * view.crop_scale * view.crop_aspect),
        height=float(height * view.crop_scale),
    )

"""Which triangle is seen in which pixel: an exact z-buffer."""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled
from crosslight.data.promenade.mesh import Mesh

NEAREST = 0.1
"""Metres in front of the camera below which nothing is drawn."""


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """The `k` pixels in which a mesh is seen.

    Attributes:
        pixels: `(k,)` numbers, row by row.
        corners: `(k, 3)` the vertices of the triangle seen there.
        weights: `(k, 3)` barycentric weights, corrected for perspective.
        depth: `(k,)` metres along the optical axis.
    """

    pixels: Integers
    corners: Integers
    weights: Floats
    depth: Floats

    def interpolate(self, attributes: Floats) -> Floats:
        """Vertex attributes `(n, a)` in the pixels: `(k, a)`."""
        return _interpolate(self.corners, self.weights, np.ascontiguousarray(attributes))


@compiled
def _scan(
    screen: Floats, depth: Floats, faces: Integers, width: int, nearness: Floats
) -> tuple[Integers, Floats]:
    """Draws front faces; `nearness` holds 1/depth of what is there and is updated."""
    height = nearness.shape[0] // width
    seen = np.full(nearness.shape[0], -1, np.int32)
    weights = np.empty((nearness.shape[0], 2), np.float32)
    near_of = np.empty(len(depth))
    for vertex in range(len(depth)):
        near_of[vertex] = 1 / depth[vertex]
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if depth[a] < NEAREST or depth[b] < NEAREST or depth[c] < NEAREST:
            continue
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0] - ax, screen[b, 1] - ay
        cx, cy = screen[c, 0] - ax, screen[c, 1] - ay
        area = bx * cy - by * cx
        if area > -1e-6:
            continue
        left = max(int(np.ceil(ax + min(0.0, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(ax + max(0.0, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(ay + min(0.0, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(ay + max(0.0, by, cy) - 0.5)), height - 1)
        near_a, near_b, near_c = near_of[a], near_of[b], near_of[c]
        for row in range(top, bottom + 1):
            y = row + 0.5 - ay
            for column in range(left, right + 1):
                x = column + 0.5 - ax
                beside_b, beside_c = x * cy - y * cx, y * bx - x * by
                if beside_b > 0 or beside_c > 0:  # the area is negative
                    continue
                second, third = beside_b / area, beside_c / area
                if second + third > 1:
                    continue
                near = near_a * (1 - second - third) + near_b * second + near_c * third
                pixel = row * width + column
                if near > nearness[pixel]:
                    nearness[pixel] = near
                    seen[pixel] = face
                    weights[pixel, 0] = near_b * second / near
                    weights[pixel, 1] = near_c * third / near
    return seen, weights


@compiled
def _interpolate(corners: Integers, weights: Floats, attributes: Floats) -> Floats:
    out = np.empty((corners.shape[0], attributes.shape[1]), np.float32)
    for row in range(corners.shape[0]):
        a, b, c = corners[row, 0], corners[row, 1], corners[row, 2]
        first, second, third = weights[row, 0], weights[row, 1], weights[row, 2]
        for column in range(attributes.shape[1]):
            out[row, column] = (
                attributes[a, column] * first
                + attributes[b, column] * second
                + attributes[c, column] * third
            )
    return out


@compiled
def _gather(
    seen: Integers, weights: Floats, faces: Integers, nearness: Floats
) -> tuple[Integers, Integers, Floats, Floats]:
    """The fragments of `_scan`, in pixel order."""
    count = 0
    for pixel in range(seen.shape[0]):
        count += seen[pixel] >= 0
    one = np.float32(1)
    pixels, depth = np.empty(count, np.int64), np.empty(count, np.float32)
    corners, shares = np.empty((count, 3), np.int32), np.empty((count, 3), np.float32)
    row = 0
    for pixel in range(seen.shape[0]):
        face = seen[pixel]
        if face < 0:
            continue
        pixels[row] = pixel
        depth[row] = one / nearness[pixel]
        for corner in range(3):
            corners[row, corner] = faces[face, corner]
        shares[row, 0] = one - weights[pixel, 0] - weights[pixel, 1]
        shares[row, 1], shares[row, 2] = weights[pixel, 0], weights[pixel, 1]
        row += 1
    return pixels, corners, shares, depth


def rasterize(mesh: Mesh, screen: Floats, depth: Floats, width: int, nearness: Floats) -> Fragments:
    """Finds the pixels in which a mesh is nearer than everything before.

    Args:
        mesh: The mesh.
        screen: `(n, 2)` vertices in pixels, x to the right and y down.
        depth: `(n,)` metres along the optical axis.
        width: Pixels of a row.
        nearness: `(height * width,)` 1/depth of what has been drawn; updated.

    Returns:
        The fragments, in pixel order.
    """
    seen, weights = _scan(
        screen.astype(np.float64), depth.astype(np.float64), mesh.faces, width, nearness
    )
    pixels, corners, shares, distance = _gather(seen, weights, mesh.faces, nearness)
    return Fragments(pixels=pixels, corners=corners, weights=shares, depth=distance)

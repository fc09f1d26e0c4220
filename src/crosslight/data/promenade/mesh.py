"""Triangle meshes made of lofted tubes: elliptic rings along a path."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled, evenly
from crosslight.data.promenade.factors import Slot

_MAX_VERTICES = 16_384
_NO_BULGE = np.zeros((1, 1))
_X_AXIS = np.array([[1.0, 0.0, 0.0]])


class Part(IntEnum):
    """What a piece of surface is, where painting depends on it."""

    GENERIC = 0
    HEAD = 1
    TORSO = 2
    SLEEVE = 3
    LEG = 4
    FOOT = 5
    SKIRT = 6
    HAND = 7
    PELVIS = 8


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A figure: `n` vertices, `m` triangles, `c` capsules that stand in for it in shadows.

    Attributes:
        positions: `(n, 3)` metres; x to the right, y forwards, z up.
        normals: `(n, 3)` unit vectors outwards.
        surface: `(n, 4)`: turns around the tube, metres along it, its circumference, heat.
        slots: `(n,)` the `Slot` of the material.
        parts: `(n,)` the `Part`.
        faces: `(m, 3)` vertex numbers, counter-clockwise from outside.
        capsules: `(c, 7)`: both ends of the axis and the radius.
    """

    positions: Floats
    normals: Floats
    surface: Floats
    slots: Integers
    parts: Integers
    faces: Integers
    capsules: Floats


@compiled
def _frames(centres: Floats, axis_x: Floats, axis_y: Floats) -> tuple[Floats, Floats]:
    """The side and the forward axis of each ring, `(k, 3)` each."""
    rings = centres.shape[0]
    frame_x, frame_y = np.empty((rings, 3)), np.empty((rings, 3))
    tangent = np.empty((rings, 3))
    upwards = 0.0
    for i in range(rings):
        before, after = max(i - 1, 0), min(i + 1, rings - 1)
        for axis in range(3):
            tangent[i, axis] = centres[after, axis] - centres[before, axis]
            frame_x[i, axis] = axis_x[i % axis_x.shape[0], axis]
        upwards += tangent[i, 2]
    # One sign for the whole tube: flipping ring by ring would twist a raised forearm.
    sign = -1.0 if upwards < 0 else 1.0
    for i in range(rings):
        if axis_y.shape[0] > 0:
            for axis in range(3):
                frame_y[i, axis] = axis_y[i % axis_y.shape[0], axis]
        else:
            tx, ty, tz = tangent[i, 0], tangent[i, 1], tangent[i, 2]
            fx, fy, fz = frame_x[i, 0], frame_x[i, 1], frame_x[i, 2]
            yx, yy, yz = ty * fz - tz * fy, tz * fx - tx * fz, tx * fy - ty * fx
            scale = sign / (np.sqrt(yx * yx + yy * yy + yz * yz) + 1e-9)
            frame_y[i, 0], frame_y[i, 1], frame_y[i, 2] = yx * scale, yy * scale, yz * scale
    return frame_x, frame_y


@compiled
def _outline(sides: int, exponent: float) -> tuple[Floats, Floats]:
    """The corners of a ring of size one: sideways and forwards, `(sides + 1,)` each."""
    sine, cosine = np.empty(sides + 1), np.empty(sides + 1)
    for j in range(sides + 1):
        angle = 2 * np.pi * j / sides
        sine[j], cosine[j] = np.sin(angle), -np.cos(angle)
        if exponent != 2.0:
            sine[j] = np.sign(sine[j]) * np.abs(sine[j]) ** (2 / exponent)
            cosine[j] = np.sign(cosine[j]) * np.abs(cosine[j]) ** (2 / exponent)
    return sine, cosine


@compiled
def _rings(
    centres: Floats,
    half_width: Floats,
    front: Floats,
    back: Floats,
    frames: tuple[Floats, Floats],
    outline: tuple[Floats, Floats],
    bulge: Floats,
    positions: Floats,
) -> Floats:
    """The corners of all rings, `(k, sides + 1, 3)`; also as rows of `positions`."""
    (frame_x, frame_y), (sine, cosine) = frames, outline
    points = np.empty((len(centres), len(sine), 3))
    for i in range(len(centres)):
        for j in range(len(sine)):
            swell = 1 + bulge[i % bulge.shape[0], j % bulge.shape[1]]
            side = half_width[i] * sine[j] * swell
            depth = (front[i] if cosine[j] > 0 else back[i]) * cosine[j] * swell
            for axis in range(3):
                place = centres[i, axis] + side * frame_x[i, axis] + depth * frame_y[i, axis]
                points[i, j, axis] = place
                positions[i * len(sine) + j, axis] = place
    return points


@compiled
def _girth(half_width: Floats, front: Floats, back: Floats) -> float:
    """The circumference of the mean ring."""
    mean_area = 0.0
    for i in range(len(half_width)):
        mean_area += half_width[i] * (front[i] + back[i]) / 2 / len(half_width)
    girth: float = 2 * np.pi * np.sqrt(max(mean_area, 0.0))
    return girth


@compiled
def _coordinates(
    centres: Floats,
    along: Floats,
    along_start: float,
    heat: Floats,
    girth: float,
    surface: Floats,
) -> None:
    """Fills `(k * (sides + 1), 4)`: turns, metres along, circumference, heat."""
    rings = len(centres)
    columns = len(surface) // rings
    distance = along_start
    for i in range(rings):
        if i > 0:
            step = 0.0
            for axis in range(3):
                step += (centres[i, axis] - centres[i - 1, axis]) ** 2
            distance += np.sqrt(step)
        for j in range(columns):
            vertex = i * columns + j
            surface[vertex, 0] = j / (columns - 1)
            surface[vertex, 1] = distance if along.shape[0] == 0 else along[i]
            surface[vertex, 2] = girth
            surface[vertex, 3] = heat[i % heat.shape[0]]


@compiled
def _normals(points: Floats, centres: Floats, normals: Floats) -> bool:
    """Fills in unit normals outwards; whether they had to be turned round."""
    rings, columns = points.shape[0], points.shape[1]
    sides = columns - 1
    outwards = 0.0
    for i in range(rings):
        above, below = min(i + 1, rings - 1), max(i - 1, 0)
        for j in range(columns):
            right = j + 1 if j < sides else 1
            left = j - 1 if j > 0 else sides - 1
            ux = points[i, right, 0] - points[i, left, 0]
            uy = points[i, right, 1] - points[i, left, 1]
            uz = points[i, right, 2] - points[i, left, 2]
            vx = points[above, j, 0] - points[below, j, 0]
            vy = points[above, j, 1] - points[below, j, 1]
            vz = points[above, j, 2] - points[below, j, 2]
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            scale = 1 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            vertex = i * columns + j
            normals[vertex, 0] = nx * scale
            normals[vertex, 1] = ny * scale
            normals[vertex, 2] = nz * scale
            for axis in range(3):
                outwards += normals[vertex, axis] * (points[i, j, axis] - centres[i, axis])
    flipped: bool = outwards < 0
    if flipped:
        for vertex in range(rings * columns):
            for axis in range(3):
                normals[vertex, axis] = -normals[vertex, axis]
    return flipped


@compiled
def _triangles(
    faces: Integers,
    first: int,
    rings: int,
    sides: int,
    flipped: bool,  # compiled
) -> None:
    """Fills in the triangles between rings, counter-clockwise from outside."""
    face = 0
    for i in range(rings - 1):
        for j in range(sides):
            corner = first + i * (sides + 1) + j
            second, third = corner + 1, corner + sides + 1
            fourth = third + 1
            if flipped:
                second, third = third, second
            faces[face, 0], faces[face, 1], faces[face, 2] = corner, second, third
            faces[face + 1, 0], faces[face + 1, 1], faces[face + 1, 2] = second, fourth, third
            face += 2


@compiled
def _loft(
    centres: Floats,
    half_width: Floats,
    front: Floats,
    back: Floats,
    axis_x: Floats,
    axis_y: Floats,
    sides: int,
    exponent: float,
    bulge: Floats,
    along: Floats,
    along_start: float,
    heat: Floats,
    first: int,
    positions: Floats,
    normals: Floats,
    surface: Floats,
    faces: Integers,
    first_face: int,
) -> None:
    rings, last = len(centres), first + len(centres) * (sides + 1)
    frames = _frames(centres, axis_x, axis_y)
    outline = _outline(sides, exponent)
    points = _rings(centres, half_width, front, back, frames, outline, bulge, positions[first:last])
    flipped = _normals(points, centres, normals[first:last])
    girth = _girth(half_width, front, back)
    _coordinates(centres, along, along_start, heat, girth, surface[first:last])
    _triangles(faces[first_face:], first, rings, sides, flipped)


class MeshBuilder:
    """Collects tubes into one mesh."""

    def __init__(self) -> None:
        self._positions = np.empty((_MAX_VERTICES, 3), np.float32)
        self._normals = np.empty((_MAX_VERTICES, 3), np.float32)
        self._surface = np.empty((_MAX_VERTICES, 4), np.float32)
        self._slots = np.empty(_MAX_VERTICES, np.uint8)
        self._parts = np.empty(_MAX_VERTICES, np.uint8)
        self._faces = np.empty((2 * _MAX_VERTICES, 3), np.int32)
        self._vertices = 0
        self._triangles = 0

    def loft(
        self,
        centres: Floats,
        half_width: Floats | float,
        front: Floats | float,
        back: Floats | float | None = None,
        *,
        slot: Slot,
        heat: Floats | float,
        part: Part = Part.GENERIC,
        axis_x: Floats | None = None,
        axis_y: Floats | None = None,
        sides: int = 20,
        exponent: float = 2.0,
        along: Floats | None = None,
        along_start: float = 0.0,
        bulge: Floats | None = None,
    ) -> None:
        """Adds a tube of rings around `centres`.

        Args:
            centres: `(k, 3)` the path.
            half_width: Half width of the rings along `axis_x`; one for all or `(k,)`.
            front: Half depth forwards (turn 0.5), likewise.
            back: Half depth backwards (turn 0), `front` unless given.
            slot: The material.
            heat: Heat at the surface of the body, 0 (surroundings) to 1 (bare skin).
            part: What it is, for painting.
            axis_x: `(3,)` or `(k, 3)` the side axis, the x axis unless given.
            axis_y: The forward axis; square to path and side axis unless given.
            sides: Corners of a ring.
            exponent: 2 for ellipses, more for boxes with rounded corners.
            along: `(k,)` the coordinate along the tube, metres of path unless given.
            along_start: Where the metres start.
            bulge: Relative swelling, broadcast to `(k, sides + 1)`.
        """
        rings = len(centres)
        vertices, triangles = rings * (sides + 1), 2 * (rings - 1) * sides
        if self._vertices + vertices > _MAX_VERTICES:
            raise ValueError(f"a figure has room for {_MAX_VERTICES} vertices")
        _loft(
            np.ascontiguousarray(centres, np.float64),
            _per_ring(half_width, rings),
            _per_ring(front, rings),
            _per_ring(front if back is None else back, rings),
            _X_AXIS if axis_x is None else _rows(axis_x),
            np.empty((0, 3)) if axis_y is None else _rows(axis_y),
            sides,
            exponent,
            _NO_BULGE if bulge is None else np.ascontiguousarray(bulge, np.float64),
            np.empty(0) if along is None else np.ascontiguousarray(along, np.float64),
            along_start,
            _per_ring(heat, rings),
            self._vertices,
            self._positions,
            self._normals,
            self._surface,
            self._faces,
            self._triangles,
        )
        self._slots[self._vertices : self._vertices + vertices] = slot
        self._parts[self._vertices : self._vertices + vertices] = part
        self._vertices += vertices
        self._triangles += triangles

    def ball(
        self,
        centre: Floats,
        radii: tuple[float, float, float],
        *,
        slot: Slot,
        heat: float,
        axes: Floats | None = None,
        part: Part = Part.GENERIC,
        rings: int = 9,
        sides: int = 20,
        exponent: float = 2.0,
    ) -> None:
        """Adds an ellipsoid, or a box with rounded corners for exponents above 2.

        Args:
            centre: `(3,)`.
            radii: Half sizes along the axes.
            slot: The material.
            heat: As in `loft`.
            axes: `(3, 3)` the axes as rows, those of the world unless given.
            part: As in `loft`.
            rings: Number of rings.
            sides: Corners of a ring.
            exponent: As in `loft`.
        """
        frame = np.eye(3) if axes is None else axes
        level = evenly(-1, 1, rings) * 0.997
        girth = np.sqrt(1 - level**2) if exponent == 2.0 else (1 - level**6) ** (1 / 6)
        self.loft(
            centre + (level * radii[2])[:, None] * frame[2],
            radii[0] * girth,
            radii[1] * girth,
            slot=slot,
            heat=heat,
            part=part,
            axis_x=frame[0],
            axis_y=frame[1],
            sides=sides,
            exponent=exponent,
        )

    def build(self, capsules: Floats) -> Mesh:
        """The mesh of everything added so far."""
        return Mesh(
            positions=self._positions[: self._vertices],
            normals=self._normals[: self._vertices],
            surface=self._surface[: self._vertices],
            slots=self._slots[: self._vertices],
            parts=self._parts[: self._vertices],
            faces=self._faces[: self._triangles],
            capsules=capsules,
        )


def _per_ring(value: Floats | float, rings: int) -> Floats:
    if isinstance(value, np.ndarray) and value.shape == (rings,):
        return np.ascontiguousarray(value, np.float64)
    return np.full(rings, value, np.float64)


def _rows(axis: Floats) -> Floats:
    return np.ascontiguousarray(np.atleast_2d(axis), np.float64)

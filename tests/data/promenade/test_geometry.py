"""The figure, the z-buffer and the noise, against slow and obvious versions."""

import numpy as np
import pytest
from PIL import Image

from crosslight.data.promenade import Spectrum, World
from crosslight.data.promenade.factors import Slot
from crosslight.data.promenade.figure import build_figure
from crosslight.data.promenade.light import ambient_occlusion, sun_visibility
from crosslight.data.promenade.mesh import Mesh, MeshBuilder, Part
from crosslight.data.promenade.noise import fold_slopes, folds, texture
from crosslight.data.promenade.normals import bend, orient
from crosslight.data.promenade.raster import rasterize
from crosslight.data.promenade.resampling import resize

LEG_HEAT = 0.9


def triangles(corners: np.ndarray) -> Mesh:
    """A mesh of loose triangles, `(t, 3, 3)`."""
    count = len(corners) * 3
    return Mesh(
        positions=corners.reshape(-1, 3).astype(np.float32),
        normals=np.zeros((count, 3), np.float32),
        surface=np.zeros((count, 4), np.float32),
        slots=np.zeros(count, np.uint8),
        parts=np.zeros(count, np.uint8),
        faces=np.arange(count, dtype=np.int32).reshape(-1, 3),
        capsules=np.zeros((0, 7)),
    )


def slow_raster(
    screen: np.ndarray, depth: np.ndarray, faces: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel, the nearest front face whose triangle holds the pixel's centre."""
    seen, nearest = np.full(height * width, -1), np.full(height * width, np.inf)
    for pixel in range(height * width):
        point = np.array([pixel % width + 0.5, pixel // width + 0.5])
        for number, face in enumerate(faces):
            a, b, c = screen[face].astype(float)
            matrix = np.stack([b - a, c - a], axis=1)
            if np.linalg.det(matrix) > -1e-6:
                continue
            second, third = np.linalg.solve(matrix, point - a)
            if second < 0 or third < 0 or second + third > 1:
                continue
            inverse = 1 / depth[face].astype(float)
            here = 1 / (inverse @ [1 - second - third, second, third])
            if here < nearest[pixel]:
                nearest[pixel], seen[pixel] = here, number
    return seen, nearest


def test_raster_agrees_with_the_slow_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        mesh = triangles(np.zeros((12, 3, 3)))
        screen = rng.uniform(-4, 20, (36, 2))
        depth = rng.uniform(1, 9, 36)
        seen, nearest = slow_raster(screen, depth, mesh.faces, 16, 14)
        fragments = rasterize(mesh, screen, depth, 16, np.zeros(16 * 14, np.float32))
        np.testing.assert_array_equal(fragments.pixels, np.flatnonzero(seen >= 0))
        np.testing.assert_array_equal(fragments.corners, mesh.faces[seen[fragments.pixels]])
        np.testing.assert_allclose(fragments.depth, nearest[fragments.pixels], rtol=1e-5)
        np.testing.assert_allclose(fragments.weights.sum(1), 1, rtol=1e-5)
        depths = fragments.interpolate(depth[:, None].astype(np.float32))[:, 0]
        np.testing.assert_allclose(depths, fragments.depth, rtol=1e-4)


def test_what_is_nearer_already_hides_the_mesh() -> None:
    mesh = triangles(np.zeros((1, 3, 3)))
    screen, depth = np.array([[0.0, 0.0], [0.0, 8.0], [8.0, 0.0]]), np.full(3, 4.0)
    nearness = np.full(64, 1 / 5, np.float32)
    nearness[:8] = 1 / 3
    fragments = rasterize(mesh, screen, depth, 8, nearness)
    assert len(fragments.pixels)
    assert fragments.pixels.min() >= 8
    behind_camera = rasterize(mesh, screen, np.array([4.0, 4.0, -1.0]), 8, np.zeros(64, np.float32))
    assert not len(behind_camera.pixels)


def test_a_ball_has_unit_normals_that_point_outwards() -> None:
    builder = MeshBuilder()
    centre = np.array([1.0, -2.0, 0.5])
    builder.ball(centre, (0.3, 0.4, 0.5), slot=Slot.BAG, heat=0.1, part=Part.GENERIC)
    mesh = builder.build(np.zeros((0, 7)))
    outwards = (mesh.positions - centre) / np.array([0.3, 0.4, 0.5]) ** 2
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-4)
    assert np.einsum("ij,ij->i", mesh.normals, outwards).min() > 0.8
    a, b, c = (mesh.positions[mesh.faces[:, corner]] for corner in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - centre) > 0).all()


def test_mesh_refuses_to_overflow() -> None:
    builder = MeshBuilder()
    path = np.zeros((500, 3))
    with pytest.raises(ValueError, match="room for"):
        builder.loft(path, 1.0, 1.0, slot=Slot.SKIN, heat=1.0, sides=100)


@pytest.mark.parametrize("pid", range(1, 13))
def test_people_stand_on_the_ground_at_their_height(pid: int) -> None:
    world = World(2, 20)
    person, shot = world.person(pid), world.shot(pid, 1, 0, Spectrum.VISIBLE)
    mesh = build_figure(person.body, person.cut, shot.pose)
    low, high = mesh.positions[:, 2].min(), mesh.positions[:, 2].max()
    assert -0.06 < low < 0.05
    assert 0.82 * person.body.height < high < 1.16 * person.body.height
    assert np.isfinite(mesh.positions).all()
    assert np.isfinite(mesh.normals).all()
    assert mesh.faces.max() < len(mesh.positions)


@pytest.mark.parametrize("lower", ["skirt", "longskirt"])
def test_thighs_stay_inside_a_skirt(lower: str) -> None:
    """Knees above the hem are nearer to the middle than the cloth in the same direction."""
    world = World(2, 400)
    people = [world.person(pid) for pid in range(1, 401)]
    wearers = [person for person in people if person.cut.lower == lower][:8]
    assert wearers
    for person in wearers:
        pose = world.shot(person.pid, 1, 0, Spectrum.VISIBLE).pose
        mesh = build_figure(person.body, person.cut, pose)
        cloth = mesh.positions[mesh.parts == Part.SKIRT]
        bare_leg = (mesh.slots == Slot.SKIN) & np.isclose(mesh.surface[:, 3], LEG_HEAT)
        skin = mesh.positions[bare_leg]
        hem, top = cloth[:, 2].min() + 0.03, cloth[:, 2].max() - 0.15
        legs = skin[(skin[:, 2] > hem) & (skin[:, 2] < top)]
        escaped = 0
        for point in legs:
            ring = cloth[np.abs(cloth[:, 2] - point[2]) < 0.06]
            middle = (ring.max(0) + ring.min(0))[:2] / 2
            direction = point[:2] - middle
            reach = ((ring[:, :2] - middle) @ direction).max()
            escaped += direction @ direction > reach * 1.02
        assert escaped <= 0.02 * max(len(legs), 1)


def test_folds_bend_normals_as_the_formula_says() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(200, 6)).astype(np.float32)
    eye = np.array([0.2, -0.4, 2.5], np.float32)
    normals, towards = orient(values, eye)
    expected = values[:, :3] / np.linalg.norm(values[:, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(normals), np.abs(expected), rtol=1e-5)
    view = (eye - values[:, 3:]) / np.linalg.norm(eye - values[:, 3:], axis=1, keepdims=True)
    np.testing.assert_allclose(towards, view, rtol=1e-4, atol=1e-6)
    assert (np.einsum("ij,ij->i", normals, towards) >= -0.1501).all()
    folding, strength = (rng.normal(size=shape).astype(np.float32) for shape in ((200, 3), 200))
    bent, facing = bend(normals, towards, folding, strength)
    side = np.cross([0.0, 0.0, 1.0], normals)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    slopes = 1.2 * folding[:, 1:2] * side + folding[:, 2:] * np.cross(normals, side)
    slow = normals + strength[:, None] * slopes
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    np.testing.assert_allclose(bent, slow, rtol=1e-4, atol=1e-5)
    seen = np.clip(np.einsum("ij,ij->i", slow, view), 0, 1)
    np.testing.assert_allclose(facing, seen, rtol=1e-4, atol=1e-5)


def test_slopes_of_folds_are_differences_of_folds() -> None:
    rng = np.random.default_rng(5)
    across, along = rng.uniform(-3, 3, 500).astype(np.float32), rng.uniform(-3, 3, 500)
    found = fold_slopes(across, along)
    depth = folds(across, along)
    np.testing.assert_array_equal(found[:, 0], depth)
    np.testing.assert_array_equal(found[:, 1], folds(across + np.float32(0.012), along) - depth)
    np.testing.assert_array_equal(found[:, 2], folds(across, along + 0.012) - depth)


@pytest.mark.parametrize("size", [(31, 17), (7, 40), (64, 32), (13, 9)])
@pytest.mark.parametrize("wanted", [(31, 17), (40, 23), (12, 6), (24, 12)])
def test_resizing_is_that_of_pillow(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    light = np.random.default_rng(6).uniform(0, 3, (*size, 3)).astype(np.float32)
    method = Image.Resampling.BOX if wanted[0] < size[0] else Image.Resampling.BILINEAR
    channels = [
        np.asarray(Image.fromarray(light[..., channel]).resize(wanted[::-1], method))
        for channel in range(3)
    ]
    np.testing.assert_allclose(resize(light, *wanted), np.stack(channels, axis=-1), rtol=1e-6)


def test_noise_is_periodic_and_normalised() -> None:
    rng = np.random.default_rng(1)
    across, along = rng.uniform(-3, 3, 4000), rng.uniform(-3, 3, 4000)
    for noise in (texture, folds):
        value = noise(across, along)
        np.testing.assert_allclose(noise(across + 2, along - 1), value, atol=1e-3)
        assert abs(value.mean()) < 0.15
        assert 0.7 < value.std() < 1.2


def test_a_capsule_darkens_what_it_touches_and_shades() -> None:
    capsule = np.array([[0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.2]])
    points = np.array([[0.25, 0.0, 1.5], [3.0, 0.0, 1.5]])
    towards = np.array([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    near, far = ambient_occlusion(points, towards, capsule)
    assert near < 0.6 * far
    sun = np.array([-1.0, 0.0, 0.0])
    shaded = np.array([[1.0, 0.0, 1.5], [1.0, 2.0, 1.5], [-1.0, 0.0, 1.5]])
    light = sun_visibility(shaded, np.zeros((3, 3)), sun, capsule)
    np.testing.assert_allclose(light, [0, 1, 1])

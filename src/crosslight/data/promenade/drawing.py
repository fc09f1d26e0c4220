"""Draws a person: structure and look in, picture out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from crosslight.data.promenade.arrays import Bools, Floats, Integers, Pixels, compiled
from crosslight.data.promenade.cameras import CAMERAS, Camera
from crosslight.data.promenade.factors import (
    NOBODY,
    Look,
    Person,
    Spectrum,
    Structure,
    View,
)
from crosslight.data.promenade.figure import build_figure
from crosslight.data.promenade.frame import Actor, Frame, frame_actor, place_actor
from crosslight.data.promenade.obstacles import cover, draw_obstacle
from crosslight.data.promenade.raster import rasterize
from crosslight.data.promenade.resampling import resize
from crosslight.data.promenade.sampling import draw_pose
from crosslight.data.promenade.scene import trace_backdrop
from crosslight.data.promenade.sensor import expose
from crosslight.data.promenade.shading import (
    CHANNELS,
    Wearer,
    shade_actor,
    shade_backdrop,
    shade_obstacle,
)
from crosslight.errors import ConfigError

SMALLEST_SIDE = 16
LARGEST_SIDE = 2048
SUPERSAMPLING = 1.25
_SCENE_STREAM, _NOISE_STREAM = 0, 1


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image `(H, W, 3)` and where the person is seen in it, `(H, W)`."""

    image: Pixels
    mask: Bools


@dataclass
class _Canvas:
    """The picture so far: light per pixel, 1/depth, and who is in front."""

    light: Floats
    nearness: Floats
    mask: Bools
    columns: int
    rows: int


def check_size(height: int, width: int) -> None:
    """Refuses sizes that cannot be drawn.

    Raises:
        ConfigError: A side is below 16 or above 2048 pixels.
    """
    for name, side in (("height", height), ("width", width)):
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise ConfigError(
                f"the {name} of {side} pixels is outside {SMALLEST_SIDE}..{LARGEST_SIDE}: "
                f"give another --{name}, for example --height 256 --width 128."
            )


def render(
    structure: Structure,
    look: Look,
    spectrum: Spectrum,
    height: int,
    width: int,
    *,
    crowd: Callable[[int], Person] | None = None,
    cameras: Mapping[int, Camera] = CAMERAS,
) -> Pixels:
    """Draws a person.

    Args:
        structure: Body, cut, pose and view.
        look: What everything is made of; any look fits any structure.
        spectrum: In which light.
        height: Rows of the image.
        width: Columns of the image.
        crowd: Gives the people that a view mentions by number; without it the street is empty.
        cameras: The cameras of the world by number.

    Returns:
        `(height, width, 3)`; infrared has three equal channels.

    Raises:
        ConfigError: The size cannot be drawn.
    """
    return render_with_mask(
        structure, look, spectrum, height, width, crowd=crowd, cameras=cameras
    ).image


def render_with_mask(
    structure: Structure,
    look: Look,
    spectrum: Spectrum,
    height: int,
    width: int,
    *,
    crowd: Callable[[int], Person] | None = None,
    cameras: Mapping[int, Camera] = CAMERAS,
    grain: int = 0,
) -> Picture:
    """Draws a person and says where it can be seen.

    Arguments as in `render`; another `grain` is other noise of the sensor on the same light.
    """
    check_size(height, width)
    view = structure.view
    mesh = build_figure(structure.body, structure.cut, structure.pose)
    actor = place_actor(mesh, view.x, view.y, view.yaw)
    frame = frame_actor(actor, cameras[view.camera], view)
    rows, columns = int(height * SUPERSAMPLING), int(width * SUPERSAMPLING)
    canvas = _draw_backdrop(frame, view, spectrum, actor, rows, columns)
    rng = np.random.default_rng([view.seed, _SCENE_STREAM])
    obstacle = draw_obstacle(rng, view)
    for somebody, wearer in _others(rng, view, crowd):
        _draw_actor(canvas, frame, somebody, wearer, view, spectrum, shadowed=False)
    wearer = Wearer(body=structure.body, cut=structure.cut, pose=structure.pose, look=look)
    _draw_actor(canvas, frame, actor, wearer, view, spectrum, shadowed=True)
    if obstacle:
        rays = frame.rays(columns, rows)
        for hidden in cover(obstacle, view, frame.camera.position, rays):
            nearer = 1 / hidden.depth > canvas.nearness[hidden.pixels]
            pixels = hidden.pixels[nearer]
            spots = hidden.grain[nearer]
            canvas.light[pixels] = shade_obstacle(hidden.box, spots, frame.camera, spectrum)
            canvas.mask[pixels] = False
            canvas.nearness[pixels] = 1 / hidden.depth[nearer]
    image = expose(
        canvas.light.reshape(rows, columns, -1),
        frame.camera,
        view,
        spectrum,
        np.random.default_rng([view.seed, _NOISE_STREAM, *([grain] if grain else [])]),
        height,
        width,
    )
    mask = Image.fromarray(canvas.mask.reshape(rows, columns))
    seen = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
    return Picture(image=image, mask=seen)


def _draw_backdrop(
    frame: Frame, view: View, spectrum: Spectrum, actor: Actor, rows: int, columns: int
) -> _Canvas:
    """The place, at half resolution: it is out of focus."""
    camera: Camera = frame.camera
    low_rows, low_columns = rows // 2, columns // 2
    rays = frame.rays(low_columns, low_rows)
    backdrop = trace_backdrop(camera, rays)
    light = shade_backdrop(backdrop, camera, view, rays, spectrum, actor.capsules)
    size = (columns, rows)
    full = resize(light.reshape(low_rows, low_columns, CHANNELS[spectrum]), rows, columns)
    nearness = Image.fromarray(
        (1 / backdrop.depth).astype(np.float32).reshape(low_rows, low_columns)
    )
    return _Canvas(
        light=full.reshape(rows * columns, -1),
        nearness=np.array(nearness.resize(size, Image.Resampling.NEAREST)).ravel(),
        mask=np.zeros(rows * columns, bool),
        columns=columns,
        rows=rows,
    )


def _others(
    rng: np.random.Generator, view: View, crowd: Callable[[int], Person] | None
) -> list[tuple[Actor, Wearer]]:
    """The bystander behind and the passer-by in front, if the view has them."""
    places = (
        (
            view.bystander,
            view.x + rng.uniform(-0.55, 0.55),
            view.y + rng.uniform(1.2, 4.0),
            rng.uniform(-np.pi, np.pi),
        ),
        (
            view.passer,
            view.x * (view.y - 0.9) / view.y + (-1, 1)[rng.integers(2)] * rng.uniform(0.30, 0.45),
            view.y - 0.9,
            rng.uniform(-np.pi, np.pi),
        ),
    )
    others = []
    for number, x, y, yaw in places:
        if number == NOBODY or crowd is None:
            continue
        person = crowd(number)
        pose = draw_pose(rng, person.body, person.cut)
        wearer = Wearer(body=person.body, cut=person.cut, pose=pose, look=person.look)
        actor = place_actor(build_figure(person.body, person.cut, pose), x, y, yaw)
        others.append((actor, wearer))
    return others


def _draw_actor(
    canvas: _Canvas,
    frame: Frame,
    actor: Actor,
    wearer: Wearer,
    view: View,
    spectrum: Spectrum,
    *,
    shadowed: bool,
) -> None:
    screen, depth = frame.project(actor.positions, canvas.columns, canvas.rows)
    fragments = rasterize(actor.mesh, screen, depth, canvas.columns, canvas.nearness)
    if not len(fragments.pixels):
        return
    colour = shade_actor(actor, wearer, fragments, frame.camera, view, spectrum, shadowed=shadowed)
    _lay(canvas.light, canvas.mask, fragments.pixels, colour, shadowed)


@compiled
def _lay(
    light: Floats,
    mask: Bools,
    pixels: Integers,
    colour: Floats,
    masked: bool,  # compiled
) -> None:
    for row in range(len(pixels)):
        for channel in range(light.shape[1]):
            light[pixels[row], channel] = colour[row, channel]
        mask[pixels[row]] = masked

"""What the camera makes of the light: exposure, blur, resolution, noise, tone curve, JPEG."""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from crosslight.data.promenade.arrays import Floats, Pixels, compiled
from crosslight.data.promenade.cameras import Camera
from crosslight.data.promenade.factors import Spectrum, View
from crosslight.data.promenade.resampling import resize

_BLUR_HEIGHT = 256
"""Blur is given in pixels of an image of this height."""
_THERMAL_NOISE = 0.02
_THERMAL_BLUR = 1.7
_THERMAL_RESOLUTION = 0.5


def _thermal_gain(light: Floats, view: View) -> Floats:
    """Automatic gain. Channel 1, with a neutral look, sets it: clothes must not change the rest."""
    low, high = np.percentile(light[..., 1], (2, 99.5))
    level = np.clip((light[..., :1] - low + 0.03) / (high - low + 0.03), 0, 1)
    gained: Floats = level**1.05 * (0.85 + 0.12 * view.exposure)
    return gained


def _exposed(light: Floats, camera: Camera, view: View, spectrum: Spectrum) -> Floats:
    if spectrum == Spectrum.VISIBLE:
        tint = np.array([view.tint_red, view.tint_green, view.tint_blue])
        tint = (np.array(camera.day.tint) * tint).astype(np.float32)
        return _tinted(light, tint, np.float32(view.exposure))
    exposed: Floats = light * _vignette(*light.shape[:2]) * view.exposure * 1.15
    return exposed


@compiled
def _tinted(light: Floats, tint: Floats, exposure: np.float32) -> Floats:
    out = np.empty_like(light)
    for row in range(light.shape[0]):
        for column in range(light.shape[1]):
            for channel in range(3):
                tinted = light[row, column, channel] * tint[channel]
                out[row, column, channel] = tinted * exposure * np.float32(1.15)
    return out


@cache
def _vignette(rows: int, columns: int) -> Floats:
    """The lamp lights the corners less, `(rows, columns, 1)`."""
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    vignette: Floats = (1 - 0.15 * (x * x + y * y))[..., None]
    return vignette


@compiled
def _shoulder(light: Floats) -> tuple[Floats, Floats]:
    """Light `(n,)` with a soft shoulder, and the same kept off zero."""
    level, positive = np.empty_like(light), np.empty_like(light)
    one = np.float32(1)
    for index in range(len(light)):
        value = max(light[index], np.float32(0))
        value = value * (one + value * np.float32(0.12)) / (one + value * np.float32(0.55))
        level[index] = value * np.float32(1.25)
        positive[index] = max(level[index], np.float32(1e-6))
    return level, positive


@compiled
def _curve(level: Floats, power: Floats) -> Floats:
    """The sRGB curve, where `power` is the level to its exponent."""
    out = np.empty_like(level)
    for index in range(len(level)):
        if level[index] <= np.float32(0.0031308):
            out[index] = np.float32(12.92) * level[index]
        else:
            out[index] = np.float32(1.055) * power[index] - np.float32(0.055)
    return out


def _tone(light: Floats) -> Floats:
    """A soft shoulder, then the sRGB curve."""
    level, positive = _shoulder(light.ravel())
    return _curve(level, positive ** np.float32(1 / 2.4)).reshape(light.shape)


@compiled
def _grainy(level: Floats, noise: np.float32, grain: Floats) -> Floats:
    """Shot noise grows with the light, read noise does not: a draw of their joint variance."""
    out = np.empty_like(level)
    for index in range(len(level)):
        lit = min(max(level[index], np.float32(0.02)), np.float32(2))
        spread = np.sqrt(np.float32(0.49) * lit + np.float32(0.1225))
        out[index] = level[index] + noise * spread * grain[index]
    return out


def _smeared(image: Image.Image, view: View) -> Image.Image:
    side = min(view.motion, 1.0) - 0.3
    weights = np.zeros((5, 5))
    weights[2] = np.interp(np.arange(5), [0, 2, 4], [side, 1, side])
    return image.filter(ImageFilter.Kernel((5, 5), (weights / weights.sum()).ravel().tolist(), 1))


def expose(
    light: Floats,
    camera: Camera,
    view: View,
    spectrum: Spectrum,
    rng: np.random.Generator,
    height: int,
    width: int,
) -> Pixels:
    """Takes the picture.

    Args:
        light: `(rows, columns, channels)` as shading makes it.
        camera: Whose sensor.
        view: Exposure, white balance, resolution, blur and JPEG quality.
        spectrum: In which light.
        rng: For the noise.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        `(height, width, 3)`; infrared has three equal channels.
    """
    if spectrum == Spectrum.THERMAL:
        light = _thermal_gain(light, view)
        blur, resolution = _THERMAL_BLUR, min(view.resolution, _THERMAL_RESOLUTION)
        noise = _THERMAL_NOISE
    else:
        light = _exposed(light, camera, view, spectrum)
        blur, resolution = view.blur, view.resolution
        noise = camera.day.noise if spectrum == Spectrum.VISIBLE else camera.lamp.noise
    rows, columns = max(24, int(height * resolution)), max(12, int(width * resolution))
    level = resize(light, rows, columns)
    grain = rng.standard_normal(level.size, np.float32)
    level = _grainy(level.ravel(), np.float32(noise), grain).reshape(level.shape)
    if spectrum != Spectrum.THERMAL:
        level = _tone(level)
    values = (np.clip(level, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(values if values.shape[2] == 3 else values[..., 0])
    radius = blur * rows / _BLUR_HEIGHT
    if radius > 0.25:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    if view.motion > 0.3:
        image = _smeared(image, view)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=view.jpeg)
    with Image.open(buffer) as compressed:
        return np.asarray(compressed.convert("RGB"))

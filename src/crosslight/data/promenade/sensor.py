"""What the camera makes of the light: exposure, blur, resolution, noise, tone curve, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter

from crosslight.data.promenade.arrays import Floats, Pixels
from crosslight.data.promenade.cameras import Camera
from crosslight.data.promenade.factors import Spectrum, View

_BLUR_HEIGHT = 256
"""Blur is given in pixels of an image of this height."""
_THERMAL_NOISE = 0.02
_THERMAL_BLUR = 1.7
_THERMAL_RESOLUTION = 0.5


def _resized(light: Floats, width: int, height: int) -> Floats:
    method = Image.Resampling.BOX if height < light.shape[0] else Image.Resampling.BILINEAR
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(light[..., channel], np.float32)).resize(
                (width, height), method
            )
        )
        for channel in range(light.shape[2])
    ]
    return np.stack(channels, axis=-1)


def _thermal_gain(light: Floats, view: View) -> Floats:
    """Automatic gain. Channel 1, with a neutral look, sets it: clothes must not change the rest."""
    low, high = np.percentile(light[..., 1], (2, 99.5))
    level = np.clip((light[..., :1] - low + 0.03) / (high - low + 0.03), 0, 1)
    gained: Floats = level**1.05 * (0.85 + 0.12 * view.exposure)
    return gained


def _exposed(light: Floats, camera: Camera, view: View, spectrum: Spectrum) -> Floats:
    if spectrum == Spectrum.VISIBLE:
        tint = np.array([view.tint_red, view.tint_green, view.tint_blue])
        light = light * (np.array(camera.day.tint) * tint).astype(np.float32)
    else:  # the lamp lights the corners less
        rows, columns = light.shape[:2]
        y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
        light = light * (1 - 0.15 * (x * x + y * y))[..., None]
    exposed: Floats = light * view.exposure * 1.15
    return exposed


def _tone(light: Floats) -> Floats:
    """A soft shoulder, then the sRGB curve."""
    level = np.clip(light, 0, None)
    level = level * (1 + level * 0.12) / (1 + level * 0.55) * 1.25
    bright = 1.055 * np.clip(level, 1e-6, None) ** np.float32(1 / 2.4) - 0.055
    toned: Floats = np.where(level <= 0.0031308, 12.92 * level, bright)
    return toned


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
    level = _resized(light, columns, rows)
    # Shot noise grows with the light, read noise does not: one draw of their joint variance.
    shot, read = 0.49 * np.clip(level, 0.02, 2), 0.1225
    grain = rng.standard_normal(level.shape, np.float32)
    level = level + noise * np.sqrt(shot + read) * grain
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

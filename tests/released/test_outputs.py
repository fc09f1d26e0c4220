"""What the original programs compute, written on their own names, is what the import computes.

The ResNets are small ones of ours, in the originals' places.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.imagenet import IMAGENET_MEAN, IMAGENET_STD
from crosslight.experiments.importing import import_released
from crosslight.methods.contract import Swaps
from tests.experiments.test_importing import (
    originals,
    overrides,
    saved,
    thin_resnet,  # noqa: F401 -- a fixture that every test here uses
    trained,
)
from tests.oracles.plain import (
    Weights,
    basic_block,
    batch_norm,
    conv,
    gray,
    instance_norm,
    leaky,
    linear,
    relu,
    sample_norm,
    stem,
)

NEAR = {"rtol": 1e-9, "atol": 1e-9}
MEAN, STD = (torch.tensor(v).double().view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))


def wide(weights: Mapping[str, Tensor]) -> Weights:
    """In float64, with the names that `sample_norm` looks for."""
    names = {"gamma": "scale", "beta": "shift"}
    return Weights(
        {
            ".".join([*name.split(".")[:-1], names.get(last, last)]).lstrip("."): value.double()
            for name, value in weights.items()
            for last in [name.rpartition(".")[2]]
        },
        fixed=[""],
    )


def imported(system: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    _, method = trained(system)
    files = originals(system, method)
    run = import_released(system, saved(folder, files), folder / "run", overrides=overrides(system))
    return run.method.double(), files


@pytest.fixture
def images() -> Tensor:
    """A colour picture, and one whose three channels are equal."""
    pictures = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(1)).double()
    pictures[1] = pictures[1].mean(dim=0)
    return pictures


def adapted(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return instance_norm(maps) * scale[:, :, None, None] + shift[:, :, None, None]


def doubled(maps: Tensor) -> Tensor:
    return maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


class JSIA:
    """One of the two generators, as its file names it."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.w = wide(weights)

    def content(self, image: Tensor) -> Tensor:
        """Of an image in [0, 1]: stem without its last activation, and the first layer."""
        w, first = self.w, "mod_invar_enc.resnet_conv1"
        maps = gray((image - MEAN) / STD).expand(-1, 3, -1, -1)
        for layer, stride in ((0, 2), (3, 1)):
            maps = conv(w, f"{first}.0.{layer}", maps, stride=stride, padding=1)
            maps = relu(batch_norm(w, f"{first}.0.{layer + 1}", maps, "running"))
        maps = conv(w, f"{first}.0.6", maps, padding=1)
        maps = F.max_pool2d(batch_norm(w, f"{first}.1", maps, "running"), 3, 2, 1)
        return basic_block(w, f"{first}.3.0", maps, 1, "running")

    def embed(self, image: Tensor) -> Tensor:
        maps = self.content(image)
        for number, stride in enumerate((2, 2, 1)):
            name = f"mod_invar_enc.resnet_conv2.{number}.0"
            maps = basic_block(self.w, name, maps, stride, "running")
        return batch_norm(self.w, "mod_invar_enc.classifier.bn", maps.mean((2, 3)), "running")

    def style(self, image: Tensor) -> Tensor:
        """Of an image in [-1, 1]."""
        maps = relu(conv(self.w, "mod_spec_enc.model.0.conv", image, padding=3, reflect=True))
        for number in range(1, 5):
            name = f"mod_spec_enc.model.{number}.conv"
            maps = relu(conv(self.w, name, maps, stride=2, padding=1, reflect=True))
        return conv(self.w, "mod_spec_enc.model.6", maps.mean((2, 3), keepdim=True)).flatten(1)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        w, maps = self.w, content
        for number in range(3):
            style = linear(w, f"mlp.model.{number}.fc", style)
            style = relu(style) if number < 2 else style
        parameters = list(style.split(content.shape[1], dim=1))
        for block in range(2):
            inner = maps
            for number in range(2):
                name = f"dec.model.0.model.{block}.model.{number}.conv"
                shift, scale = parameters.pop(0), parameters.pop(0)
                inner = adapted(conv(w, name, inner, padding=1, reflect=True), scale, shift)
                inner = relu(inner) if number == 0 else inner
            maps = maps + inner
        maps = conv(w, "dec.model.2.conv", doubled(maps), padding=2, reflect=True)
        maps = relu(sample_norm(w, "dec.model.2.norm", maps))
        return torch.tanh(conv(w, "dec.model.3.conv", maps, padding=3, reflect=True))


def test_jsia(tmp_path: Path, images: Tensor) -> None:
    method, files = imported("cmpig", tmp_path)
    generators = [JSIA(files[f"model-{n}"]) for n in (0, 1)]
    with torch.inference_mode():
        expected = generators[0].embed(images)
        torch.testing.assert_close(method.embed(images, torch.tensor([0, 1])), expected, **NEAR)
        small = F.avg_pool2d(images, 2)
        seen = F.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)
        content = generators[0].content(seen)
        drawn = []
        for light, generator in enumerate(generators):
            style = generator.style(2 * small[light : light + 1] - 1)
            drawn.append(generator.decode(content[1 - light : 2 - light], style))
        expected = F.interpolate(
            (torch.cat(drawn) + 1) / 2, images.shape[2:], mode="bilinear", align_corners=False
        )
        assert isinstance(method, Swaps)
        found = method.swap(images, images.flip(0))
        assert ((found > 0) & (found < 1)).double().mean() > 0.5
        torch.testing.assert_close(found, expected.clamp(0, 1), **NEAR)


class HiCMD:
    """Both generators and what identifies, as their files name them."""

    slope = 0.3

    def __init__(self, files: Mapping[str, Any]) -> None:
        self.lights = [wide(files["gen"][key]) for key in "ab"]
        self.w = wide(files["id"]["id"])
        self.layers = wide(files["id"]["backbone_pro"])
        self.share = files["id"]["combine_weight"]["multp"].double()

    def _block(
        self, w: Weights, name: str, maps: Tensor, size: int, *, last: bool = False, **how: int
    ) -> Tensor:
        padding = how.get("dilation", 1) * (size // 2)
        maps = instance_norm(conv(w, f"{name}.conv", maps, padding=padding, reflect=True, **how))
        return maps if last else leaky(maps, self.slope)

    def prototype(self, image: Tensor, light: int) -> Tensor:
        w, maps = self.lights[light], (image - MEAN) / STD
        for name, stride in (("1.0", 2), ("1.1", 1), ("2.0", 1), ("2.1", 2)):
            maps = self._block(w, f"enc_pro.model{name}", maps, 3, stride=stride)
        for block in range(4):
            name = f"enc_pro.model3.0.model.{block}.model"
            inner = self._block(w, f"{name}.0", maps, 3)
            maps = maps + self._block(w, f"{name}.1", inner, 3, last=True)
        name = "enc_pro.model3.1"
        branches = [self._block(w, f"{name}.conv1", maps, 1, last=True)]
        for branch, dilation in ((6, 1), (12, 2), (18, 3)):  # published: 3, 6, 9
            inner = self._block(w, f"{name}.conv{branch}.0", maps, 1)
            inner = self._block(w, f"{name}.conv{branch}.1", inner, 3, last=True, dilation=dilation)
            branches.append(inner)
        return self._block(w, f"{name}.fuse", torch.cat(branches, dim=1), 1, last=True)

    def attribute(self, image: Tensor, light: int) -> Tensor:
        """(1, 4, D): a row for each block of the decoder."""
        w = self.lights[light]
        maps = stem(w, "enc_att.model", (image - MEAN) / STD, "running")
        for number, stride in enumerate((1, 2, 2, 2), start=1):
            maps = basic_block(w, f"enc_att.model.layer{number}.0", maps, stride, "running")
        return maps.mean((2, 3)).unflatten(1, (4, -1))

    def embed(self, image: Tensor, light: int) -> Tensor:
        maps, attribute = self.prototype(image, light), self.attribute(image, light)
        for number in (2, 3):
            maps = basic_block(self.layers, f"model.layer{number}.0", maps, 2, "running")
        style = attribute[..., : attribute.shape[2] // 2].flatten(1)
        parts = [
            self.share.clamp(max=1) * F.normalize(maps.mean((2, 3))),
            (1 - self.share).clamp(min=0) * F.normalize(style),
        ]
        rows = linear(self.w, "classifier.add_block.0", torch.cat(parts, dim=1))
        return batch_norm(self.w, "classifier.add_block.1", rows, "running")

    def draw(self, maps: Tensor, attribute: Tensor) -> Tensor:
        w, channels = self.lights[1], maps.shape[1]
        for block in range(4):
            scales, shifts = (
                self._mlp(w, f"dec.mlp_{kind}{block + 1}", attribute[:, block]).split(channels, 1)
                for kind in "wb"
            )
            inner = maps
            for number, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
                name = f"dec.model.0.model.{block}.model.{number}.conv"
                inner = adapted(conv(w, name, inner, padding=1, reflect=True), scale, shift)
                inner = leaky(inner, self.slope) if number == 0 else inner
            maps = maps + inner
        for number in (2, 4):
            maps = conv(w, f"dec.model.{number}.conv", doubled(maps), padding=2, reflect=True)
            maps = leaky(sample_norm(w, f"dec.model.{number}.norm", maps), self.slope)
        for number in (5, 6):
            maps = conv(w, f"dec.model.{number}.conv", maps, padding=1, reflect=True)
            maps = leaky(maps, self.slope)
        return conv(w, "dec.model.7.conv", maps) * STD + MEAN

    def _mlp(self, w: Weights, name: str, rows: Tensor) -> Tensor:
        for number in range(3):
            rows = linear(w, f"{name}.model.{number}.fc", rows)
            rows = leaky(rows, self.slope) if number < 2 else rows
        return rows


def test_hicmd(tmp_path: Path, images: Tensor) -> None:
    method, files = imported("hicmd", tmp_path)
    original = HiCMD(files)
    singles = images.split(1)
    with torch.inference_mode():
        expected = torch.cat([original.embed(x, light) for light, x in enumerate(singles)])
        torch.testing.assert_close(method.embed(images, torch.tensor([0, 1])), expected, **NEAR)
        attributes = [original.attribute(x, light) for light, x in enumerate(singles)]
        drawn = []
        for light in (0, 1):
            half = attributes[light].shape[2] // 2
            style, excluded = attributes[light][..., :half], attributes[1 - light][..., half:]
            prototype = original.prototype(singles[1 - light], 1 - light)
            drawn.append(original.draw(prototype, torch.cat([style, excluded], dim=2)))
        assert isinstance(method, Swaps)
        found = method.swap(images, images.flip(0))
        assert ((found > 0) & (found < 1)).double().mean() > 0.5
        torch.testing.assert_close(found, torch.cat(drawn).clamp(0, 1), **NEAR)


def _non_local(w: Weights, name: str, maps: Tensor) -> Tensor:
    theta, phi, g = (conv(w, f"{name}.{part}", maps).flatten(2) for part in ("theta", "phi", "g.0"))
    affinity = theta.transpose(1, 2) @ phi / theta.shape[2]
    mixed = (affinity @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, maps.shape[2:])
    return maps + batch_norm(w, f"{name}.W.1", conv(w, f"{name}.W.0", mixed), "running")


def test_agw(tmp_path: Path, images: Tensor) -> None:
    method, files = imported("agw", tmp_path)
    w = wide(files["sysu_best"]["net"])
    stems = ("visible_module.visible", "thermal_module.thermal")
    seen = ((images - MEAN) / STD).split(1)
    maps = torch.cat([stem(w, s, image, "running") for s, image in zip(stems, seen, strict=True)])
    for layer, blocks, attended in ((1, 3, 0), (2, 4, 2), (3, 6, 3), (4, 3, 0)):
        for block in range(blocks):
            stride = 2 if block == 0 and layer in (2, 3) else 1
            name = f"base_resnet.base.layer{layer}.{block}"
            maps = basic_block(w, name, maps, stride, "running")
            if block >= blocks - attended:
                number = block - (blocks - attended)
                maps = _non_local(w, f"NL_{layer}.{number}", maps)
    vectors = (maps.pow(3).mean((2, 3)) + 1e-12).pow(1 / 3)
    expected = batch_norm(w, "bottleneck", vectors, "running")
    with torch.inference_mode():
        found = method.embed(images, torch.tensor([0, 1]))
    # Channels that are 0 everywhere are 1e-4 there, and 1e-6 here.
    alive = vectors > 1e-3
    assert alive.double().mean() > 0.5
    torch.testing.assert_close(found[alive], expected[alive], rtol=1e-6, atol=1e-6)

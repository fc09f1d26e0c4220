from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import at
from tests.oracles import unet_disentangle as oracle
from tests.training.people import draw_people
from torch import Tensor

from crosslight import cli
from crosslight.config import build, parse_recipe
from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.contract import Disentangles, Swaps
from crosslight.methods.cross_modal_triplets import draw_negatives, draw_positives
from crosslight.methods.unet_disentangle import UNetDisentangle, UNetDisentangleConfig
from crosslight.methods.unet_disentangle.networks import Decoder
from crosslight.nn.modality_of import modality_of
from crosslight.training.loop import fit
from crosslight.training.run import RunFolder

SMALL = dict(UNetDisentangle.small)
LIGHTS = ("visible", "infrared")
WEIGHTS = ("recon", "cross", "cycle", "triplet")


def _method(**overrides: Any) -> UNetDisentangle:
    config = build(UNetDisentangleConfig, {**SMALL, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return UNetDisentangle(config, num_ids=4, height=64, width=32)


def _only(name: str) -> UNetDisentangle:
    weights = {f"{loss}_weight": float(loss == name) for loss in WEIGHTS}
    return _method(**weights).double()


def _double(batch: Batch) -> Batch:
    return dataclasses.replace(batch, images=batch.images.double())


def _slow(method: UNetDisentangle, name: str, batch: Batch) -> Tensor:
    """The oracle, sample by sample through the method's own networks, in eval mode."""
    modality = batch.modality.tolist()
    positive = draw_positives(batch.labels, batch.modality)
    negative = draw_negatives(batch.labels, batch.modality) if name == "triplet" else None

    def encode(light: int, image: Tensor) -> tuple[Tensor, Tensor]:
        s, m = method.encoders[light](image[None])
        return s[0], m[0]

    def decode(light: int, s: Tensor, m: Tensor) -> Tensor:
        return method.decoders[light](s=s[None], m=m[None])[0]  # type: ignore[no-any-return]

    x = batch.images
    parts = [encode(light, image) for light, image in zip(modality, x, strict=True)]
    s, m = torch.stack([s for s, _ in parts]), torch.stack([m for _, m in parts])
    if name == "recon":
        return oracle.recon(x, s, m, modality, decode)
    if name == "cross":
        return oracle.cross(x, s, m, modality, positive.tolist(), decode)
    if name == "cycle":
        return oracle.cycle(x, s, m, modality, positive.tolist(), encode, decode)
    assert negative is not None
    again = draw_positives(batch.labels, batch.modality)
    return oracle.triplet(s, again.tolist(), negative.tolist(), method.config.margin)


@pytest.mark.parametrize("name", WEIGHTS)
def test_value_and_gradient_agree_with_the_slides(
    name: str, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In eval mode, where an image is treated alike alone and in a batch; with fixed partners."""
    method, batch = _only(name).eval(), _double(make_batch())
    partners = {
        "draw_positives": draw_positives(batch.labels, batch.modality),
        "draw_negatives": draw_negatives(batch.labels, batch.modality),
    }
    for place in ("crosslight.methods.unet_disentangle.method", __name__):
        for function, value in partners.items():
            monkeypatch.setattr(f"{place}.{function}", lambda *_, value=value: value)
    results = []
    for slow in (False, True):
        loss = _slow(method, name, batch) if slow else method.losses(batch)[f"loss_{name}"]
        gradients = torch.autograd.grad(loss, list(method.parameters()), allow_unused=True)
        results.append((loss.detach(), gradients))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert results[0][0] > 0
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-12)


def test_the_struck_out_loss_and_skips_are_off() -> None:
    config = UNetDisentangleConfig()
    assert config.cycle_weight == 0
    assert not config.skips
    assert (config.recon_weight, config.cross_weight, config.triplet_weight) == (1, 1, 1)


def test_shapes_of_the_default_network() -> None:
    with torch.device("meta"):
        method = UNetDisentangle(UNetDisentangleConfig(), num_ids=395, height=256, width=128)
        s, m = method.encoders[0](torch.empty(2, 3, 256, 128))
        drawn = method.decoders[1](s=s, m=m)
    assert (s.shape, m.shape) == ((2, 256), (2, 64, 8, 4))
    assert drawn.shape == (2, 3, 256, 128)


def test_parts_are_given_by_keyword_only() -> None:
    decoder = Decoder((8, 16), 4, 4, channels=3, skips=False)
    with pytest.raises(TypeError):
        decoder(torch.zeros(1, 4), torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("skips", [False, True])
def test_skips_come_from_the_rest_alone(skips: bool, make_batch: MakeBatch) -> None:
    """What the decoder draws follows S through S only: with skips too, M's image gives them."""
    method, batch = _method(skips=skips).eval(), make_batch()
    parts = method.encode(batch.images, batch.modality)
    assert len(parts.skips) == (2 if skips else 0)
    assert [skip.shape[2:] for skip in parts.skips] == ([(32, 16), (16, 8)] if skips else [])
    parts.s.retain_grad()
    method.decode(parts, batch.modality).sum().backward()
    assert parts.s.grad is not None
    for encoder in method.encoders:
        gradients = [layer.weight.grad for layer in encoder.squeeze]  # type: ignore[union-attr]
        assert all(g is not None and g.abs().max() > 0 for g in gradients)
    assert method.encode(batch.images, batch.modality).s.equal(parts.s)


def test_swap_takes_identity_from_one_and_the_rest_and_light_from_the_other(
    make_batch: MakeBatch,
) -> None:
    method, batch = _method().eval(), make_batch()
    assert isinstance(method, Swaps)
    assert isinstance(method, Disentangles)
    visible, infrared = batch.images[:2], batch.images[-2:]
    assert modality_of(batch.images).equal(batch.modality)
    with torch.no_grad():
        drawn = method.swap(appearance=visible, structure=infrared)
        assert (drawn[:, :1] == drawn).all(), "drawn by the infrared decoder"
        own = method.decode(method.encode(infrared, batch.modality[-2:]), batch.modality[-2:])
        assert not torch.allclose(drawn, own)
        assert torch.equal(method.swap(appearance=infrared, structure=infrared), own)
        assert not torch.allclose(
            drawn, method.swap(appearance=visible.flip(0), structure=infrared)
        )
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_gray_images_that_went_through_jpeg_count_as_infrared(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    gray = generator.integers(0, 255, (32, 16, 1), dtype=np.uint8).repeat(3, axis=2)
    Image.fromarray(gray).save(tmp_path / "gray.jpg", quality=75)
    with Image.open(tmp_path / "gray.jpg") as image:
        pixels = torch.tensor(np.asarray(image)).permute(2, 0, 1)[None] / 255
    assert modality_of(pixels).tolist() == [1]
    tinted = pixels * torch.tensor([1.0, 0.9, 0.8])[:, None, None]
    assert modality_of(tinted).tolist() == [0]


def test_an_image_that_cannot_be_halved_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"multiples of 32"):
        UNetDisentangle(UNetDisentangleConfig(), num_ids=2, height=144, width=64)


def test_swap_command_draws_a_grid(tmp_path: Path) -> None:
    table = draw_people(tmp_path / "people", people=2, size=(32, 16))
    batches = {"ids_per_batch": 2, "iterations_per_epoch": 1}
    recipe = {
        "method": "unet-disentangle",
        "config": {"widths": [4, 8], "identity": 8, "rest": 2, "epochs": 1},
        "data": {"height": 32, "width": 16, "workers": 0, **batches},
    }
    config = parse_recipe(recipe, where="test")
    run = RunFolder.create(tmp_path / "run", config, data={"fingerprint": table.fingerprint()})
    fit(table, config, run, progress=False)
    visible, infrared = (sorted((tmp_path / "people").glob(f"*_{k}_0.png")) for k in LIGHTS)
    cli.main(
        [
            *("swap", str(run.path), "--appearance", *map(str, visible)),
            *("--structure", *map(str, infrared), "--out", str(tmp_path / "grid.png")),
            *("--each", str(tmp_path / "each")),
        ]
    )
    drawn = sorted((tmp_path / "each").iterdir())
    assert len(drawn) == 4
    for file in drawn:
        with Image.open(file) as image:
            pixels = np.asarray(image)
        assert pixels.shape == (32, 16, 3)
        assert (pixels == pixels[..., :1]).all(), "bodies in infrared light stay in it"
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.height > 3 * 32


@pytest.mark.parametrize(
    "changes", [{"cycle_weight": 0.6, "skips": True}, {"cycle_weight": 0.0, "lr_fall": 0.3}]
)
def test_iterations_agree_with_the_slides(changes: dict[str, Any], make_batch: MakeBatch) -> None:
    method = scrambled(
        _method(
            **{
                "recon_weight": 0.7,
                "cross_weight": 1.9,
                "triplet_weight": 1.3,
                "margin": 0.9,
                "lr": 2e-3,
                "lr_fall": 0.5,
                **changes,
            }
        )
    )
    places = [at(method, iteration=i, iterations=20) for i in (9, 10, 11)]
    plain = oracle.PlainUNet(method.state_dict(), method.config)
    assert_iterations_agree(method, plain, mirrored(make_batch(), 3), places=places)

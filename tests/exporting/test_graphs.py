"""The graphs of methods of every kind, held against the methods themselves in both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.config import build
from crosslight.errors import ConfigError
from crosslight.exporting.card import Format
from crosslight.exporting.graphs import Views, write_graphs
from crosslight.exporting.quantising import write_openvino
from crosslight.exporting.runtimes import Embeds, open_graph
from crosslight.methods.contract import Method
from crosslight.nn.per_modality import PerModality, SeesLights
from crosslight.registry import method_class
from crosslight.types import Modality

SIZE = {"height": 64, "width": 32}
NEAR = 1e-5


def small(name: str) -> Method:
    """A method whose statistics are not those of a network that has seen nothing."""
    cls = method_class(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method: Method = cls(build(cls.Config, dict(cls.small), where="test"), num_ids=4, **SIZE)
        for parameter in method.parameters():
            parameter.data.add_(0.02 * torch.randn_like(parameter))
        for module in method.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
    return method.eval()


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *SIZE.values(), 3), dtype=torch.uint8, generator=generator)


def expected(method: Method, views: Views, pixels: Tensor, light: Modality) -> np.ndarray:
    """What the graph should give, written out."""
    x = pixels.permute(0, 3, 1, 2) / 255
    modality = torch.full((len(x),), int(light))
    with torch.inference_mode():
        found = method.embed(x, modality)
        if views.flip:
            other = method.embed(torch.flip(x, [3]), modality)
            found = F.normalize(found) + F.normalize(other) if views.unit_views else found + other
        return (found / found.norm(dim=1, keepdim=True) if views.unit else found).numpy()


def opened(path: Path, kind: Format) -> Embeds:
    if kind == "openvino":
        write_openvino(path, path.with_suffix(".xml"), half=False)
        path = path.with_suffix(".xml")
    return open_graph(path, kind, device=None, arithmetic="f32")


@pytest.mark.parametrize(
    ("name", "views", "files"),
    [
        ("agw", Views(flip=True), 2),
        ("bdtr", Views(), 2),
        ("baseline", Views(flip=True, unit_views=True), 1),
    ],
)
def test_graphs_give_what_the_method_does_for_any_number_of_images(
    name: str, views: Views, files: int, tmp_path: Path
) -> None:
    method = small(name)
    paths = write_graphs(method, tmp_path, views, **SIZE)
    assert len(set(paths.values())) == files
    assert not any(part.only for part in method.modules() if isinstance(part, SeesLights))
    for path in set(paths.values()):
        for kind in ("onnx", "openvino"):
            embed = opened(path, kind)
            for light in (light for light, own in paths.items() if own == path):
                for count in (1, 3, 17):
                    pixels = images(count)
                    wanted = expected(method, views, pixels, light)
                    scale = np.linalg.norm(wanted, axis=1).mean()
                    assert np.abs(embed(pixels.numpy()) - wanted).max() < NEAR * scale
    if files == 2:
        seen, dark = (expected(method, views, images(3), light) for light in Modality)
        assert np.abs(seen - dark).max() > 100 * NEAR, "graphs of either light must be told apart"


def test_a_graph_names_no_folder_of_who_made_it(tmp_path: Path) -> None:
    method: Any = Marked()
    path = write_graphs(method, tmp_path, Views(), **SIZE)[Modality.VISIBLE]
    assert b"test_graphs.py" not in path.read_bytes()
    assert [one.name for one in onnx.load(path).graph.input] == ["images"]


class Marked(nn.Module):
    """A method that computes with the number of the light."""

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) + modality[:, None]


def test_a_method_that_computes_with_the_light_has_a_graph_of_each(tmp_path: Path) -> None:
    method: Any = Marked()
    paths = write_graphs(method, tmp_path, Views(unit=False), **SIZE)
    for light, path in paths.items():
        found = opened(path, "onnx")(images(3).numpy())
        wanted = expected(method, Views(unit=False), images(3), light)
        assert np.abs(found - wanted).max() < NEAR
    assert len(set(paths.values())) == 2


class Idle(nn.Module):
    """A method that treats lights differently, but not where it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = PerModality(lambda: nn.Linear(3, 3))
        self.weights = nn.Linear(3, 4)

    def embed(self, images: Tensor, _: Tensor) -> Tensor:
        return self.weights(images.mean(dim=(2, 3)))


def test_lights_that_end_up_alike_share_a_graph(tmp_path: Path) -> None:
    method: Any = Idle()
    paths = write_graphs(method, tmp_path, Views(), **SIZE)
    assert {path.name for path in paths.values()} == {"model.onnx"}
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    wanted = expected(method, Views(), images(3), Modality.INFRARED)
    found = opened(paths[Modality.INFRARED], "onnx")(images(3).numpy())
    assert np.abs(found - wanted).max() < NEAR


class Odd(nn.Module):
    """A method that decides by what it sees."""

    def embed(self, images: Tensor, _: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) if images.sum() > 1 else images.amax(dim=(2, 3))


def test_what_no_graph_can_hold_is_one_sentence(tmp_path: Path) -> None:
    method: Any = Odd()
    with pytest.raises(ConfigError, match=r"The method Odd does something that no .*use the run"):
        write_graphs(method, tmp_path, Views(), **SIZE)
    assert not list(tmp_path.iterdir())

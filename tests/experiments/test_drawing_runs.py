"""From a recipe to drawn pictures without a command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import crosslight as cl
from crosslight.data.images import read_image
from crosslight.drawing.swapping import draw_swaps, looks_of
from crosslight.errors import ConfigError
from tests.commands.test_swap import RECIPE as DGNET
from tests.commands.test_translate import RECIPE as D2RL


@pytest.fixture(scope="module")
def images(promenade: Path) -> list[Path]:
    return sorted(promenade.glob("cam*/*/*.jpg"))


@pytest.fixture(scope="module")
def dgnet(tmp_path_factory, promenade) -> cl.Run:
    folder = tmp_path_factory.mktemp("dgnet")
    (folder / "dgnet.yaml").write_text(DGNET)
    return cl.fit(
        folder / "dgnet.yaml", data=f"sysu-mm01:{promenade}", out=folder / "run", progress=False
    )


@pytest.fixture(scope="module")
def d2rl(tmp_path_factory, promenade) -> cl.Run:
    folder = tmp_path_factory.mktemp("d2rl")
    (folder / "d2rl.yaml").write_text(D2RL)
    data = f"sysu-mm01:{promenade}"
    return cl.fit(folder / "d2rl.yaml", data, folder / "run", progress=False)


class SwapsAlone(torch.nn.Module):
    def __init__(self, method: torch.nn.Module) -> None:
        super().__init__()
        self.swap = method.swap


def test_a_swap_is_the_methods_own(dgnet, images, capsys) -> None:
    grid = dgnet.swap(appearance=images[:3], structure=str(images[5]))
    assert [len(row) for row in grid.drawn] == [3]
    with torch.inference_mode():
        pixels = [dgnet.transform(read_image(path))[None] for path in (images[1], images[5])]
        expected = dgnet.method.swap(*pixels)[0]
    found = torch.from_numpy(np.array(grid.drawn[0][1])).permute(2, 0, 1) / 255
    assert (found - expected.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-5
    assert capsys.readouterr().out == "", "a library says nothing"


def test_a_grid_is_looked_at_saved_and_taken_apart(dgnet, images, tmp_path) -> None:
    grid = dgnet.swap(appearance=images[:2], structure=images[3:5], steps=1)
    assert repr(grid) == "Grid(2 rows, 3 columns)"
    assert grid._repr_png_().startswith(b"\x89PNG")
    grid.save(tmp_path / "new" / "swap.png")
    with Image.open(tmp_path / "new" / "swap.png") as saved:
        assert saved.size == grid.sheet.size


def test_codes_are_named_and_have_a_row_each(dgnet, images) -> None:
    codes = dgnet.codes(images[:3])
    assert {"appearance", "structure"} <= set(codes)
    assert {len(code) for code in codes.values()} == {3}


def test_a_translation_is_the_methods_own(d2rl, images) -> None:
    grid = d2rl.translate([read_image(path) for path in images[:2]], to="infrared")
    assert [len(row) for row in grid.drawn] == [1, 1]
    with torch.inference_mode():
        pixels = d2rl.transform(read_image(images[0]))[None]
        expected = d2rl.method.translate(pixels, cl.Modality.VISIBLE, cl.Modality.INFRARED)[0]
    found = torch.from_numpy(np.array(grid.drawn[0][0])).permute(2, 0, 1) / 255
    assert (found - expected.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-5


def test_who_cannot_draw_says_so(dgnet, d2rl, images) -> None:
    with pytest.raises(ConfigError, match="such as d2rl"):
        dgnet.translate(images[:1], to="infrared")
    with pytest.raises(ConfigError, match="such as dgnet"):
        d2rl.swap(appearance=images[0], structure=images[1])
    with pytest.raises(ConfigError, match="-1 steps between clothes are asked for; give 0 or more"):
        dgnet.swap(appearance=images[:2], structure=images[1], steps=-1)
    looks, bodies = (looks_of(dgnet._sitters(images[:2]), steps) for steps in (1, 0))
    swaps = SwapsAlone(dgnet.method)
    with pytest.raises(ConfigError, match="draws no steps between the clothes of two people"):
        draw_swaps(swaps, looks, [look.first for look in bodies])


def test_a_run_scores_itself_and_remembers(d2rl, promenade) -> None:
    data = f"sysu-mm01:{promenade}"
    evaluation = d2rl.evaluate(data, protocols=["sysu-mm01/all/1"], workers=0)
    assert "rank1" in str(evaluation)
    again = cl.load_evaluation(d2rl.path)
    assert again.to_json() == evaluation.to_json()

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crosslight.data.images import read_image
from crosslight.data.table import SampleTable
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import ConfigError, DataError
from crosslight.training.embedding import embed_table
from tests.training.tiny import Tiny, build, recipe


@pytest.fixture
def method(table: SampleTable) -> Tiny:
    return build(recipe(), table)


def test_rows_are_embedded_in_table_order(method: Tiny, table: SampleTable) -> None:
    feats = embed_table(
        method, table, height=16, width=8, interpolation="bilinear", batch_size=7, workers=1
    )
    assert feats.shape == (30, 6)
    assert feats.dtype == np.float32
    method.eval()
    for row in (0, 13, 29):
        image = InferenceTransform(16, 8, "bilinear")(read_image(table.paths[row]))[None]
        alone = method.embed(image, torch.zeros(1)).detach().numpy()[0]
        np.testing.assert_allclose(feats[row], alone, rtol=1e-5, atol=1e-6)


def test_embedding_is_deterministic_and_leaves_no_trace(method: Tiny, table: SampleTable) -> None:
    before, weights = torch.get_rng_state(), [p.clone() for p in method.state_dict().values()]
    first = embed_table(method, table, height=16, width=8, interpolation="bilinear")
    assert method.training
    assert np.array_equal(
        first, embed_table(method, table, height=16, width=8, interpolation="bilinear", workers=2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, weights, method.state_dict().values()))


def test_flip_sums_the_image_and_its_mirror(method: Tiny, table: SampleTable) -> None:
    class Columns(Tiny):
        def embed(self, images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2))

    columns = Columns(method.config, num_ids=5, height=16, width=8)
    plain = embed_table(columns, table, height=16, width=8, interpolation="bilinear")
    both = embed_table(columns, table, height=16, width=8, interpolation="bilinear", flip=True)
    np.testing.assert_allclose(both, plain + plain[:, ::-1], rtol=1e-6)
    unit = embed_table(
        columns, table, height=16, width=8, interpolation="bilinear", flip=True, unit_views=True
    )
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, (plain + plain[:, ::-1]) / lengths, rtol=1e-5)


def test_bf16_stays_near_and_gives_float32(method: Tiny, table: SampleTable) -> None:
    exact = embed_table(method, table, height=16, width=8, interpolation="bilinear")
    rough = embed_table(
        method, table, height=16, width=8, interpolation="bilinear", precision="bf16-mixed"
    )
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.02)


@pytest.mark.parametrize(
    ("embedded", "found"),
    [
        (lambda images: images, r"shape \(6, 3, 16, 8\)"),
        (lambda images: images.mean(dim=(1, 2, 3)), r"shape \(6,\)"),
        (lambda images: images[:2, 0, 0], r"shape \(2, 8\)"),
        (lambda _: None, "NoneType"),
    ],
)
def test_an_embedding_of_another_shape_is_refused(
    method: Tiny, table: SampleTable, monkeypatch: pytest.MonkeyPatch, embedded: Any, found: str
) -> None:
    monkeypatch.setattr(method, "embed", lambda images, _: embedded(images))
    said = rf"Tiny\.embed gave {found} for 6 images, expected a tensor of shape \(6, D\)"
    with pytest.raises(ConfigError, match=said):
        embed_table(method, table, height=16, width=8, interpolation="bilinear", batch_size=6)


def test_nothing_to_embed_is_one_sentence(method: Tiny, table: SampleTable) -> None:
    with pytest.raises(DataError, match="no image of people"):
        embed_table(method, table.take([]), height=16, width=8, interpolation="bilinear")

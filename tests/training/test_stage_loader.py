"""A stage that learns from a stored code: the same rows, no image, the same values after a cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crosslight.config import Recipe
from crosslight.data import loading
from crosslight.data.batch import Batch
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.methods.contract import Stage, Update
from crosslight.training.embedding import embed_table
from crosslight.training.interruption import Interruption
from crosslight.training.loop import fit
from crosslight.training.run import RunFolder
from crosslight.training.stage_loader import StageLoader
from tests.training.people import draw_people
from tests.training.tiny import Tiny, build, recipe

FEATURES = Stage(name="later", iterations=6, learns_from="feature")


class Coded(Tiny):
    """Tiny with a code, and with a last stage that learns from it."""

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        return {"feature": self.embed(images, modality)}

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(name="warm-up", iterations=self.config.warm_up), FEATURES)

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        if update.progress.stage != FEATURES.name:
            return super().training_step(batch, update)
        assert batch.feats is not None
        loss = self.critics[0](batch.feats).square().mean()
        update("critic", {"loss_last": loss})
        return {"loss_last": loss}


@pytest.fixture
def table(tmp_path: Path) -> SampleTable:
    return draw_people(tmp_path / "people")


def _coded(config: Recipe, table: SampleTable) -> Coded:
    plain = build(config, table)
    method = Coded(config.config, num_ids=len(set(table.pids.tolist())))
    method.load_state_dict(plain.state_dict())
    return method


def _loader(table: SampleTable, config: Recipe, heard: Interruption) -> StageLoader:
    batches = build_batches(table, config.data, seed=0)
    return StageLoader(table, config, batches, heard, rank=0, world=1)


def test_rows_are_those_of_the_images_and_codes_those_of_images_as_they_are(
    table: SampleTable,
) -> None:
    config = recipe()
    method = _coded(config, table)
    loader = _loader(table, config, Interruption())
    place = {"start": 2, "stop": 6, "first_epoch": 1}
    images = list(loader.iterate(method, Stage(name="now", iterations=6), **place))
    stored = list(loader.iterate(method, FEATURES, **place))
    expected = embed_table(
        method, table, height=16, width=8, interpolation="bilinear", code="feature"
    )
    assert len(images) == len(stored) == 4
    for seen, kept in zip(images, stored, strict=True):
        assert seen.feats is None
        for name in ("labels", "cams", "modality", "rows"):
            assert torch.equal(getattr(seen, name), getattr(kept, name))
        assert kept.feats is not None
        assert torch.equal(kept.feats, torch.from_numpy(expected)[kept.rows])
        assert len(kept) == len(seen)
        assert kept.images.numel() == 0
        assert kept.to(torch.device("cpu")).feats is not None


def test_every_image_is_read_once_for_all_stages_that_learn_from_a_code(
    table: SampleTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = loading.read_image
    monkeypatch.setattr(
        loading, "read_image", lambda path, **how: (read.append(path), original(path, **how))[1]
    )
    config = recipe()
    method = _coded(config, table)
    loader = _loader(table, config, Interruption())
    notes: list[str] = []
    loader.note = notes.append
    for stage in (FEATURES, dataclasses.replace(FEATURES, name="last")):
        assert len(list(loader.iterate(method, stage, start=0, stop=6, first_epoch=0))) == 6
    assert sorted(read) == sorted(table.paths)
    assert notes == [f"computing the code feature of {len(table)} training images, once"]


def test_a_stage_on_images_makes_a_stored_code_stale(table: SampleTable) -> None:
    config = recipe()
    method = _coded(config, table)
    loader = _loader(table, config, Interruption())

    def first(stage: Stage) -> Batch:
        return next(loader.iterate(method, stage, start=0, stop=1, first_epoch=0))

    before = first(FEATURES)
    first(Stage(name="now", iterations=1))
    with torch.no_grad():
        for p in method.backbone.parameters():
            p.add_(1)
    after = first(FEATURES)
    assert before.feats is not None
    assert after.feats is not None
    assert not torch.equal(before.feats, after.feats)


def test_an_interruption_while_the_code_is_computed_ends_the_batches(table: SampleTable) -> None:
    config = recipe()
    heard = Interruption()
    heard.received = 15
    method = _coded(config, table)
    loader = _loader(table, config, heard)
    assert not list(loader.iterate(method, FEATURES, start=0, stop=6, first_epoch=0))


def test_an_unknown_code_is_named(table: SampleTable) -> None:
    config = recipe()
    unknown = dataclasses.replace(FEATURES, learns_from="shape")
    loader = _loader(table, config, Interruption())
    with pytest.raises(ConfigError, match="its codes are feature"):
        next(loader.iterate(_coded(config, table), unknown, start=0, stop=1, first_epoch=0))


@pytest.mark.parametrize("cut", [3, 5])
def test_cut_in_that_stage_it_continues_bit_for_bit(
    table: SampleTable, tmp_path: Path, cut: int
) -> None:
    """3: the stage has not begun; 5: in its middle, where the code is computed again."""
    config = recipe(checkpoint_every=1)

    class Cut(Exception):  # noqa: N818
        pass

    def train(path: Path, *, stop: int | None) -> dict[str, Tensor]:
        run = RunFolder.create(path, config, data={"fingerprint": table.fingerprint()})
        method = _coded(config, table)
        step, left = method.training_step, iter(range(stop if stop is not None else 99))

        def limited(batch: Batch, update: Update) -> Mapping[str, Tensor]:
            if next(left, None) is None:
                raise Cut
            return step(batch, update)

        method.training_step = limited  # type: ignore[method-assign]
        fit(table, config, run, method=method, progress=False)
        return method.state_dict()

    whole = train(tmp_path / "whole", stop=None)
    with pytest.raises(Cut):
        train(tmp_path / "pieces", stop=cut)
    pieces = train(tmp_path / "pieces", stop=None)
    assert all(torch.equal(value, pieces[name]) for name, value in whole.items())

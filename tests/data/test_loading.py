from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosslight.config import AugmentationConfig, DataConfig
from crosslight.data.batch import Batch
from crosslight.data.images import read_image
from crosslight.data.loading import TrainingLoader, inference_batches
from crosslight.data.loading_processes import Loads, loaded
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable, build_table
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import DataError
from crosslight.types import Modality
from tests.last_resort import HANG_S
from tests.training.people import draw_people

AUGMENTED = AugmentationConfig(pad_px=2, erasing=0.5, color_jitter=0.3, grayscale=0.2)
EXCHANGED = AugmentationConfig(pad_px=2, erasing=0.5, channel_exchange=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> SampleTable:
    return draw_people(tmp_path_factory.mktemp("people"))


def recipe(
    augmentation: AugmentationConfig = AUGMENTED, sampling: str = "cross-modal"
) -> DataConfig:
    return DataConfig(
        height=16,
        width=8,
        sampling=sampling,
        ids_per_batch=2,
        visible_per_id=2,
        infrared_per_id=1,
        images_per_id=3,
        iterations_per_epoch=3,
        augmentation=augmentation,
    )


def load(
    table: SampleTable,
    config: DataConfig,
    *,
    start: int = 0,
    stop: int = 7,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    first_epoch: int = 0,
) -> list[Batch]:
    batches = build_batches(table, config, seed=3)
    loader = TrainingLoader(table, config, batches, seed=3, workers=workers, rank=rank, world=world)
    return list(loader.iterate(start=start, stop=stop, first_epoch=first_epoch))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        held, others = vars(one), vars(other)
        assert held.keys() == others.keys()
        for name, tensor in held.items():
            assert tensor is others[name] is None or torch.equal(tensor, others[name]), name


@pytest.mark.parametrize("augmentation", [AUGMENTED, EXCHANGED])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_workers(
    table: SampleTable, workers: int, augmentation: AugmentationConfig
) -> None:
    config = recipe(augmentation)
    assert_same(load(table, config), load(table, config, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stated_range_reaches_loading_processes(tmp_path: Path, workers: int) -> None:
    kelvin = np.linspace(2900, 3200, 32 * 16).astype(np.uint16).reshape(32, 16)
    for number in range(4):
        Image.fromarray(kelvin).save(tmp_path / f"{number}.png")
    columns = {"path": [f"{n}.png" for n in range(4)], "pid": [0, 0, 1, 1], "modality": [1] * 4}
    table = build_table("table", tmp_path, columns)
    config = DataConfig(
        height=32,
        width=16,
        sampling="identity",
        ids_per_batch=2,
        images_per_id=2,
        deep_range=(2900, 3200),
        augmentation=AugmentationConfig(flip=0, pad_px=0),
    )
    flat = load(table, config, stop=1, workers=workers)[0].images
    assert flat.max() - flat.min() < 0.01
    stated, resize = table.with_range(config.deep_range), InferenceTransform(32, 16, "bilinear")
    for batch in (
        load(stated.split("all"), config, stop=1, workers=workers)[0],
        next(inference_batches(stated.take([3]), resize, batch_size=1, workers=workers)),
    ):
        assert (batch.images.min(), batch.images.max()) == (0, 1)


@pytest.mark.parametrize("start", [1, 3, 5])
def test_batches_do_not_depend_on_where_loading_starts(table: SampleTable, start: int) -> None:
    config = recipe()
    assert_same(load(table, config)[start:], load(table, config, start=start, workers=1))
    # Epochs have three iterations, so iteration 4 of epochs from 0 on is iteration 1 from 1 on.
    assert_same(load(table, config)[4:], load(table, config, start=1, stop=4, first_epoch=1))


@pytest.mark.parametrize("sampling", ["cross-modal", "identity"])
def test_ranks_load_the_parts_of_what_one_process_loads(table: SampleTable, sampling: str) -> None:
    config = recipe(sampling=sampling)
    whole = load(table, config)
    shards = [load(table, config, rank=rank, world=2) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shards, strict=True):
        images = {image.numpy().tobytes() for image in batch.images}
        found = [image.numpy().tobytes() for part in parts for image in part.images]
        assert sorted(images) == sorted(found)


def test_augmentation_differs_between_samples_iterations_and_epochs(table: SampleTable) -> None:
    one_image_each = table.take([0, 3, 6, 9])
    batches = load(one_image_each, recipe(AugmentationConfig(pad_px=4), sampling="identity"))
    drawn = [image.numpy().tobytes() for batch in batches for image in batch.images]
    assert len(set(drawn)) > 0.6 * len(drawn)


def test_a_batch_says_what_it_holds(table: SampleTable) -> None:
    for batch in load(table, recipe()):
        rows = batch.rows.numpy()
        assert batch.images.shape == (6, 3, 16, 8)
        assert batch.images.dtype == torch.float32
        assert 0 <= batch.images.min() <= batch.images.max() <= 1
        assert np.array_equal(batch.labels, table.labels()[rows])
        assert batch.pids is not None
        assert np.array_equal(batch.pids, table.pids[rows])
        assert np.array_equal(batch.cams, table.cams[rows])
        assert np.array_equal(batch.modality, table.modality[rows])
        assert batch.feats is None
        assert {name: t.dtype for name, t in vars(batch).items() if t is not None} == {
            "images": torch.float32,
            **dict.fromkeys(("labels", "cams", "modality", "rows", "pids"), torch.int64),
        }


@pytest.mark.parametrize("sampling", ["cross-modal", "identity"])
def test_channel_exchange_orders_plain_exchanged_infrared(
    table: SampleTable, sampling: str
) -> None:
    for batch in load(table, recipe(EXCHANGED, sampling)):
        visible = int((batch.modality == Modality.VISIBLE).sum()) // 2
        plain, exchanged = batch.images[:visible], batch.images[visible : 2 * visible]
        assert len(batch) == 6 + visible
        assert (batch.modality[2 * visible :] == Modality.INFRARED).all()
        assert torch.equal(batch.rows[:visible], batch.rows[visible : 2 * visible])
        assert torch.equal(batch.labels[:visible], batch.labels[visible : 2 * visible])
        kept = (plain != exchanged).flatten(1).any(dim=1)
        assert kept.all()
        # Where nothing was erased, the exchanged view has equal channels.
        same = (exchanged[:, 0] == exchanged[:, 1]).flatten(1).float().mean(dim=1)
        assert (same > 0.5).all()


def test_inference_keeps_table_order_and_hides_labels(table: SampleTable) -> None:
    for workers in (0, 2):
        batches = list(
            inference_batches(
                table, InferenceTransform(32, 16, "bilinear"), batch_size=7, workers=workers
            )
        )
        assert [len(batch) for batch in batches] == [7, 7, 7, 7, 2]
        assert torch.cat([batch.rows for batch in batches]).tolist() == list(range(30))
        assert torch.equal(
            torch.cat([batch.images for batch in batches])[11],
            InferenceTransform(32, 16, "bilinear")(read_image(table.paths[11])),
        )
        assert all((batch.labels == -1).all() for batch in batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_sentence(tmp_path: Path, workers: int) -> None:
    table = draw_people(tmp_path)
    broken = table.paths[4]
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError) as caught:
        load(table, recipe(), stop=30, workers=workers)
    assert str(broken) in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=broken.name):
        list(
            inference_batches(
                table, InferenceTransform(16, 8, "bilinear"), batch_size=4, workers=workers
            )
        )


def run_script(folder: Path, lines: str) -> str:
    """Output of a process of its own, with `table` of people and `loaded` by one worker."""
    script = f"""
import multiprocessing, os, pathlib, signal
from crosslight.data.loading import inference_batches
from crosslight.data.loading_processes import worker_deaths_told
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import DataError
from tests.last_resort import HANG_S
from tests.training.people import draw_people

table = draw_people(pathlib.Path({str(folder)!r}))
loaded = inference_batches(table, InferenceTransform(16, 8, "bilinear"), batch_size=1, workers=1)
next(loaded)
"""
    done = subprocess.run(
        [sys.executable, "-c", script + textwrap.dedent(lines)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_loading_process_that_dies_is_one_sentence(tmp_path: Path) -> None:
    # The death is heard through a signal, at any later place.
    told = run_script(
        tmp_path,
        """
        try:
            with worker_deaths_told():
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
                list(loaded)
        except DataError as error:
            print(error, flush=True)
            os._exit(0)
        """,
    )
    assert "A process that loads images died" in told
    assert "data.workers" in told


def test_a_death_that_the_pipe_tells_first_is_not_told_again_by_its_signal(tmp_path: Path) -> None:
    told = run_script(
        tmp_path,
        """
        from crosslight.data.loading_processes import broken_pipes_told

        heard = signal.signal(signal.SIGCHLD, lambda *_: None)  # as if it came later
        pid = multiprocessing.active_children()[0].pid
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        try:
            with broken_pipes_told():
                raise ConnectionResetError("the pipe is closed")
        except DataError as error:
            heard(signal.SIGCHLD, None)
            print(error, flush=True)
            os._exit(0)
        """,
    )
    assert "A process that loads images died (the pipe is closed)" in told


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm, as Linux has it")
def test_batches_come_where_shared_memory_is_too_small(tmp_path: Path) -> None:
    """A limit for files is one for shared memory too; what does not fit goes another way."""
    told = run_script(
        tmp_path,
        """
        import resource, sys, torch
        sys.dont_write_bytecode = True  # or 64 bytes of it stay behind
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        try:
            torch.zeros(100).share_memory_()
        except RuntimeError:
            print("too small")
        small = InferenceTransform(16, 8, "bilinear")
        here = inference_batches(table, small, batch_size=4, workers=0)
        there = inference_batches(table, small, batch_size=4, workers=2)
        same = [torch.equal(a.images, b.images) and torch.equal(a.rows, b.rows)
                for a, b in zip(here, there, strict=True)]
        print(len(same), all(same))
        """,
    )
    assert told.split("\n") == ["too small", "8 True", ""]


class Unsendable(Loads[int]):
    """Stands for whatever makes sending fail in a loading process."""

    def __getitem__(self, order: int) -> object:
        return lambda: order


def test_a_loading_process_that_cannot_deliver_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"A process that loads images died .*data\.workers"):
        next(loaded(Unsendable(), range(9), 2))


class Faulty(Loads[int]):
    def load(self, _: int) -> Batch:
        raise RuntimeError("a defect of ours")


def test_a_defect_without_loading_processes_is_not_blamed_on_them() -> None:
    with pytest.raises(RuntimeError, match="a defect of ours"):
        next(loaded(Faulty(), range(9), 0))


class Greedy(Loads[int]):
    def load(self, _: int) -> Batch:
        raise MemoryError


@pytest.mark.parametrize("workers", [0, 1])
def test_too_little_memory_is_one_sentence(workers: int) -> None:
    with pytest.raises(DataError, match=r"too little memory.*data\.workers"):
        next(loaded(Greedy(), range(9), workers))


def test_loading_processes_that_cannot_be_started_are_one_sentence(tmp_path: Path) -> None:
    told = run_script(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
        try:
            small = InferenceTransform(16, 8, "bilinear")
            next(inference_batches(table, small, batch_size=4, workers=2))
        except DataError as error:
            print(error, flush=True)
        os._exit(0)
        """,
    )
    assert told.startswith("2 processes that load images could not be started")
    assert "--workers" in told


def test_an_unfinished_loader_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    assert run_script(tmp_path, "print('end')") == "end\n"


def test_loading_processes_leave_others_signals_to_the_training(table: SampleTable) -> None:
    config = recipe()
    batches = build_batches(table, config, seed=3)
    loader = TrainingLoader(table, config, batches, seed=3, workers=2)
    others = set(multiprocessing.active_children())
    loaded = loader.iterate(start=0, stop=40)
    got = [next(loaded), next(loaded)]
    for worker in set(multiprocessing.active_children()) - others:
        for name in ("TERM", "INT"):
            subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    got += list(loaded)
    assert_same(got, load(table, config, stop=40))


def test_the_global_random_state_stays(table: SampleTable) -> None:
    before = torch.get_rng_state()
    load(table, recipe(EXCHANGED), workers=0)
    load(table, recipe(EXCHANGED), workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_is_drawn_when_it_begins(table: SampleTable) -> None:
    config = recipe()
    batches = build_batches(table, config, seed=3)
    asked: list[int] = []
    original = batches.batches

    def recorded(epoch: int) -> list[np.ndarray]:
        asked.append(epoch)
        return original(epoch)

    batches.batches = recorded  # type: ignore[method-assign]
    loader = TrainingLoader(table, config, batches, seed=3)
    loaded = loader.iterate(start=4, stop=12)
    next(loaded)
    assert asked == [1]
    list(loaded)
    assert asked == [1, 2, 3]
    assert all(one < other for one, other in pairwise(asked))

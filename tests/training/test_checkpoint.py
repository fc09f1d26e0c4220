from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crosslight.data.table import SampleTable
from crosslight.errors import CheckpointError, TrainingError
from crosslight.training.checkpoint import Checkpoints, DamagedCheckpointError, load_safely
from crosslight.training.loop import fit
from tests.training.states import state
from tests.training.tiny import TinyConfig, build, open_run, recipe
from tests.unprivileged import as_nobody


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.load() is None
    for number in range(3):
        checkpoints.save({"number": number, "tensor": torch.arange(4)})
    assert load_safely(checkpoints.last)["number"] == 2
    assert load_safely(checkpoints.previous)["number"] == 1
    assert sorted(path.name for path in checkpoints.last.parent.iterdir()) == [
        "last.pt",
        "previous.pt",
    ]


def test_a_damaged_last_state_gives_way_to_the_previous_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save({"number": number})
    truncate(checkpoints.last)
    found = checkpoints.load()
    assert found is not None
    assert (found[0]["number"], found[1]) == (0, checkpoints.previous)
    checkpoints.last.unlink()  # as after a crash between the two renames
    assert checkpoints.load() == found
    truncate(checkpoints.previous)
    with pytest.raises(CheckpointError, match=r"previous\.pt is damaged .* put back a copy"):
        checkpoints.load()


def alter(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


def places(path: Path, entry: str) -> range:
    """Where the content of a file in an archive lies in it."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(entry))
        content = archive.read(name)
    start = path.read_bytes().index(content)
    return range(start, start + len(content))


@pytest.mark.parametrize("entry", ["data/0", "data.pkl"])
def test_an_altered_byte_gives_way_to_the_previous_state(tmp_path: Path, entry: str) -> None:
    """In a pickle too, where it may look like the name of something to be run."""
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save({"number": number, "tensor": torch.arange(100.0) + number})
    whole = checkpoints.last.read_bytes()
    for place in places(checkpoints.last, entry)[::3]:
        alter(checkpoints.last, place)
        found = checkpoints.load()
        assert found is not None
        assert (found[0]["number"], found[1]) == (0, checkpoints.previous)
        checkpoints.last.write_bytes(whole)
    found = checkpoints.load()
    assert found is not None
    assert (found[0]["number"], found[1]) == (1, checkpoints.last)


def test_an_altered_byte_anywhere_changes_no_state(tmp_path: Path) -> None:
    """Some are of no account: padding, times of day, attributes."""
    path, state = tmp_path / "last.pt", {"number": 7, "tensor": torch.arange(3.0)}
    torch.save(state, path)
    whole, damaged = path.read_bytes(), 0
    for place in range(len(whole)):
        alter(path, place)
        try:
            found = load_safely(path)
        except DamagedCheckpointError:
            damaged += 1
        else:
            assert found["number"] == 7
            assert torch.equal(found["tensor"], torch.arange(3.0))
        path.write_bytes(whole)
    assert damaged


class FailingDisk(io.FileIO):
    """A file of which one byte cannot be read."""

    def __init__(self, path: Path, place: int) -> None:
        super().__init__(path)
        self._place = place

    def readinto(self, buffer: Any) -> int:
        if self.tell() <= self._place < self.tell() + len(buffer):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(buffer) or 0

    def readall(self) -> bytes:
        if self.tell() <= self._place:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readall()


def opens_with(monkeypatch: pytest.MonkeyPatch, opened: Callable[[Path], Any]) -> None:
    real = Path.open

    def replaced(path: Path, *args: Any, **options: Any) -> Any:
        is_ours = path.name == "last.pt" and args == ("rb",)
        return opened(path) if is_ours else real(path, *args, **options)

    monkeypatch.setattr(Path, "open", replaced)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_a_state_that_the_system_does_not_open_is_not_passed_over(
    table: SampleTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The one before it would be continued from, and the good one lost."""
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuses(path: Path) -> None:
        raise OSError(code, os.strerror(code), str(path))

    opens_with(monkeypatch, refuses)
    told = rf"last\.pt cannot be read \({os.strerror(code)}\); it may be whole"
    with pytest.raises(CheckpointError, match=told) as caught:
        fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    assert not isinstance(caught.value, DamagedCheckpointError)
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
def test_a_state_that_the_disk_gives_in_part_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save({"number": number, "tensor": torch.zeros(100_000)})
    place = int(share * (checkpoints.last.stat().st_size - 1))
    opens_with(monkeypatch, lambda path: io.BufferedReader(FailingDisk(path, place)))
    told = rf"last\.pt cannot be read \({os.strerror(errno.EIO)}\)"
    with pytest.raises(CheckpointError, match=told) as caught:
        checkpoints.load()
    assert not isinstance(caught.value, DamagedCheckpointError)


def test_a_folder_of_states_that_is_closed_to_this_user_is_no_new_training(
    reachable: Path,
) -> None:
    checkpoints = Checkpoints(reachable / "checkpoints")
    checkpoints.save({"number": 0})
    checkpoints.last.parent.chmod(0)
    with as_nobody(), pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied"):
        checkpoints.load()
    checkpoints.last.parent.chmod(0o700)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", bytes(4096), b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        load_safely(path)


def test_an_archive_whose_pickle_is_text_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"number": 0}, path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, b"some text" if name.endswith("data.pkl") else data)
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        load_safely(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_is_refused_and_nothing_runs(tmp_path: Path, zipped: bool) -> None:
    checkpoints, mark = Checkpoints(tmp_path), tmp_path / "it-ran"
    checkpoints.save({"number": 0})
    content = {"method": {}, "extra": Harmful(mark)}
    torch.save(content, checkpoints.last, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="would run code on loading: refused"):
        checkpoints.load()
    assert not mark.exists()


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_full_disk_is_one_sentence_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"number": 0})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullFile:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return full if name == "write" else getattr(self._file, name)

        def __enter__(self) -> FullFile:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    real = os.fdopen
    if fails == "write":
        monkeypatch.setattr(os, "fdopen", lambda *given: FullFile(real(*given)))
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"No space left.*is intact: free some space and run"):
        checkpoints.save({"number": 1, "tensor": torch.zeros(100_000)})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert load_safely(checkpoints.last)["number"] == 0


def test_a_full_disk_stops_training_and_continues_when_there_is_space(
    table: SampleTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path, recipe(), table)
    saves = 0
    save = torch.save

    def fills_up(content: Any, file: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 3:
            file.write(b"half a checkpoint")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file)

    monkeypatch.setattr(torch, "save", fills_up)
    with pytest.raises(TrainingError, match="No space left"):
        fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    assert state(tmp_path)["position"]["iteration"] == 5
    summary = fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    assert summary.resumed_from == 8


def test_another_trainings_state_is_refused(table: SampleTable, tmp_path: Path) -> None:
    narrow, wide = recipe(), recipe(config=TinyConfig(width=8))
    runs = [open_run(tmp_path / name, c, table) for name, c in (("a", narrow), ("b", wide))]
    fit(table, narrow, runs[0], method=build(narrow, table), progress=False)
    runs[1].checkpoints_path.mkdir()
    stray = runs[1].checkpoints_path / "last.pt"
    stray.write_bytes((runs[0].checkpoints_path / "last.pt").read_bytes())
    with pytest.raises(
        CheckpointError, match=r"belongs to a training with config.width = 6, expected 8"
    ):
        fit(table, wide, runs[1], method=build(wide, table), progress=False)
    with pytest.raises(CheckpointError, match=r"holds backbone\.0\.bias of shape \(6,\), expected"):
        fit(table, narrow, runs[0], method=build(wide, table), progress=False)


def test_a_state_older_than_a_key_continues_with_its_default(
    table: SampleTable, tmp_path: Path
) -> None:
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    older = state(tmp_path)
    del older["config"]["config"]["dropout"]
    torch.save(older, run.checkpoints_path / "last.pt")
    done = fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    assert done.resumed_from == done.iterations
    older["config"]["config"]["width"] = 7
    torch.save(older, run.checkpoints_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"config\.width = 7, expected 6"):
        fit(table, recipe(), run, method=build(recipe(), table), progress=False)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("training", "seed", 1),
        ("training", "clip_norm", 0.5),
        ("data", "ids_per_batch", 3),
        ("data", "augmentation", {"erasing": 0.25}),
    ],
)
def test_a_state_of_other_data_or_training_settings_is_refused(
    table: SampleTable, tmp_path: Path, part: str, key: str, value: Any
) -> None:
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    other, weights = state(tmp_path), run.model_path.read_bytes()
    other["config"][part][key] = value
    torch.save(other, run.checkpoints_path / "last.pt")
    with pytest.raises(CheckpointError, match=rf"belongs to a training with {part}\.{key}.* = "):
        fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    assert run.model_path.read_bytes() == weights


def test_a_state_with_other_free_settings_or_fewer_continues(
    table: SampleTable, tmp_path: Path
) -> None:
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    other = state(tmp_path)
    other["config"]["data"]["workers"] = 3
    other["config"]["training"] |= {"checkpoint_every": 2, "log_every": 9, "preview_every": 7}
    del other["config"]["data"]["augmentation"]["pad_mode"]
    del other["config"]["training"]["lr_factor"]
    for left_out in (None, "data", "training"):
        other["config"].pop(left_out, None)
        torch.save(other, run.checkpoints_path / "last.pt")
        done = fit(table, recipe(), run, method=build(recipe(), table), progress=False)
        assert done.resumed_from == done.iterations


@pytest.mark.parametrize("damage", [{"format": 99}, {"position": {"stage": 0}}, {"optimizers": {}}])
def test_a_state_of_another_version_is_refused(
    table: SampleTable, tmp_path: Path, damage: dict[str, Any]
) -> None:
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    torch.save({**state(tmp_path), **damage}, run.checkpoints_path / "last.pt")
    with pytest.raises(CheckpointError, match="no training state of this version"):
        fit(table, recipe(), run, method=build(recipe(), table), progress=False)


def test_restoring_shares_no_tensor_with_the_state(table: SampleTable, tmp_path: Path) -> None:
    from crosslight.training.checkpoint import TrainingState

    config = recipe()
    fit(
        table,
        config,
        open_run(tmp_path, config, table),
        method=build(config, table),
        progress=False,
    )
    method = build(config, table)
    holder = TrainingState(
        method=method, optimizers=method.optimizers(), scaler=None, config=config
    )
    found = state(tmp_path)
    holder.restore(found, tmp_path)
    own = {p.data_ptr() for p in method.parameters()}
    for scheduled in holder.optimizers.values():
        for values in scheduled.optimizer.state.values():
            own |= {v.data_ptr() for v in values.values() if isinstance(v, torch.Tensor)}
    given = [*found["method"].values()]
    for optimizer in found["optimizers"].values():
        given += [v for s in optimizer["state"].values() for v in s.values()]
    assert not own & {v.data_ptr() for v in given if isinstance(v, torch.Tensor)}

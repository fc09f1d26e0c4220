from __future__ import annotations

import dataclasses
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import crosslight
from crosslight.config import Recipe
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import CheckpointError, ConfigError, TrainingError
from crosslight.locking import LOCK_NAME, FolderLock
from crosslight.training.loop import fit
from crosslight.training.run import RunFolder, build_method
from crosslight.training.weights import load_weights, save_weights
from tests.training.people import draw_people
from tests.training.tiny import TinyConfig, build, open_run, recipe
from tests.unprivileged import as_nobody


@pytest.fixture(scope="module")
def trained(table: SampleTable, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = open_run(tmp_path_factory.mktemp("trained") / "run", recipe(), table)
    fit(table, recipe(), run, method=build(recipe(), table), progress=False)
    return run


def changed(part: str, **values: object) -> Recipe:
    base = recipe()
    return dataclasses.replace(base, **{part: dataclasses.replace(getattr(base, part), **values)})


def test_a_new_run_holds_its_whole_configuration(table: SampleTable, tmp_path: Path) -> None:
    run = open_run(tmp_path / "new" / "run", recipe(), table)
    content = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    assert content["crosslight"] == crosslight.__version__
    assert content["training"]["log_every"] == 2
    assert run.load_config() == recipe()
    assert run.load_data()["fingerprint"] == table.fingerprint()
    assert RunFolder.open(run.path) == run


def test_the_same_training_may_be_opened_again(table: SampleTable, tmp_path: Path) -> None:
    run = open_run(tmp_path, recipe(), table)
    free = dataclasses.replace(changed("data", workers=9).data)
    same = dataclasses.replace(recipe(checkpoint_every=1, log_every=7), data=free)
    assert open_run(tmp_path, same, table) == run


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (changed("training", seed=1), "training.seed = 0, but training.seed = 1"),
        (changed("config", width=8), "config.width = 6, but config.width = 8"),
        (changed("data", height=32), "data.height = 16, but data.height = 32"),
        (dataclasses.replace(recipe(), method="agw"), "method = 'tiny', but method = 'agw'"),
    ],
)
def test_another_training_is_refused_by_its_first_difference(
    table: SampleTable, tmp_path: Path, other: Recipe, expected: str
) -> None:
    run = open_run(tmp_path, recipe(), table)
    _saved(run)
    before = run.config_path.read_bytes()
    with pytest.raises(ConfigError, match=expected + ".* give another --out"):
        open_run(tmp_path, other, table)
    assert run.config_path.read_bytes() == before


def _saved(run: RunFolder) -> None:
    """A checkpoint, or what stands for one here: something is lost when others take the folder."""
    run.checkpoints_path.mkdir()
    (run.checkpoints_path / "last.pt").touch()


def test_a_training_that_saved_nothing_gives_its_folder_to_another(
    table: SampleTable, tmp_path: Path
) -> None:
    """It failed before its first checkpoint; who mends the cause should not need another folder."""
    open_run(tmp_path, recipe(), table)
    run, mended = RunFolder.open(tmp_path), changed("training", seed=1)
    run.log_path.write_text('{"event": "of the one before"}\n', encoding="utf-8")
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    lock = FolderLock(tmp_path)
    lock.acquire()
    with pytest.raises(ConfigError, match=r"Another training writes to .*give another --out"):
        open_run(tmp_path, mended, table)
    lock.release()
    assert run.load_config().training.seed == 0, "somebody trains there"
    assert open_run(tmp_path, mended, table).load_config().training.seed == 1
    assert not run.log_path.exists()
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_that_is_closed_to_this_user_is_not_called_that_of_another_training(
    table: SampleTable, reachable: Path
) -> None:
    open_run(reachable / "run", recipe(), table)
    (reachable / "run" / LOCK_NAME).chmod(0o400)
    mended = changed("training", seed=1)
    with (
        as_nobody(),
        pytest.raises(TrainingError, match=r"\(Permission denied\).*make it writable"),
    ):
        open_run(reachable / "run", mended, table)


def test_weights_that_are_closed_to_this_user_are_not_called_damaged(
    trained: RunFolder, reachable: Path
) -> None:
    path = reachable / "model.safetensors"
    shutil.copyfile(trained.model_path, path)
    path.chmod(0)
    told = r"cannot be read \(Permission denied\); it may be whole.*mend the cause"
    with as_nobody(), pytest.raises(CheckpointError, match=told):
        load_weights(path)


def test_states_that_are_closed_to_this_user_are_not_taken_for_none(
    table: SampleTable, reachable: Path
) -> None:
    run = open_run(reachable / "run", recipe(), table)
    _saved(run)
    before = run.config_path.read_bytes()
    run.checkpoints_path.chmod(0)
    run.path.chmod(0o777)
    (run.path / LOCK_NAME).chmod(0o666)
    with as_nobody(), pytest.raises(TrainingError, match=r"\(Permission denied\)"):
        open_run(run.path, changed("training", seed=1), table)
    run.checkpoints_path.chmod(0o700)
    assert run.config_path.read_bytes() == before


def test_a_training_of_an_earlier_version_without_a_newer_key_continues(
    table: SampleTable, tmp_path: Path
) -> None:
    run = open_run(tmp_path, recipe(), table)
    content = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    del content["data"]["augmentation"]["pad_mode"]
    run.config_path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert open_run(tmp_path, recipe(), table) == run
    _saved(run)
    edges = dataclasses.replace(recipe().data.augmentation, pad_mode="edge")
    with pytest.raises(ConfigError, match=r"pad_mode = 'zeros', but .*'edge'"):
        open_run(tmp_path, changed("data", augmentation=edges), table)


def test_other_data_is_refused(table: SampleTable, tmp_path: Path) -> None:
    _saved(open_run(tmp_path / "run", recipe(), table))
    moved = draw_people(tmp_path / "moved")
    open_run(tmp_path / "run", recipe(), moved)  # the same rows at another place
    with pytest.raises(ConfigError, match="The training images are others than those"):
        open_run(tmp_path / "run", recipe(), draw_people(tmp_path / "other", people=4))


PEOPLE = {
    "path": ["a.jpg", "b.jpg", "c.jpg"],
    "pid": [1, 1, 2],
    "cam": [1, 2, 1],
    "time": [1.5, None, 3],
}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"path": ["a.jpg", "d.jpg", "c.jpg"]}, ": 1 were removed, such as b.jpg; 1 were added, "),
        ({"pid": [1, 2, 2]}, ": 1 have another person, camera or light, such as b.jpg; put"),
        ({"split": ["all", "val", "val"]}, ": 2 have another split, such as b.jpg; put"),
        ({"track": ["t", None, None]}, ": 1 have another track, such as a.jpg; put"),
        (
            {"time": [1.5, 2, None], "cam": [1, 2, 3]},
            ": 1 have another person, camera or light, such as c.jpg; "
            "2 have another time, such as b.jpg; put",
        ),
        ({name: values[::-1] for name, values in PEOPLE.items()}, ": their order; put them back"),
        (
            {name: [*values, values[0]] for name, values in PEOPLE.items()},
            "was begun with; put them back",  # one stands there twice: no other order
        ),
    ],
)
def test_what_differs_in_the_training_images_is_what_is_said(
    tmp_path: Path, now: dict[str, list[object]], said: str
) -> None:
    def begin(columns: dict[str, list[object]]) -> None:
        table = build_table("table", tmp_path, columns)
        data = {"fingerprint": table.fingerprint()}
        RunFolder.create(tmp_path / "run", recipe(), data=data, train=table)

    begin(PEOPLE)
    _saved(RunFolder(path=tmp_path / "run"))
    begin(PEOPLE)
    with pytest.raises(ConfigError, match=re.escape(said)):
        begin(PEOPLE | now)


def test_a_folder_with_other_files_is_refused(table: SampleTable, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        open_run(tmp_path, recipe(), table)
    with pytest.raises(ConfigError, match=r"thesis\.tex is a file"):
        open_run(tmp_path / "thesis.tex", recipe(), table)
    with pytest.raises(ConfigError, match="is no run folder"):
        RunFolder.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_killed_call_left_before_its_configuration_is_taken(
    table: SampleTable, tmp_path: Path
) -> None:
    begun = open_run(tmp_path, recipe(), table)
    begun.config_path.rename(tmp_path / ".config.yaml.ab12.part")
    assert open_run(tmp_path, recipe(), table).config_path.is_file()


@pytest.mark.parametrize("content", ["a: [", "just words"])
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        RunFolder.open(tmp_path).load_config()


def test_a_method_is_built_from_the_seed_alone(table: SampleTable) -> None:
    before = torch.get_rng_state()
    first, second = (build_method(recipe(seed=s), num_ids=5) for s in (4, 4))
    other = build_method(recipe(seed=5), num_ids=5)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [m.get_parameter("classifier.weight") for m in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_come_back_with_their_card(trained: RunFolder, table: SampleTable) -> None:
    card, _ = load_weights(trained.model_path)
    assert (card.method, card.num_ids, card.height, card.width) == ("tiny", 5, 16, 8)
    assert card.data["fingerprint"] == table.fingerprint()
    assert card.config["width"] == 6
    images, modality = torch.rand(2, 3, 16, 8), torch.zeros(2, dtype=torch.int64)
    method = trained.load_method()
    assert torch.equal(
        method.embed(images, modality), trained.load_method().embed(images, modality)
    )


def test_channels_last_and_tied_weights_are_saved(trained: RunFolder, tmp_path: Path) -> None:
    method = trained.load_method().to(memory_format=torch.channels_last)
    method.register_parameter("tied", method.get_parameter("backbone.0.weight"))
    card, _ = load_weights(trained.model_path)
    save_weights(tmp_path / "model.safetensors", method, card)
    _, tensors = load_weights(tmp_path / "model.safetensors")
    for name, tensor in method.state_dict().items():
        assert torch.equal(tensors[name], tensor), name


def test_a_run_without_weights_says_so(table: SampleTable, tmp_path: Path) -> None:
    run = open_run(tmp_path, recipe(), table)
    with pytest.raises(CheckpointError, match=r"There are no weights at .*finish the training"):
        run.load_method()


def test_weights_of_another_method_or_size_are_refused(
    trained: RunFolder, table: SampleTable, tmp_path: Path
) -> None:
    card, _ = load_weights(trained.model_path)
    run = open_run(tmp_path, recipe(), table)
    method = trained.load_method()
    save_weights(run.model_path, method, dataclasses.replace(card, method="agw"))
    with pytest.raises(CheckpointError, match=r"holds weights of 'agw', but .* names 'tiny'"):
        run.load_method()
    save_weights(run.model_path, method, dataclasses.replace(card, num_ids=9))
    with pytest.raises(CheckpointError, match=r"classifier.bias of shape \(5,\), expected \(9,\)"):
        run.load_method()
    wide = build(recipe(config=TinyConfig(batch_norm=False)), table)
    save_weights(run.model_path, wide, card)
    with pytest.raises(CheckpointError, match=r"lacks backbone\.1\.num_batches_tracked"):
        run.load_method()


def test_pickled_damaged_and_foreign_weights_are_refused(
    trained: RunFolder, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    for write in (lambda: torch.save({}, path), lambda: path.write_bytes(pickle.dumps({}))):
        write()
        with pytest.raises(CheckpointError, match=r"is a pickle, not safetensors.*refused"):
            load_weights(path)
    path.write_bytes(trained.model_path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_weights(path)
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="does not say which crosslight method"):
        load_weights(path)

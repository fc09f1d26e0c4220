"""What a command writes: a place before the work begins, and the old result until the end."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crosslight import cli


@pytest.fixture
def features(tmp_path) -> Path:
    rng, pids = np.random.default_rng(0), np.repeat(np.arange(1, 5), 6)
    split = np.where(np.arange(24) % 6 == 0, "query", "gallery")
    feats = rng.normal(size=(24, 4))
    path = tmp_path / "x.npz"
    np.savez(path, feats=feats, pids=pids, cams=np.tile([1, 2, 3], 8), split=split)
    return path


def test_scores_are_written_into_a_new_folder(features, tmp_path):
    out = tmp_path / "new" / "er" / "x.json"
    cli.main(["score", str(features), "--protocol", "market1501", "--json", str(out)])
    assert json.loads(out.read_text())["protocol"] == "market1501"


def test_a_full_disk_leaves_the_scores_of_the_last_time(features, tmp_path):
    """A limit on the size of files says what a full disk says, in the same place."""
    out = tmp_path / "x.json"
    out.write_text("the scores of last week")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "crosslight", "score", str(features)),
            *("--protocol", "market1501", "--json", str(out)),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # or 50 bytes of it stay behind
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("crosslight: No space left")
    assert out.read_text() == "the scores of last week"


@pytest.mark.parametrize("place", ["a folder", "below a file"])
@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (["score", "no.npz", "--protocol", "market1501"], "--json"),
        (["gallery", "search", "no.lance", "no.jpg"], "--sheet"),
        (["data", "show", "DATA"], "--out"),
        (["report", "RUN"], "--out"),
        (["swap", "RUN"], "--out"),
        (["swap", "RUN"], "--maps"),
    ],
    ids=lambda part: " ".join(part[:2]) if isinstance(part, list) else part,
)
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    fails, promenade, trained, tmp_path, command, flag, place
):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    out = tmp_path / ("folder.png" if place == "a folder" else "file/x.png")
    named = {"DATA": str(promenade), "RUN": str(trained)}
    said = fails(*(named.get(part, part) for part in command), flag, out)
    assert str(out) in said or f"{tmp_path / 'file'} cannot be written" in said


@pytest.mark.parametrize("flag", ["--out"])
@pytest.mark.parametrize(
    "command",
    [
        ["ablate", "RECIPE", "--data", "sysu-mm01:DATA"],
        ["train", "RECIPE", "--data", "sysu-mm01:DATA"],
    ],
    ids=lambda part: part[0],
)
def test_a_folder_that_cannot_be_made_is_said_before_the_work(
    fails, promenade, trained, recipe, tmp_path, command, flag
):
    (tmp_path / "file").touch()
    named = {"DATA": str(promenade), "RUN": str(trained), "RECIPE": str(recipe)}
    for name, path in named.items():
        command = [part.replace(name, path) for part in command]
    assert "file" in fails(*command, flag, tmp_path / "file" / "below")


def test_a_sheet_is_called_what_it_is(fails, promenade, tmp_path):
    said = fails("data", "show", promenade, "--out", tmp_path / "sheet.txt")
    assert "NAME.png" in said
    cli.main(["data", "show", str(promenade), "--out", str(tmp_path / "new" / "sheet.png")])
    assert (tmp_path / "new" / "sheet.png").is_file()


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A run of one's own to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def evaluation(run: Path) -> dict[str, bytes]:
    files = [*(run / "evaluation").iterdir(), run / "metrics.json"]
    return {path.name: path.read_bytes() for path in files}


def test_a_failed_evaluation_leaves_the_last_one(fails, run, promenade, tmp_path):
    images = sorted(promenade.glob("cam1/*/*.jpg"))[:4]
    rows = [f"{path},{number},1,query" for number, path in enumerate(images)]
    (tmp_path / "table.csv").write_text("\n".join(["path,pid,cam,split", *rows, ""]))
    before = evaluation(run)
    fails("evaluate", run, "--data", f"table:{tmp_path / 'table.csv'}", "--workers", "0")
    assert evaluation(run) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation/settings.json", b"{"),
        ("evaluation/settings.json", b'{"layout": "regdb"}'),
        ("evaluation/settings.json", b"\xff\xfe"),
        ("evaluation/settings.json", None),
        ("evaluation/features.npz", b""),
        ("evaluation/table.parquet", b"PAR1"),
        ("evaluation/table.parquet", None),
    ],
)
def test_a_damaged_evaluation_can_be_made_again(fails, run, promenade, name, content):
    """Empty, cut short, of another version, or a folder in its place."""
    before = evaluation(run)
    (run / name).unlink()
    if content is None:
        (run / name).mkdir()
    else:
        (run / name).write_bytes(content)
    said = fails("report", run)
    assert f"crosslight evaluate {run} --data" in said
    if content is None:
        (run / name).rmdir()
    cli.main(["evaluate", str(run), "--data", f"sysu-mm01:{promenade}", "--workers", "0"])
    assert evaluation(run) == before


@pytest.mark.parametrize("content", [b"", b"[1, 2", None])
@pytest.mark.parametrize(
    "name", ["config.yaml", "model.safetensors", "checkpoints/last.pt", "log.jsonl"]
)
def test_a_damaged_run_file_is_one_sentence(fails, run, recipe, promenade, name, content):
    data = ("--data", f"sysu-mm01:{promenade}")
    checkpoints = [*(run / "checkpoints").glob("*.pt")] if ".pt" in name else []
    for path in {run / name, *checkpoints}:
        path.unlink(missing_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    if name == "log.jsonl":
        cli.main(["report", str(run)])
    elif name == "checkpoints/last.pt":
        fails("train", recipe, *data, "--out", run)
    else:
        fails("evaluate", run, *data, "--workers", "0")


def test_other_training_images_are_counted_and_either_remedy_works(
    fails, recipe, promenade, tmp_path
):
    data, run = Path(shutil.copytree(promenade, tmp_path / "data")), tmp_path / "run"
    command = ["train", str(recipe), "--data", f"sysu-mm01:{data}", "--out"]
    cli.main([*command, str(run)])
    people = (data / "exp" / "train_id.txt").read_text().split(",")
    removed = sorted(data.glob(f"cam1/{int(people[0]):04}/*.jpg"))[0]
    content = removed.read_bytes()
    removed.unlink()
    (removed.parent / "0099.jpg").write_bytes(content)
    said = fails(*command, run)
    assert "training images are others" in said
    assert f"1 were removed, such as {removed.relative_to(data)}" in said
    assert "1 were added, such as" in said
    cli.main([*command, str(tmp_path / "another")])
    (removed.parent / "0099.jpg").rename(removed)
    cli.main([*command, str(run)])


def test_a_disk_that_is_full_at_a_runs_first_file_is_told(promenade, recipe, tmp_path):
    """The first file is Parquet, of which polars tells as of a failed computation."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "crosslight", "train", str(recipe)),
            *("--data", f"sysu-mm01:{promenade}", "--out", str(tmp_path / "run")),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "free some space" in done.stderr

"""The units of deploy/: systemd takes them, they leave little open, and their commands run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from crosslight.cli import app, main
from crosslight.gallery.stores.opening import create_like, open_store
from tests.gallery.rows import INFO, made_up
from tests.test_commands_of_pages import parsed_only

pytestmark = pytest.mark.operations

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES = sorted(path.name for path in DEPLOY.glob("*.service"))
PROGRAM = "/opt/crosslight/bin/crosslight"
MOST_EXPOSED = 30
"""Of 100, by `systemd-analyze security`; a service that says nothing has 92 to 96."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, for a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze in the PATH; Debian: apt install systemd")
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def test_systemd_takes_them(units: Path) -> None:
    names = [str(path) for path in sorted(units.iterdir())]
    assert len(names) == 5
    done = subprocess.run(
        ["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_they_leave_little_open(units: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}"]
    done = subprocess.run([*command, str(units / name)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()[-400:]


@pytest.mark.parametrize("name", SERVICES)
def test_their_commands_are_taken(name: str) -> None:
    parsed_only(app).cli(prog="crosslight", args=_command(name))


@pytest.mark.parametrize("name", SERVICES)
def test_compiled_code_is_kept_where_no_other_user_writes(name: str) -> None:
    said = (DEPLOY / name).read_text()
    assert "\nCacheDirectory=crosslight\nCacheDirectoryMode=0700\n" in said
    assert re.search(r"^Environment=.*\bNUMBA_CACHE_DIR=%C/crosslight$", said, re.MULTILINE)


def _exec(name: str) -> str:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE)
    return line.replace("%%", "%").replace("$$", "$")


def _command(name: str) -> list[str]:
    words = shlex.split(_exec(name))
    if words[0] == "/bin/sh":
        words = shlex.split(words[2].partition(" && ")[0].replace("$(date +%F)", "2026-11-27"))
    assert words[0] == PROGRAM
    return words[1:]


def test_a_backup_of_every_night_is_restored_and_old_ones_go(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with create_like("people.lance", INFO) as store:
        store.add(made_up(40))
    program = tmp_path / "crosslight"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m crosslight "$@"\n')
    program.chmod(0o755)
    for name, age in (("2020-01-01.lance", 15), ("2020-01-02.lance", 13)):
        shutil.copytree("people.lance", Path("backups") / name)
        then = (Path("backups") / name).stat().st_mtime - age * 86_400 - 60
        os.utime(Path("backups") / name, (then, then))
    command = _exec("crosslight-backup.service").replace(PROGRAM, str(program))
    before = date.today()
    subprocess.run(shlex.split(command), check=True)
    names = {f"{day.isoformat()}.lance" for day in (before, date.today())}
    kept = {path.name for path in Path("backups").iterdir()}
    assert "2020-01-01.lance" not in kept
    assert "2020-01-02.lance" in kept
    (made,) = kept & names
    shutil.rmtree("people.lance")
    main(["gallery", "copy", f"backups/{made}", "people.lance"])
    with open_store("people.lance") as store:
        assert store.count() == 40
        query = store.get(["row-0000007"])
        assert store.search(query.vectors, 1)[0][0].id == "row-0000007"


def test_a_backup_that_fails_removes_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = Path("backups") / "2020-01-01.lance"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    command = _exec("crosslight-backup.service").replace(PROGRAM, "/bin/false")
    done = subprocess.run(shlex.split(command), check=False)
    assert done.returncode == 1
    assert old.is_dir()

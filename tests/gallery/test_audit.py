"""The log of who searched, removed and exported."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crosslight.errors import ConfigError, GalleryError
from crosslight.gallery import audit as audits
from crosslight.gallery.audit import Audit, audit_of, filter_told
from crosslight.gallery.stores.opening import create_like
from crosslight.gallery.stores.rows import Filter
from tests.gallery.rows import INFO


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(audit: Audit, number: int, **options: object) -> None:
    audit.write("search", who="anna", origin="10.0.0.7", what={"n": number, **options}, rows=3)


def test_a_line_says_who_what_when_and_how_many(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    audit = Audit(path)
    where = Filter(cams=frozenset({3, 1}), since=5.0)
    what = {"row": "a\nb é", **filter_told(where)}
    audit.write("remove", who=None, origin="command", what=what, rows=2)
    (line,) = lines_of(path)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "who": None, "from": "command", "action": "remove", "rows": 2,
        "what": {"row": "a\nb é", "cams": [1, 3], "since": 5.0},
    }  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert audit_of(None) is None


def test_large_files_are_put_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(audits, "LARGEST_BYTES", 1_000)
    monkeypatch.setattr(audits, "KEPT", 3)
    path = tmp_path / "audit.jsonl"
    for number in range(60):
        write(Audit(path), number)
    files = sorted(tmp_path.glob("audit.jsonl*"))
    assert [file.name for file in files] == [
        "audit.jsonl",
        *(f"audit.jsonl.{n}" for n in (1, 2, 3)),
    ]
    assert all(file.stat().st_size <= 1_000 for file in files)
    numbers = [line["what"]["n"] for file in [*files[:0:-1], files[0]] for line in lines_of(file)]
    assert numbers == list(range(numbers[0], 60))
    assert numbers[0] > 0


WRITING = """
import sys
from pathlib import Path
from crosslight.gallery import audit as audits

audits.LARGEST_BYTES = 20_000
for number in range(200):
    audit = audits.Audit(Path(sys.argv[1]))
    audit.write("search", who=sys.argv[2], origin="x", what={"n": number}, rows=1)
"""


def test_several_processes_may_write_and_no_line_is_lost_or_mixed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    command = [sys.executable, "-c", WRITING, str(path)]
    running = [subprocess.Popen([*command, who]) for who in ("anna", "bob")]
    assert [process.wait() for process in running] == [0, 0]
    lines = [line for file in tmp_path.glob("audit.jsonl*") for line in lines_of(file)]
    said = sorted((line["who"], line["what"]["n"]) for line in lines)
    assert said == [(who, n) for who in ("anna", "bob") for n in range(200)]
    assert path.with_name("audit.jsonl.1").exists()


def test_half_a_line_of_somebody_who_was_killed_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(Audit(path), 1)
    path.write_bytes(path.read_bytes() + b'{"time": "20')
    write(Audit(path), 2)
    first, half, second = path.read_text().splitlines()
    assert (json.loads(first)["what"]["n"], half, json.loads(second)["what"]["n"]) == (
        1, '{"time": "20', 2,
    )  # fmt: skip


def test_what_cannot_be_written_is_not_answered(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    path.mkdir()
    with pytest.raises(GalleryError, match="so nothing is answered"):
        write(audit, 1)
    with pytest.raises(ConfigError, match="is a folder"):
        Audit(path)


@pytest.mark.parametrize("ending", ["exact", "lance", "milvus"])
def test_a_log_inside_a_store_is_refused(tmp_path: Path, ending: str) -> None:
    if ending == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    store = tmp_path / f"people.{ending}"
    create_like(store, INFO).close()
    for place in ("audit.jsonl", "logs/audit.jsonl"):
        with pytest.raises(ConfigError, match="would lie inside a store"):
            Audit(store / place)


def test_a_link_to_a_log_stays_when_the_log_is_put_aside(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(audits, "LARGEST_BYTES", 200)
    (tmp_path / "big").mkdir()
    link, log = tmp_path / "audit.jsonl", tmp_path / "big" / "log.jsonl"
    link.symlink_to(log)
    for number in range(3):
        write(Audit(link), number)
    assert link.is_symlink()
    assert [line["what"]["n"] for line in lines_of(log)] == [2]
    assert [line["what"]["n"] for line in lines_of(log.with_name("log.jsonl.1"))] == [1]
    assert [path.name for path in tmp_path.glob("*.jsonl*")] == ["audit.jsonl"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes; run it on Linux or macOS")
def test_a_log_that_would_not_stay_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is a pipe or a device"):
        Audit(tmp_path / "pipe")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]

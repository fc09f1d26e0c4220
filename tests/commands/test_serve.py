"""`crosslight serve` as a process: it answers, keeps others out, and leaves in good order."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.last_resort import HANG_S

from crosslight.commands.serve import TOKEN_VARIABLE, token_for
from crosslight.data.images import read_image
from crosslight.experiments.embedder import load_embedder
from crosslight.gallery.opening import create_store
from crosslight.gallery.rows import build_rows

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory, trained: Path, promenade: Path) -> Path:
    """A store with two images of a trained model."""
    embedder = load_embedder(trained)
    paths = sorted((promenade / "cam1").rglob("*.jpg"))[:2]
    vectors = embedder.embed([read_image(path) for path in paths], [0, 0])
    location = tmp_path_factory.mktemp("store") / "people.exact"
    with create_store(
        location,
        model=embedder.fingerprint,
        method=embedder.method,
        run=embedder.run,
        dim=vectors.shape[1],
        distance=embedder.distance,
    ) as made:
        made.add(
            build_rows(
                {"id": ["a", "b"], "thumbnail": [path.read_bytes() for path in paths]},
                vectors,
                model=embedder.fingerprint,
            )
        )
    return location


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command on a free port; gives the process and the page's address."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> tuple[subprocess.Popen[str], str]:
        program = "from crosslight.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"Page:\s+(\S+)", line):
                return process, found[1]
        raise AssertionError(process.stderr.read() if process.stderr else "")

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(address: str, token: str | None = None) -> dict[str, object]:
    request = urllib.request.Request(address)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=HANG_S) as reply:
        return json.load(reply)


def test_it_answers_and_leaves_in_good_order(start: Start, store: Path) -> None:
    process, address = start(store)
    assert ask(f"{address}health") == {"status": "ok"}
    assert ask(f"{address}api/gallery")["rows"] == 2
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")


def test_beyond_this_machine_a_token_is_made(start: Start, store: Path) -> None:
    process, address = start(store, "--host", "0.0.0.0")
    page, _, token = address.partition("#token=")
    local = page.replace("0.0.0.0", "127.0.0.1")
    assert len(token) >= 16
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{local}api/gallery")
    assert ask(f"{local}api/gallery", token)["rows"] == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert out.endswith("Stopped.\n")
    assert "a token was made" in err


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\n")
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert token_for("127.0.0.1", None) is None
    assert token_for("0.0.0.0", None) != token_for("0.0.0.0", None)
    monkeypatch.setenv(TOKEN_VARIABLE, "from the environment")
    assert token_for("127.0.0.1", None) == token_for("::", None) == "from the environment"
    assert token_for("127.0.0.1", file) == "from the file"


def test_a_port_in_use_is_told(store: Path, fails) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sentence = fails("serve", store, "--port", taken.getsockname()[1])
    assert "cannot be listened on" in sentence


def test_no_store_no_token_no_limit(store: Path, tmp_path: Path, fails) -> None:
    assert "There is no store" in fails("serve", tmp_path / "nothing")
    assert "cannot be read" in fails("serve", store, "--token-file", tmp_path / "nothing")
    assert "above 0" in fails("serve", store, "--upload-mib", 0)
    short = tmp_path / "token"
    short.write_text("short\n")
    assert "5 characters" in fails("serve", store, "--token-file", short)


def test_the_model_of_another_run_is_refused(
    store: Path, trained: Path, tmp_path: Path, fails
) -> None:
    assert "is no longer at" in fails("serve", store, "--model", tmp_path / "gone")

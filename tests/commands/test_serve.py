"""`crosslight serve` as a process: it answers, keeps others out, and leaves in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import segno
from tests.last_resort import HANG_S

from crosslight.cli import main
from crosslight.commands.serve import TOKEN_VARIABLE, token_for
from crosslight.commands.serve_address import code_lines, reachable
from crosslight.data.images import read_image
from crosslight.experiments.embedder import load_embedder
from crosslight.gallery.service.settings import Address
from crosslight.gallery.stores.opening import create_store
from crosslight.gallery.stores.rows import build_rows

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

    def run(*arguments: object, before: str = "") -> tuple[subprocess.Popen[str], str]:
        program = f"{before}\nfrom crosslight.cli import main; main()"
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


def test_an_upload_that_does_not_end_is_told_that_the_service_stops(
    start: Start, store: Path
) -> None:
    before = "import crosslight.commands.serve as serve; serve.LEAVING_S = 1"
    process, address = start(store, before=before)
    where = urllib.parse.urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=HANG_S) as client:
        head = (
            f"POST /api/search HTTP/1.1\r\nHost: {where.netloc}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000\r\n"
            "Expect: 100-continue\r\n\r\n"
        )
        client.sendall(head.encode())
        assert b"100 Continue" in client.recv(100)  # the service waits for the rest
        client.sendall(b"--x")
        process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert b" 503 " in answer
    assert b"The service is stopping" in answer
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert out.endswith("Stopped.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_it_serves_is_not_lost(store: Path, number: signal.Signals) -> None:
    program = f"""
import signal
import uvicorn
from crosslight.cli import main
run = uvicorn.Server.run
def early(*arguments, **named):
    signal.raise_signal({number.value})
    run(*arguments, **named)
uvicorn.Server.run = early
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", store, "--port", "0"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Ctrl-C stops it.\nStopped.\n")


def test_beyond_this_machine_a_token_is_made_and_the_address_can_be_opened(
    start: Start, store: Path
) -> None:
    process, address = start(store, "--host", "0.0.0.0")
    page, _, token = address.partition("#token=")
    assert f"//{reachable('0.0.0.0')}:" in page
    page = f"http://127.0.0.1:{page.rpartition(':')[2]}"
    assert len(token) >= 16
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{page}api/gallery")
    assert ask(f"{page}api/gallery", token)["rows"] == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert out.endswith("Stopped.\n")
    assert "█" not in out  # nobody looks at a pipe
    assert "a token was made" in err


def test_the_address_is_one_of_this_machine() -> None:
    """Whatever its networks are: a socket can be bound to it."""
    with socket.create_server((reachable("0.0.0.0"), 0)) as bound:
        assert bound.getsockname()[0] == reachable("0.0.0.0")


def test_the_address_of_a_machine_without_a_way_out_is_the_one_it_listens_on(monkeypatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert reachable("0.0.0.0") == "0.0.0.0"
    assert reachable("::") == "[::]"
    assert reachable("192.0.2.77") == "192.0.2.77"


def test_the_code_in_a_terminal_is_the_address_that_is_printed(store: Path) -> None:
    """The modules are read back from the characters and compared with those of the address."""
    pty = pytest.importorskip("pty", reason="run it on Linux or macOS, which have terminals")
    seen, terminal = pty.openpty()
    program = "from crosslight.cli import main; main()"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", program, "serve", store, "--host", "0.0.0.0", "--port", "0"),
        ],
        stdout=terminal,
        stderr=subprocess.DEVNULL,
    )
    os.close(terminal)
    with open(seen, encoding="utf-8") as lines:  # noqa: PTH123  a terminal has no path
        told = []
        for line in lines:
            told.append(line.rstrip())
            if "Ctrl-C" in line:
                break
        process.send_signal(signal.SIGINT)
        process.wait(timeout=HANG_S)
    (address,) = (line.split()[1] for line in told if line.startswith("Page:"))
    drawn = [line for line in told if line.startswith("\033[97;40m")]
    assert drawn == code_lines(address)


def test_a_code_is_white_on_black_with_its_margin() -> None:
    lines = [re.sub(r"\033\[[0-9;]*m", "", line) for line in code_lines("http://10.0.0.7:8000/")]
    light = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    pairs = [[light[character] for character in line] for line in lines]
    rows = [[pair[half] for pair in line] for line in pairs for half in (0, 1)]
    width = len(rows[0])
    code = [row[2:-2] for row in rows[2 : width - 2]]
    assert [list(row) for row in segno.make_qr("http://10.0.0.7:8000/", error="l").matrix] == code
    margin = [*rows[:2], *rows[width - 2 : width], *([*row[:2], *row[-2:]] for row in rows[:width])]
    assert not any(map(any, margin))
    assert all(line.startswith("\033[97;40m") for line in code_lines("x"))


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch, capsys) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\n")
    file.chmod(0o600)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert token_for(Address()) is None
    assert token_for(Address(host="0.0.0.0")) != token_for(Address(host="0.0.0.0"))
    assert "not encrypted" in capsys.readouterr().err
    assert token_for(Address(trusted_proxy=("127.0.0.1",))) is not None
    told = capsys.readouterr().err
    assert "a token was made" in told
    assert "not encrypted" not in told
    monkeypatch.setenv(TOKEN_VARIABLE, "from the environment")
    assert token_for(Address()) == token_for(Address(host="::")) == "from the environment"
    assert token_for(Address(token_file=file)) == "from the file"
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    assert token_for(Address(token_file=file)) == "from the file"
    told = capsys.readouterr().err
    assert f"can read {file}" in told
    assert "chmod 600" in told


def test_users_come_in_with_their_own_tokens_and_are_seen_through_a_proxy(
    start: Start, store: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token-that-is-not-asked-for")
    file = tmp_path / "users.txt"
    main(["users", "add", str(file), "anna", "--role", "label"])
    token = capsys.readouterr().out.strip()
    process, address = start(store, "--users", file, "--trusted-proxy", "127.0.0.1")
    assert "#token" not in address
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{address}api/gallery", "a-token-that-is-not-asked-for")
    assert ask(f"{address}api/session", token) == {"name": "anna", "role": "label"}
    headers = {"x-forwarded-proto": "https", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{address}api/session", method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=HANG_S) as reply:
        assert "Secure" in reply.headers["set-cookie"]
    main(["users", "remove", str(file), "anna"])
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{address}api/session", token)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0


def test_users_that_cannot_be_used_are_told_before_anything_is_loaded(
    tmp_path: Path, fails
) -> None:
    file, nowhere = tmp_path / "users.txt", tmp_path / "no-store"
    assert "crosslight users add" in fails("serve", nowhere, "--users", file)
    main(["users", "add", str(file), "anna"])
    assert "give one of them" in fails("serve", nowhere, "--users", file, "--token-file", file)
    assert "no address" in fails("serve", nowhere, "--trusted-proxy", "caddy")
    file.chmod(0o664)
    assert "chmod 600" in fails("serve", nowhere, "--users", file)
    file.chmod(0o600)
    main(["users", "remove", str(file), "anna"])
    assert "names nobody" in fails("serve", nowhere, "--users", file)
    assert "There is no store" in fails("serve", nowhere)


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

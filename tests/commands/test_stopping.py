"""What stops a training from outside: a closed terminal, a second training in the same folder."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path


def training(recipe: Path, promenade: Path, out: Path, *settings: str) -> list[str]:
    """The command line of a training that ends long after whatever a test waits for."""
    changes = ("config.epochs=100000", "training.log_every=1", *settings)
    return [
        *(sys.executable, "-m", "crosslight", "train", str(recipe)),
        *("--data", f"sysu-mm01:{promenade}", "--out", str(out)),
        *(part for change in changes for part in ("--set", change)),
    ]


def _with_a_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Whoever runs the tests below nohup ignores it, and so would the training.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_closed_terminal_saves_the_training(recipe, promenade, tmp_path):
    """A terminal that hangs up: the system sends the signal, and writing there fails."""
    run = tmp_path / "run"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        training(recipe, promenade, run, "training.checkpoint_every=0", "data.workers=1"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_with_a_terminal,
    )
    os.close(theirs)
    shown = b""
    while not any(int(number) >= 3 for number in re.findall(rb" (\d+)/200000", shown)):  # the bar
        assert process.poll() is None
        shown += os.read(ours, 4096)
    os.close(ours)
    assert process.wait() == 129
    assert (run / "checkpoints" / "last.pt").is_file()


def test_a_second_training_into_a_folder_is_refused_at_once(fails, recipe, promenade, tmp_path):
    run = tmp_path / "run"
    command = training(recipe, promenade, run, "data.workers=1", "training.checkpoint_every=1")
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert first.stderr is not None
    assert b"agw on" in first.stderr.readline()
    before = (run / "log.jsonl").stat().st_ino
    said = fails(*command[3:])
    assert f"Another training writes to {run}" in said
    assert first.poll() is None
    assert (run / "log.jsonl").stat().st_ino == before
    first.kill()
    first.wait()
    # What a killed training leaves, its loading process too, keeps nobody out.
    last = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert last.stderr is not None
    assert b"agw on" in last.stderr.readline()
    last.kill()
    last.wait()

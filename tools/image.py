"""Builds the image of the Dockerfile, starts it, and asks it: a search by a user, and its health.

Where Docker does not run, the Dockerfile's own steps are run in a folder instead: a fresh
environment is made and filled, what the image copies is copied, and the command of the image is
started, by the image's user where this is run as root. Then the same is asked.

    python tools/image.py [--torch-index URL] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OWNED = ("/gallery", "/var/cache/crosslight")
"""What the image's user may write."""

PLACES = ("/opt/crosslight", "/src", *OWNED)
"""What the steps write; elsewhere below the folder in which they are run."""

PORT = "8000"
STARTS_S = 180


class StepError(Exception):
    """The Dockerfile does not do what it should."""


@dataclass
class Recipe:
    """What the last stage of a Dockerfile says.

    Attributes:
        steps: Instruction and words of all stages, in order.
        env, user, entrypoint, command, health: Of the last stage.
    """

    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def read(dockerfile: str) -> Recipe:
    """The steps of a Dockerfile of the kind that this repository has.

    Raises:
        StepError: It has an instruction that is not known here.
    """
    image = Recipe()
    joined = re.sub(r"\\\n", " ", dockerfile)
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        image.steps.append((word, rest))
        match word:
            case "FROM":
                image.env, image.user = {}, ""
            case "ENV":
                image.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                image.user = rest
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "CMD":
                image.command = json.loads(rest)
            case "HEALTHCHECK":
                image.health = json.loads(rest.partition("CMD ")[2])
            case "ARG" | "RUN" | "COPY" | "WORKDIR" | "VOLUME" | "EXPOSE":
                pass
            case _:
                raise StepError(f"{word} is not known here: {line}")
    return image


def sent(ignore: str, root: Path) -> list[Path]:
    """The files of a folder that a .dockerignore leaves, relative to it."""
    rules = [line for line in ignore.split() if not line.startswith("#")]
    found = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        place = path.relative_to(root)
        names = [str(place), *(str(above) for above in place.parents if above != Path())]
        left = True
        for rule in rules:
            pattern = rule.removeprefix("!")
            if any(fnmatch(name, pattern) or _anywhere(name, pattern) for name in names):
                left = rule.startswith("!")
        if left:
            found.append(place)
    return found


def _anywhere(name: str, pattern: str) -> bool:
    return pattern.startswith("**/") and fnmatch(Path(name).name, pattern.removeprefix("**/"))


def run_steps(image: Recipe, folder: Path, *, torch_index: str) -> Path:
    """Runs what builds the image, below a folder; gives what stands for `/` there."""
    root, context = folder / "root", folder / "context"
    for place in sent((ROOT / ".dockerignore").read_text(), ROOT):
        (context / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / place, context / place)
    env = {**os.environ, "TORCH_INDEX": torch_index}
    root.mkdir(parents=True, exist_ok=True)
    where = root
    for word, rest in image.steps:
        rest_here = _below(rest, root)
        match word:
            case "FROM":
                where = root
                print(f"== {rest}", flush=True)
            case "ENV":
                env |= {
                    name: os.path.expandvars(value)
                    for name, value in (pair.split("=", 1) for pair in shlex.split(rest_here))
                }
            case "WORKDIR":
                where = Path(rest_here)
                where.mkdir(parents=True, exist_ok=True)
            case "COPY" if rest.startswith("--from="):
                source = Path(shlex.split(rest_here)[1])
                if not source.exists():
                    raise StepError(f"{rest}: the stage before does not make {source}.")
            case "COPY":
                *sources, target = shlex.split(rest)
                for source in sources:
                    _copy(context / source, where / target, into=len(sources) > 1 or target == "./")
            case "RUN" if rest.startswith(("useradd", "install --directory")):
                print(f"-- left out, it is the image's own: {rest}", flush=True)
                for place in OWNED:
                    Path(f"{root}{place}").mkdir(parents=True, exist_ok=True)
            case "RUN":
                print(f"-- {rest}", flush=True)
                command = rest_here.replace("python -m venv", f"{sys.executable} -m venv")
                subprocess.run(["/bin/sh", "-ec", command], cwd=where, env=env, check=True)
    return root


def _below(text: str, root: Path) -> str:
    for place in PLACES:
        text = re.sub(rf"(?<![\w/.]){place}(?![\w])", f"{root}{place}", text)
    return text


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if not source.exists():
        raise StepError(f"COPY {source.name}: .dockerignore leaves it out, or it is not there.")
    target = target / source.name if into else target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


@contextmanager
def started_here(image: Recipe, root: Path, port: str) -> Iterator[None]:
    """The image's command in the folder of its steps; its health is asked as the image asks."""
    gallery = root / "gallery"
    env = {**os.environ, "HOME": str(gallery)}
    for name, value in image.env.items():
        env[name] = _below(value, root).replace("$PATH", os.environ["PATH"])
    shown = {}
    if os.geteuid() == 0 and _open_to_all(Path(sys.executable).resolve()):
        uid = int(re.search(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())[1])
        for own in (Path(f"{root}{place}") for place in OWNED):
            for path in (own, *own.rglob("*")):
                os.chown(path, uid, uid)
        print(f"It is run as user {uid}.", flush=True)
        shown = {"user": uid, "group": uid, "extra_groups": []}
    command = [part.replace(PORT, port) for part in (*image.entrypoint, *image.command)]
    command[command.index("0.0.0.0")] = "127.0.0.1"
    process = subprocess.Popen(command, cwd=gallery, env=env, **shown)
    health = [part.replace(PORT, port) for part in image.health]
    try:
        _wait(lambda: subprocess.run(health, env=env, capture_output=True, check=False), process)
        yield
    finally:
        process.terminate()
        if process.wait() != 0:
            raise StepError(f"The service ended with {process.returncode}, expected 0.")


def _open_to_all(program: Path) -> bool:
    """Whether another user than root may run this Python, which the steps' environment needs."""
    return all(place.stat().st_mode & 1 for place in (program, *program.parents))


def _wait(ask: object, process: subprocess.Popen[bytes]) -> None:
    """Until the image says that it is healthy."""
    end = time.monotonic() + STARTS_S
    while (asked := ask()).returncode:  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > end:
            raise StepError(f"The service does not get healthy: {asked.stderr[-500:]!r}")
        time.sleep(0.5)


def drawn(path: Path) -> Path:
    """A picture that stands for a person."""
    stripes = np.random.default_rng(0).integers(0, 255, (16, 8, 3), dtype=np.uint8)
    Image.fromarray(stripes).resize((128, 256)).save(path, quality=95)
    return path


def fill(run: Sequence[str], **options: object) -> str:
    """Enrols person.jpg in a new gallery and adds a user; gives the user's token.

    Args:
        run: What stands before the words of a command of crosslight.
        options: Of `subprocess.run`.
    """
    for words in (("create", "people.lance"), ("add", "people.lance", "person.jpg")):
        subprocess.run([*run, "gallery", *words], check=True, **options)
    added = subprocess.run(
        [*run, "users", "add", "users.txt", "anna"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    return added.stdout.strip()


def ask(port: str, token: str, picture: bytes) -> None:
    """Searches for the person who is enrolled; without the token nothing is told."""
    address = f"http://127.0.0.1:{port}/api/search"
    mark = "b0undary"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'.encode()
        + picture
        + f"\r\n--{mark}--\r\n".encode()
    )
    headers = {"content-type": f"multipart/form-data; boundary={mark}"}
    try:
        urllib.request.urlopen(urllib.request.Request(address, body, headers))
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
    else:
        raise StepError("It answers without a token.")
    headers["authorization"] = f"Bearer {token}"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as reply:
        found = json.load(reply)["results"]
    if not found or found[0]["distance"] > 0.01:
        raise StepError(f"The person who is enrolled is not found: {found}")
    print(f"A user finds the person, at a distance of {found[0]['distance']:.4f}.", flush=True)


def with_docker(torch_index: str, picture: Path) -> None:
    """Builds and starts the image itself."""
    name = f"crosslight-{os.getpid()}"
    build = ["docker", "build", "--build-arg", f"TORCH_INDEX={torch_index}", "--tag", name, "."]
    subprocess.run(build, cwd=ROOT, check=True)
    volume = ["--volume", f"{name}:/gallery"]
    run = ["docker", "run", "--rm", "--interactive", *volume]
    shown = subprocess.run(
        [*run, "--entrypoint", "sh", name, "-c", "cat > /gallery/person.jpg && id -u"],
        input=picture.read_bytes(), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    if int(shown.stdout) == 0:
        raise StepError("The image runs as root.")
    try:
        token = fill([*run, name])
        ports = ["--publish", f"127.0.0.1::{PORT}"]
        detach = ["docker", "run", "--detach", "--name", name, *ports, *volume, name]
        subprocess.run(detach, check=True)
        state = ["docker", "inspect", "--format", "{{.State.Health.Status}}", name]
        end = time.monotonic() + STARTS_S
        while _said(state) != "healthy":
            if time.monotonic() > end:
                raise StepError(
                    f"It is {_said(state)}, not healthy: {_said(['docker', 'logs', name])}"
                )
            time.sleep(1)
        ask(_said(["docker", "port", name, PORT]).rpartition(":")[2], token, picture.read_bytes())
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False)
        subprocess.run(["docker", "volume", "rm", name], check=False)
        subprocess.run(["docker", "rmi", name], check=False)


def _said(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torch-index", default="", help="builds of torch for processors alone")
    parser.add_argument("--keep", type=Path, help="folder for the steps; kept")
    given = parser.parse_args()
    docker = shutil.which("docker")
    with tempfile.TemporaryDirectory() as temporary:
        picture = drawn(Path(temporary) / "person.jpg")
        if docker and not subprocess.run([docker, "info"], capture_output=True).returncode:
            with_docker(given.torch_index, picture)
            return
        print("Docker does not run here: the Dockerfile's steps are run in a folder.", flush=True)
        image = read((ROOT / "Dockerfile").read_text())
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        root = run_steps(image, folder.resolve(), torch_index=given.torch_index)
        gallery = root / "gallery"
        shutil.copy(picture, gallery / "person.jpg")
        token = fill([str(root / "opt/crosslight/bin/crosslight")], cwd=gallery)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        with started_here(image, root, port):
            ask(port, token, picture.read_bytes())


if __name__ == "__main__":
    main()

"""What only a GPU shows, in nine minutes: tests, NCCL, 16 bits, compilation, resuming, speed.

Run `python benchmarks/gpu.py --out FOLDER` on a machine with one NVIDIA GPU, or rehearse it with
`--accelerator cpu`, at tiny sizes. Each part runs in a process of its own under a share of the
time. What it finds is written at once, so that a run that is cut keeps what it has: `gpu.json`
(every row) and `gpu.md` (a table). A part that fails is a row like any other, and the rest goes
on; the exit status is 1 if any failed. Speeds are ratios to the plain formulation of the same
step in float32; the goal is 3.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
GOAL = 3.0
SECONDS = 540
TESTS = (
    "tests/methods/test_every_method.py",
    "tests/methods/test_every_method_resumes.py",
)
PROCESSES = 4
REHEARSED = "agw"
DGNET = ("plain", "fp32", "bf16", "compiled")
AGW = ("plain", "fp32", "bf16", "compiled")
Row = dict[str, Any]
Rows = Iterator[Row]


def machine(device: str) -> Rows:
    """What it was measured on."""
    import torch

    name = platform.processor() or platform.machine()
    memory = 0.0
    if device == "cuda":
        name = torch.cuda.get_device_name()
        memory = torch.cuda.get_device_properties(0).total_memory / 2**20
    yield {"what": name, "mib": memory, "note": f"torch {torch.__version__}"}


def group(device: str) -> Rows:
    """The collective operations of a training, in a group of one."""
    import torch
    import torch.distributed as dist

    from crosslight.nn import distributed

    backend = "nccl" if device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, f"file://{folder}/meeting", rank=0, world_size=1)
        ours = torch.arange(6.0, device=device).reshape(3, 2).requires_grad_()
        gathered = distributed._Gather.apply(ours)
        (gathered * gathered).sum().backward()
        verdict = torch.tensor(3, device=device)
        dist.all_reduce(verdict, dist.ReduceOp.MAX)
        dist.broadcast(verdict, 0)
        assert torch.equal(gathered, ours)
        assert torch.equal(ours.grad, 2 * ours)
        assert int(verdict) == 3
        dist.destroy_process_group()
    yield {"what": f"{backend}: gather with gradient, reduce, broadcast"}


def commands(device: str) -> Rows:
    """What a user types: people drawn, trained on and scored; and what the library answers."""
    size = ["--height", "128", "--width", "64"]
    sixteen = "bf16-mixed" if device == "cpu" else "16-mixed"
    few = ["--set", "data.ids_per_batch=4", "--set", f"training.precision={sixteen}"]
    trainings = {
        "agw-promenade": [*few, "--set", "config.epochs=1"],
        "structure-id-promenade": [
            *few,
            *("--set", "config.identity_iterations=20"),
            *("--set", "config.iterations=20"),
        ],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        people = folder / "people"
        made = ["data", "make", "promenade", str(people), "--preset", "tiny", *size]
        yield from _guarded("data make promenade", lambda: _command(made))
        data = ["--data", f"sysu-mm01:{people}"]
        for recipe, flags in trainings.items():
            run = str(folder / recipe)
            asked = ["train", recipe, *data, "--out", run, *flags, "--accelerator", device]
            yield from _guarded(f"train {recipe}", lambda a=asked: _command(a))
            asked = ["evaluate", run, *data]
            yield from _guarded(f"evaluate {recipe}", lambda a=asked: _command(a))
        yield from _guarded("library", lambda: _library(folder / "agw-promenade", people, device))


def _command(arguments: list[str]) -> Row:
    done = subprocess.run(
        [sys.executable, "-m", "crosslight", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return {}


def _library(run: Path, people: Path, device: str) -> Row:
    """Embeddings on the device are those of the processor, and its tensors are scored."""
    import torch

    import crosslight as cl

    test = cl.read_layout("sysu-mm01", people).split("test")
    paths = [people / path for path in test.paths]
    there = cl.load_run(run, device=device).embed(paths)
    here = cl.load_run(run, device="cpu").embed(paths)
    x = torch.as_tensor(there).to(device)
    labels = {"pids": test.pids, "cams": test.cams, "modality": test.modality}
    scores = [
        cl.evaluate(cl.Features(feats=feats, **labels), "sysu-mm01/all/1").mAP
        for feats in (x, torch.as_tensor(here))
    ]
    assert abs(scores[0] - scores[1]) < 0.01, scores
    cl.score_distances(
        1 - x @ x.T, test.pids, test.pids, test.cams, test.cams, protocol="market1501"
    )
    furthest = float((torch.as_tensor(there) - torch.as_tensor(here)).abs().max())
    return {"note": f"largest difference of an embedding from the processor's {furthest:.1e}"}


def suites(device: str) -> Rows:
    """The project's own tests that compute on a device."""
    chosen = ["-k", REHEARSED] if device == "cpu" else []
    for file in TESTS[:2] if device == "cpu" else TESTS:
        yield from _guarded(file, lambda f=file: _pytest(f, chosen, device))


def _pytest(file: str, chosen: list[str], device: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", f"--junitxml={report}"]
        command += ["--numprocesses", str(PROCESSES)]
        done = subprocess.run(
            [*command, *chosen, file],
            cwd=ROOT,
            env={**os.environ, "CROSSLIGHT_TEST_DEVICE": device},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not report.is_file():
            raise RuntimeError(done.stdout[-2000:])
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    told = f"{suite.get('tests')} tests, {failed} failed, {suite.get('skipped')} skipped"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"ok": done.returncode == 0, "note": told, "error": "\n".join(lines)}


def dgnet_step(device: str) -> Rows:
    """One DG-Net iteration before and after the ramp."""
    pairs = 8 if device == "cuda" else 2
    flags = ["--pairs", str(pairs), "--device", device]
    if device == "cpu":
        flags += ["--height=80", "--width=40", "--backbone=resnet10-quarter", "--iterations=1"]
    for when, more in (("after the ramp", ["--ramped"]), ("before the ramp", [])):
        variants = DGNET if device == "cuda" else DGNET[:2]
        yield from _steps("dgnet_step", when, [*flags, *more], variants, 4 * pairs)


def agw_step(device: str) -> Rows:
    """One AGW iteration."""
    images = 64 if device == "cuda" else 8
    flags = ["--images", str(images), "--device", device]
    if device == "cpu":
        flags += ["--height=64", "--width=32", "--backbone=resnet10-quarter", "--iterations=1"]
    yield from _steps("agw_step", "", flags, AGW if device == "cuda" else AGW[:3], images)


def _steps(
    script: str, when: str, flags: list[str], variants: tuple[str, ...], images: int
) -> Rows:
    plain: dict[str, float] = {}
    for variant in variants:
        label = f"{variant}, {when}" if when else variant
        for row in _guarded(label, lambda v=variant: _measured(script, [*flags, "--variant", v])):
            if row["ok"]:
                plain = plain or row
                row["images_per_s"] = images / row["seconds"]
                row["ratio"] = (
                    plain["seconds"] / row["seconds"] if "plain" in plain["what"] else None
                )
            yield row


def _measured(script: str, flags: list[str]) -> Row:
    command = [sys.executable, "-m", f"benchmarks.{script}", *flags]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def _guarded(what: str, measure: Callable[[], Row]) -> Rows:
    """The row of one measurement; what went wrong in it is in the row."""
    began = time.monotonic()
    try:
        row = {"what": what, "ok": True, **measure()}
    except Exception:
        row = {"what": what, "ok": False, "error": traceback.format_exc()[-2000:]}
    yield {**row, "took_s": round(time.monotonic() - began, 1)}


# In order of what is least known; each may take its share of what is left of the time.
PARTS: dict[str, tuple[Callable[[str], Rows], float]] = {
    "machine": (machine, 0.2),
    "group": (group, 0.2),
    "agw step": (agw_step, 0.4),
    "dgnet step": (dgnet_step, 0.5),
    "commands": (commands, 0.6),
    "tests": (suites, 1.0),
}


def main() -> None:
    """Runs the parts one after the other, or one of them."""
    import torch

    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of gpu.json and gpu.md")
    parser.add_argument("--accelerator", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that all of it may take")
    parser.add_argument("--parts", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.accelerator == "cuda" and found == "cpu":
        sys.exit("torch finds no NVIDIA GPU here; rehearse with --accelerator cpu.")
    if arguments.part:
        for row in PARTS[arguments.part][0](arguments.accelerator):
            print("ROW " + json.dumps(row), flush=True)
        return
    unknown = set(chosen := arguments.parts.split(",")) - set(PARTS)
    if unknown:
        sys.exit(f"There is no part {', '.join(sorted(unknown))}; choose of: {', '.join(PARTS)}.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    end = time.monotonic() + arguments.seconds
    for part in chosen:
        left = end - time.monotonic()
        share = 1.0 if part == chosen[-1] else PARTS[part][1]
        for row in _run_part(part, arguments, share * left):
            rows.append({"part": part, "ok": True, **row})
            _write(rows, arguments.out)
            print(_line(rows[-1]), flush=True)
    failed = [row for row in rows if not row["ok"]]
    print(f"{len(rows)} rows, {len(failed)} failed: {arguments.out / 'gpu.md'}")
    sys.exit(bool(failed))


def _run_part(part: str, arguments: argparse.Namespace, limit_s: float) -> Rows:
    """The rows of a part as they come; one more where it broke off or took too long."""
    flags = ["--part", part, "--out", str(arguments.out), "--accelerator", arguments.accelerator]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            ["timeout", "--kill-after=5", f"{limit_s:.0f}", sys.executable, __file__, *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ROW "):
                yield json.loads(line.removeprefix("ROW "))
        if status := process.wait():
            told.seek(0)
            late = status in (124, 137)
            error = f"took more than its {limit_s:.0f} s" if late else told.read()[-2000:]
            yield {"what": "the part as a whole", "ok": False, "error": error}


def _write(rows: list[Row], out: Path) -> None:
    """Both files whole at any time."""
    head = ["part", "what", "ok", "seconds", "images/s", "MiB", "times plain", "note"]
    table = [head, ["---"] * 3 + ["---:"] * 4 + ["---"], *map(_cells, rows)]
    failures = [
        f"## {row['part']}: {row['what']}\n\n```\n{row['error'].strip()}\n```"
        for row in rows
        if row.get("error")
    ]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    pages = {
        "gpu.json": json.dumps(rows, indent=1) + "\n",
        "gpu.md": "\n\n".join([text, *failures]) + "\n",
    }
    for name, content in pages.items():
        part = out / f"{name}.part"
        part.write_text(content, encoding="utf-8")
        part.replace(out / name)


def _cells(row: Row) -> list[str]:
    def number(key: str, form: str) -> str:
        value = row.get(key)
        return format(value, form) if value else ""

    ratio = number("ratio", ".2f")
    fast = row.get("ratio") and "plain" not in row["what"] and row["ratio"] >= GOAL
    note = row.get("note", "") + (f"at least {GOAL:g}x" if fast else "")
    return [
        row["part"],
        row["what"],
        "yes" if row["ok"] else "NO",
        number("seconds", ".4f"),
        number("images_per_s", ".0f"),
        number("mib", ".0f"),
        ratio,
        note,
    ]


def _line(row: Row) -> str:
    return "  ".join(filter(None, _cells(row)))


if __name__ == "__main__":
    main()

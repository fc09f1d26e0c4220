"""Sends requests of every kind to the service, good and bad, and watches its memory.

    python benchmarks/service_memory.py --requests 10000

The service runs in a process of its own, with a made-up gallery and a small model that was never
trained, so that what is measured is the service: reading uploads, embedding, searching, drawing
thumbnails, refusing. After the first tenth (buffers and caches fill up) memory must stay.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE, CAMS, HEIGHT, WIDTH = 200, 5, 128, 64
ALLOWED_GROWTH_MIB = 16


def made_up(person: int, cam: int) -> Image.Image:
    rng = np.random.default_rng([person, cam])
    return Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def serve(folder: Path, port: int) -> None:
    """The service's process."""
    import torch
    import uvicorn

    from crosslight.gallery.search import Embedder, Searcher
    from crosslight.gallery.service.app import create_app
    from crosslight.gallery.service.limits import Limits
    from crosslight.gallery.stores.opening import create_store
    from crosslight.gallery.stores.rows import build_rows
    from crosslight.nn.backbones import create_backbone

    torch.set_num_threads(1)
    network = create_backbone("resnet10-quarter").eval()

    @torch.inference_mode()
    def embed(images, _):
        arrays = [np.asarray(image.resize((WIDTH, HEIGHT))) for image in images]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
        return network(pixels).mean(dim=(2, 3)).numpy()

    rows = [(person, cam) for person in range(PEOPLE) for cam in range(CAMS)]
    images = [made_up(*row) for row in rows]
    vectors = np.concatenate([embed(images[i : i + 50], []) for i in range(0, len(images), 50)])
    embedder = Embedder(
        fingerprint="0" * 64,
        method="untrained",
        run="",
        distance="cosine",
        height=HEIGHT,
        width=WIDTH,
        embed=embed,
        swap=lambda appearance, _: appearance,
    )
    store = create_store(
        folder / "people.lance",
        model=embedder.fingerprint,
        method="untrained",
        run="",
        dim=vectors.shape[1],
        distance="cosine",
    )
    columns = {
        "id": [f"{person}-{cam}" for person, cam in rows],
        "pid": [person for person, _ in rows],
        "cam": [cam for _, cam in rows],
        "modality": [int(cam == 4) for _, cam in rows],
        "thumbnail": [jpeg(image) for image in images],
    }
    store.add(build_rows(columns, vectors, model=embedder.fingerprint))
    limits = Limits(searches_per_minute=1e9, reads_per_minute=1e9)
    app = create_app(Searcher(store, embedder), limits=limits)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def form(fields: dict[str, str], image: bytes | None = None) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    line = uuid.uuid4().hex
    parts = [
        f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if image is not None:
        head = f'--{line}\r\nContent-Disposition: form-data; name="image"; filename="q"\r\n\r\n'
        parts.append(head.encode() + image + b"\r\n")
    return b"".join([*parts, f"--{line}--\r\n".encode()]), f"multipart/form-data; boundary={line}"


def request(base: str, number: int) -> tuple[int, float]:
    """Sends the number-th request; gives its status and how long it took."""
    person, cam = number % PEOPLE, number // PEOPLE % CAMS
    large = jpeg(made_up(person, cam).resize((1200, 2400))) if number % 100 == 3 else None
    calls = [
        ("api/search", form({"top": "20"}, large or jpeg(made_up(person, cam)))),
        ("api/search", form({"row": f"{person}-{cam}", "cam": str(cam)})),
        (f"api/picture?row={person}-{cam}", None),
        ("api/search", form({}, jpeg(made_up(person, cam))[: 50 + number % 900])),
        ("api/draw", form({"kind": "swap", "row": f"{person}-0", "body": f"{person}-4"})),
        (f"api/rows?offset={number % 900}&limit=20", None),
        ("api/search", form({"row": f"nobody {uuid.uuid4()}"})),
        (f"nothing/{uuid.uuid4()}", None),
        ("api/gallery", None),
        ("metrics", None),
    ]
    path, sent = calls[number % len(calls)]
    made = urllib.request.Request(base + path)
    if sent is not None:
        made.data, kind = sent
        made.add_header("content-type", kind)
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(made, timeout=60) as reply:
            reply.read()
            status = reply.status
    except urllib.error.HTTPError as error:
        error.read()
        status = error.code
    return status, time.perf_counter() - start


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.port)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", folder, "--port", str(given.port)]
        with subprocess.Popen(command) as process:
            try:
                watch(process, f"http://127.0.0.1:{given.port}/", given.requests)
            finally:
                process.terminate()


def watch(process: subprocess.Popen[bytes], base: str, requests: int) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{base}health", timeout=5).close()
            break
        except OSError:
            if process.poll() is not None:
                sys.exit("The service did not start.")
            time.sleep(0.5)
    statuses: dict[int, int] = {}
    memory, seconds = [resident_mib(process.pid)], []
    print(f"requests {0:6}   resident {memory[0]:7.1f} MiB", flush=True)
    for number in range(requests):
        status, took = request(base, number)
        statuses[status] = statuses.get(status, 0) + 1
        seconds.append(took)
        if (number + 1) % max(1, requests // 10) == 0:
            memory.append(resident_mib(process.pid))
            print(f"requests {number + 1:6}   resident {memory[-1]:7.1f} MiB", flush=True)
    growth = memory[-1] - memory[1]
    times = statistics.quantiles(seconds, n=100)
    print(f"statuses: {dict(sorted(statuses.items()))}")
    print(f"time: median {1000 * times[49]:.1f} ms, 99 % within {1000 * times[98]:.1f} ms")
    print(f"growth after the first tenth: {growth:+.1f} MiB (allowed {ALLOWED_GROWTH_MIB})")
    if growth > ALLOWED_GROWTH_MIB or any(status >= 500 for status in statuses):
        sys.exit("The service grows or fails.")


if __name__ == "__main__":
    main()

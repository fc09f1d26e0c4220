"""How fast the default store takes rows in and answers, and how many of the right ones it finds.

    python benchmarks/gallery.py                        # 100,000 rows x 512, about 4 minutes
    python benchmarks/gallery.py --rows 1000000         # about half an hour, 8 GB of disk
    python benchmarks/gallery.py --kills 10             # and kills, of writers at each kind of work

The rows are made up: people with 25 crops each on 20 cameras, half of them infrared, in 96 latent
dimensions, which is harder for an index than most embeddings. Queries are new crops of the same
people. Every search is timed next to one exact scan of all vectors in numpy in the same process,
because a shared machine is not equally fast at all times: the ratio is the figure to compare, of
the time that passed or, where others work too, of the processors' time.
Recall is measured against an exact search in float32.

`--kills` ends processes that add, label and remove with SIGKILL, at random moments, and looks after
each for what they had acknowledged.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crosslight.gallery.stores.opening import create_store, open_store
from crosslight.gallery.stores.rows import Filter, Rows, build_rows

DIM = 512
LATENT = 96
CROPS = 25
CAMERAS = 20
NOISE = 0.5  # of a person's crops, beside 1 between people and 0.5 between cameras
MODEL = "0" * 64
BATCH = 5_000
NEAREST = 10
DAY_S = 86_400.0
THUMBNAIL = bytes(range(256)) * 2
AT_ONCE = 40  # rows that a process which is killed adds, labels or removes
LABEL = 1_000_000  # camera
FILTERS = {
    "no filter": Filter(),
    "other light (50 %)": Filter(modalities=frozenset({0})),
    "one camera (5 %)": Filter(cams=frozenset({3})),
    "one camera, a tenth of the day (0.5 %)": Filter(
        cams=frozenset({3}), since=0.4 * DAY_S, until=0.5 * DAY_S
    ),
}


class People:
    """Vectors of crops: person + camera + noise, in a latent space, turned into `DIM`."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(0)
        self.rows = rows
        self._basis = rng.normal(size=(LATENT, DIM)).astype(np.float32)
        self._people = rng.normal(size=(-(-rows // CROPS), LATENT)).astype(np.float32)
        self._cameras = 0.5 * rng.normal(size=(CAMERAS, LATENT)).astype(np.float32)

    def cams(self, numbers: np.ndarray) -> np.ndarray:
        """Of rows."""
        return numbers * 7 % CAMERAS

    def times(self, numbers: np.ndarray) -> np.ndarray:
        """Of a block of rows, in seconds."""
        return np.random.default_rng([2, int(numbers[0])]).uniform(0, DAY_S, len(numbers))

    def vectors(self, numbers: np.ndarray, seed: int) -> np.ndarray:
        """Of a block of rows; another seed gives other crops of the same people."""
        rng = np.random.default_rng([seed, int(numbers[0])])
        noise = NOISE * rng.normal(size=(len(numbers), LATENT)).astype(np.float32)
        latent = self._people[numbers // CROPS] + self._cameras[self.cams(numbers)] + noise
        vectors = latent @ self._basis
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows, `BATCH` at a time."""
        for start in range(0, self.rows, BATCH):
            yield np.arange(start, min(start + BATCH, self.rows))

    def queries(self, count: int) -> np.ndarray:
        """New crops of some people."""
        numbers = np.random.default_rng(9).integers(0, self.rows, count)
        return np.concatenate([self.vectors(numbers[n : n + 1], 10 + n) for n in range(count)])


def known_about(people: People, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """What the filters look at, for a block of rows."""
    cams = people.cams(numbers)
    modality = (cams % 2).astype(np.uint8)
    return {"cam": cams, "modality": modality, "time": people.times(numbers)}


def rows_of(people: People, numbers: np.ndarray) -> Rows:
    known = known_about(people, numbers)
    columns = {
        **known,
        "id": [name_of(n) for n in numbers],
        "pid": numbers // CROPS,
        "path": [f"cam{c}/{n}.jpg" for n, c in zip(numbers, known["cam"], strict=True)],
        "thumbnail": [THUMBNAIL] * len(numbers),
    }
    return build_rows(columns, people.vectors(numbers, 1), model=MODEL)


def name_of(number: int) -> str:
    return f"{number:024}"


def fill(people: People, folder: Path) -> dict[str, float]:
    """Inserts and indexes."""
    spent = 0.0
    store = create_store(folder, model=MODEL, method="made-up", run=".", dim=DIM, distance="cosine")
    with store:
        for numbers in people.blocks():
            rows = rows_of(people, numbers)
            start = time.perf_counter()
            store.add(rows)
            spent += time.perf_counter() - start
        start, start_cpu = time.perf_counter(), time.process_time()
        print(" ", store.optimize(), flush=True)
        return {
            "insert_rows_per_s": people.rows / spent,
            "index_s": time.perf_counter() - start,
            "index_cpu_s": time.process_time() - start_cpu,
        }


def everything(people: People) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All vectors and columns again, in memory, for the scan and the truth."""
    vectors = np.empty((people.rows, DIM), np.float32)
    parts = []
    for numbers in people.blocks():
        vectors[numbers] = people.vectors(numbers, 1)
        parts.append(known_about(people, numbers))
    return vectors, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fitting(where: Filter, columns: dict) -> np.ndarray:
    fits = np.ones(len(columns["cam"]), dtype=bool)
    if where.cams is not None:
        fits &= np.isin(columns["cam"], sorted(where.cams))
    if where.modalities is not None:
        fits &= np.isin(columns["modality"], sorted(where.modalities))
    if where.since is not None:
        fits &= (columns["time"] >= where.since) & (columns["time"] <= where.until)
    return fits


def scan(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The yardstick: the ten nearest of all, by numpy."""
    products = vectors @ query
    few = np.argpartition(-products, NEAREST)[:NEAREST]
    return few[np.argsort(-products[few])]


def times() -> np.ndarray:
    """Seconds by the clock, and of all processors for this process."""
    return np.array([time.perf_counter(), time.process_time()])


def ask(folder: Path, vectors: np.ndarray, columns: dict, queries: np.ndarray) -> dict:
    """Latency and recall for each filter, with a scan beside every search."""
    figures = {}
    with open_store(folder) as store:
        for name, where in FILTERS.items():
            fits = fitting(where, columns)
            for query in queries[:10]:
                store.search(query[None], NEAREST, where)
            took, scanned, right, wanted = [], [], 0, 0
            for query in queries:
                start = times()
                hits = store.search(query[None], NEAREST, where)[0]
                took.append(times() - start)
                start = times()
                scan(vectors, query)
                scanned.append(times() - start)
                products = np.where(fits, vectors @ query, -np.inf)
                truth = np.argpartition(-products, NEAREST)[:NEAREST]
                expected = {int(n) for n in truth if products[n] > -np.inf}
                right += len(expected & {int(hit.id) for hit in hits})
                wanted += len(expected)
            (p50, cpu), (scan_p50, scan_cpu) = np.median(took, axis=0), np.median(scanned, axis=0)
            figures[name] = {
                "rows": int(fits.sum()),
                "recall_at_10": right / wanted,
                "p50_ms": 1000 * p50,
                "p99_ms": 1000 * float(np.percentile(np.array(took)[:, 0], 99)),
                "cpu_ms": 1000 * cpu,
                "scan_p50_ms": 1000 * scan_p50,
                "scan_cpu_ms": 1000 * scan_cpu,
                "p50_ratio": p50 / scan_p50,
                "cpu_ratio": cpu / scan_cpu,
            }
    return figures


def memory_of_a_reader(folder: Path, people: People, queries: int) -> dict[str, float]:
    """MiB of a process that only opens the store and searches."""
    command = [sys.executable, __file__, "--reader", str(folder), "--rows", str(people.rows)]
    out = subprocess.run(
        [*command, "--queries", str(queries)], capture_output=True, text=True, check=True
    )
    return json.loads(out.stdout)


def read(folder: Path, people: People, queries: int) -> None:
    before = _resident()
    with open_store(folder) as store:
        for query in people.queries(queries):
            store.search(query[None], NEAREST)
    after = _resident()
    print(json.dumps({"opened_mib": before["anon"], **{f"{k}_mib": v for k, v in after.items()}}))


def _resident() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {"anon": int(found["RssAnon"]) / 1024, "file": int(found["RssFile"]) / 1024}


def work(deed: str, folder: Path, people: People, first: int) -> None:
    """Adds, labels or removes until it is killed, and says how far it is after each part."""
    with open_store(folder) as store:
        for start in range(first, people.rows, AT_ONCE):
            numbers = np.arange(start, min(start + AT_ONCE, people.rows))
            if deed == "add":
                store.add(rows_of(people, numbers))
            elif deed == "remove":
                store.remove_ids([name_of(n) for n in numbers])
            else:
                rows = store.get([name_of(n) for n in numbers])
                store.update(Rows(frame=rows.frame.with_columns(cam=LABEL), vectors=rows.vectors))
            print(start + AT_ONCE, flush=True)


def killed(deed: str, folder: Path, people: People, first: int, rng: np.random.Generator) -> int:
    """How far a process had come, by its own words, when it was killed."""
    command = [sys.executable, __file__, "--deed", deed, "--folder", str(folder)]
    command += ["--rows", str(people.rows), "--first", str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    done, took, last = first, 1.0, time.perf_counter()
    for _ in range(int(rng.integers(1, 4))):
        done = int(process.stdout.readline())
        took, last = time.perf_counter() - last, time.perf_counter()
    time.sleep(float(rng.uniform(0, took)))
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:
        done = int(line)
    process.wait()
    return done


def kill(people: People, folder: Path, kills: int) -> dict[str, int]:
    """Kills processes at their work, `kills` times each; all that is counted should be 0."""
    rng, rows = np.random.default_rng(3), people.rows
    grown, queries = People(2 * rows), people.queries(20)
    first = {"add": rows, "label": rows // 2, "remove": 0}
    done = dict(first)
    wrong = {"lost": 0, "twice": 0, "found again": 0, "answered otherwise": 0}
    for deed in [*first] * kills:
        done[deed] = killed(deed, folder, grown, done[deed], rng)
        added, labelled, gone = (
            [name_of(n) for n in range(first[name], done[name])] for name in done
        )
        with open_store(folder) as store:
            ids = store.frame(columns=("id",))["id"]
            wrong["twice"] += len(ids) - ids.n_unique()
            wrong["lost"] += len(set(added).difference(ids))
            wrong["lost"] += len(labelled) - int((store.labels(labelled)["cam"] == LABEL).sum())
            wrong["found again"] += len(set(gone).intersection(ids))
            for quick, exact in zip(
                store.search(queries, NEAREST),
                store.search(queries, NEAREST, exact=True),
                strict=True,
            ):
                names = {hit.id for hit in quick}
                wrong["found again"] += len(names.intersection(gone))
                wrong["answered otherwise"] += len(names.symmetric_difference(h.id for h in exact))
        print(f"  killed at {deed}: {done}, {wrong}", flush=True)
    return {"kills": len(first) * kills, **wrong}


def measure(people: People, folder: Path, queries: int) -> dict:
    """Fills the folder if it is empty, and asks."""
    print(f"{people.rows:,} rows x {DIM}", flush=True)
    filled = folder / "filled.json"
    store = folder / "people.lance"
    if not filled.exists():
        filled.write_text(json.dumps(fill(people, store)))
    files = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
    return {
        "rows": people.rows,
        **json.loads(filled.read_text()),
        "disk_mib": sum(files) / (1 << 20),
        "memory": memory_of_a_reader(store, people, queries),
        "search": ask(store, *everything(people), people.queries(queries)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the store here, and use it again")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--kills", type=int, default=0, help="of each kind of work; changes the store"
    )
    parser.add_argument("--reader", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--deed", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.deed:
        work(given.deed, given.folder, People(given.rows), given.first)
        return
    if given.reader:
        read(given.reader, People(given.rows), given.queries)
        return
    with tempfile.TemporaryDirectory(prefix="crosslight-gallery-") as place:
        folder = given.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(People(given.rows), folder, given.queries)
        if given.kills:
            store = folder / "people.lance"
            figures["kills"] = kill(People(given.rows), store, given.kills)
    print(f"  insert  {figures['insert_rows_per_s']:,.0f} rows/s, each batch of {BATCH} durable")
    print(f"  index   {figures['index_s']:.0f} s ({figures['index_cpu_s']:.0f} s of CPU)")
    print(f"  disk    {figures['disk_mib']:,.0f} MiB with 512-byte thumbnails")
    memory = figures["memory"]
    print(f"  reader  {memory['anon_mib']:,.0f} MiB of memory + {memory['file_mib']:,.0f} of files")
    for name, found in figures["search"].items():
        print(
            f"  {name:40} recall@10 {found['recall_at_10']:.3f}  p50 {found['p50_ms']:6.1f} ms  "
            f"p99 {found['p99_ms']:6.1f} ms  = {found['p50_ratio']:.2f} x a scan "
            f"({found['scan_p50_ms']:.0f} ms); CPU {found['cpu_ms']:.1f} ms = "
            f"{found['cpu_ratio']:.2f} x ({found['scan_cpu_ms']:.0f} ms)"
        )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The benchmark on a real video, run on a small film of coloured people."""

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import real_video
from benchmarks.real_video import BOXES, Crops, protocol_of, read_crops, spread
from PIL import Image

from crosslight.data.columns import read_cells, whole
from crosslight.errors import DataError
from crosslight.evaluation.features import Features

av = pytest.importorskip("av", reason="say: pip install av")

FPS = 10
COLOURS = ((220, 30, 30), (30, 200, 40), (40, 50, 220))
FRAMES = (0, 10, 20, 30)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> tuple[Path, Path]:
    """Three people of one colour each, who walk for 3.1 seconds, and where they are."""
    video = tmp_path_factory.mktemp("film") / "walk.mp4"
    lines = ["frame,left,top,right,bottom,pid"]
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        for number in range(FRAMES[-1] + 1):
            picture = Image.new("RGB", (320, 160), (120, 120, 120))
            for pid, colour in enumerate(COLOURS, start=1):
                box = (90 * pid - 80 + 2 * number, 40, 90 * pid - 50 + 2 * number, 120)
                picture.paste(colour, box)
                if number in FRAMES:
                    lines.append(",".join(map(str, (number, *box, pid))))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    boxes = video.with_suffix(".csv")
    boxes.write_text("\n".join(lines) + "\n")
    return video, boxes


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["real_video.py", *map(str, arguments)])
    real_video.main()


def test_the_table_has_a_row_for_each_kind_of_features(film, monkeypatch, capsys):
    video, boxes = film
    run(monkeypatch, video, "--boxes", boxes, "--apart", 1, 2)
    told = capsys.readouterr().out
    assert told.startswith("12 crops of 3 people; scored queries: 12 at 1 s apart, 12 at 2 s apart")
    rows = {
        cells[0]: cells[1:]
        for line in told.splitlines()
        if line.startswith("|")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert rows["percent"] == [
        *("rank-1, 1 s apart", "mAP, 1 s apart"),
        *("rank-1, 2 s apart", "mAP, 2 s apart"),
    ]
    # People of one colour each: nothing that sees colour can take one for another.
    for name in ("promenade", "colour histogram", "colour histogram, 6 stripes"):
        assert rows[name] == ["100.0 ± 0.0"] * 4
    # Of the 9 crops of other frames 3 show the person; of the 3 or 6 at 2 seconds, a third.
    assert rows["chance"][0] == rows["chance"][2] == "33.3"
    assert "its network, untrained" in rows


def test_crops_are_cut_where_the_boxes_are(film):
    crops = read_crops(*film)
    assert crops.frames.tolist() == [frame for frame in FRAMES for _ in COLOURS]
    assert crops.times == pytest.approx(crops.frames / FPS)
    for image, pid in zip(crops.images, crops.pids, strict=True):
        assert image.size == (30, 80)
        middle = np.asarray(image)[10:-10, 8:-8].mean(axis=(0, 1))
        assert np.abs(middle - COLOURS[pid - 1]).max() < 30


def test_a_crop_sees_none_of_its_own_time_whoever_it_shows():
    rng = np.random.default_rng(3)
    frames = np.repeat(np.arange(0, 80, 8), 3)
    pids = rng.integers(1, 5, len(frames))
    crops = Crops(images=[], pids=pids, frames=frames, times=frames / FPS)
    feats = rng.normal(size=(len(frames), 6))
    result = protocol_of(crops, 1.6).evaluate(Features(feats=feats, pids=pids, cams=frames))
    unit = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    firsts, precisions = [], []
    for row in range(len(frames)):
        seen = [r for r in range(len(frames)) if abs(frames[r] - frames[row]) >= 16]
        seen.sort(key=lambda r: -float(unit[row] @ unit[r]))
        right = [rank for rank, r in enumerate(seen, start=1) if pids[r] == pids[row]]
        if right:
            firsts.append(right[0] == 1)
            precisions.append(np.mean([k / rank for k, rank in enumerate(right, start=1)]))
    assert result.queries_valid == (len(firsts),)
    assert result.rank1 == pytest.approx(np.mean(firsts))
    assert result.mAP == pytest.approx(np.mean(precisions))


def test_the_spread_is_that_of_people_not_of_crops():
    frames = np.arange(8) * 100
    pids = np.array([1, 1, 1, 1, 2, 2, 3, 3])
    # Person 1 is found; 2 and 3 are nearer to each other than to themselves.
    feats = np.array([[1, 0, 0]] * 4 + [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]], dtype=float)
    crops = Crops(images=[], pids=pids, frames=frames, times=frames / FPS)
    result = protocol_of(crops, 4).evaluate(Features(feats=feats, pids=pids, cams=frames))
    assert result.rank1 == 0.5
    rank1, _ = spread(result, pids)
    # k of three draws are person 1: 4k crops of 4k + 2 (3 - k) are found; k is binomial.
    chances = np.array([8, 12, 6, 1]) / 27
    shares = np.array([4 * k / (4 * k + 2 * (3 - k)) for k in range(4)])
    exact = np.sqrt(chances @ shares**2 - (chances @ shares) ** 2)
    assert rank1 == pytest.approx(exact, abs=0.02)


def test_boxes_of_another_video_are_refused_in_one_sentence(film, tmp_path, monkeypatch):
    video, boxes = film
    with pytest.raises(SystemExit, match=r"is not the vtest\.avi that vtest\.csv was drawn on"):
        run(monkeypatch, video)
    with pytest.raises(DataError, match=r"not inside the 320 x 160 picture"):
        read_crops(video, BOXES)
    late = tmp_path / "late.csv"
    late.write_text(boxes.read_text() + "99,0,0,30,80,1\n")
    with pytest.raises(DataError, match=r"has boxes in frame 99, which .* does not have"):
        read_crops(video, late)
    with pytest.raises(SystemExit, match="There is no video at"):
        run(monkeypatch, tmp_path / "none.avi")


def test_the_table_of_the_real_video_keeps_its_promises():
    cells = read_cells(BOXES, ())
    columns = [cells.read(name, whole) for name in cells.names]
    frame, left, top, right, bottom, pid = (np.array(column) for column in columns)
    assert len(pid) == 110
    assert len(np.unique(pid)) == 10
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 768
    assert bottom.max() <= 576
    height = bottom - top
    assert height.min() >= 40
    assert np.all((right - left) / height < 0.75)
    for person in np.unique(pid):
        assert np.diff(frame[pid == person]).min() >= 40

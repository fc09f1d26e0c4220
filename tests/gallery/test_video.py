"""People in a video: cut out by boxes, followed, the best crops enrolled."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from crosslight.commands.gallery.video import tell_watched
from crosslight.errors import ConfigError, DataError
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.people.names import names_of
from crosslight.gallery.people.people import find, merge
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.video import torchvision_detector
from crosslight.gallery.video.boxes import Box, BoxesFile
from crosslight.gallery.video.detectors import load_detector
from crosslight.gallery.video.frames import Decoded, beginning_of, frames_of
from crosslight.gallery.video.onnx_detector import OnnxDetector
from crosslight.gallery.video.tracking import Tracker
from crosslight.gallery.video.video import Watched, candidates_in_video
from tests.gallery.rows import INFO, MODEL

av = pytest.importorskip("av", reason="say: pip install av")

FPS = 10
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 50, 220)}


def colours(images, modality):
    """(N, 3) mean colour: enough to tell these people apart."""
    return np.stack([np.asarray(i, np.float32).mean(axis=(0, 1)) - 120 for i in images])


EMBEDDER = Embedder(
    fingerprint=MODEL, method="colours", run=".", distance="cosine", height=64, width=32,
    embed=colours,
)  # fmt: skip


def walk(path: Path, people: dict[str, tuple[int, int, int, int]], frames: int = 40) -> Path:
    """A film of rectangles that walk; gives the CSV of where they are."""
    lines = ["frame,left,top,right,bottom,score"]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        for number in range(frames):
            picture = Image.new("RGB", (320, 160), (120, 120, 120))
            for name, (start, step, gone, top) in people.items():
                left = start + step * number
                if number < gone:
                    # Nearer in the middle of the walk: the crop of most pixels is there.
                    bottom = top + 80 - abs(number - frames // 2)
                    picture.paste(COLOURS[name], (left, top, left + 30, bottom))
                    lines.append(f"{number},{left},{top},{left + 30},{bottom},0.9")
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    boxes = path.with_suffix(".csv")
    boxes.write_text("\n".join(lines) + "\n")
    return boxes


def candidates(video: Path, boxes: Path, **options):
    return list(candidates_in_video(video, BoxesFile(boxes, 0.5), EMBEDDER, **options))


def test_two_people_who_cross_are_two_tracks_of_one_colour_each(tmp_path):
    video = tmp_path / "walk.mp4"
    boxes = walk(video, {"red": (10, 6, 40, 5), "blue": (270, -6, 40, 60)})
    found = candidates(video, boxes, crops=3, start_s=1000.0, cam=4, modality=0)
    tracks = {}
    for candidate in found:
        colour = colours([candidate.image], [0])[0]
        tracks.setdefault(candidate.track, []).append(int(colour.argmax()))
    assert sorted(tracks.values()) == [[0, 0, 0], [2, 2, 2]]
    assert {c.cam for c in found} == {4}
    assert all(c.time == pytest.approx(1002, abs=0.9) for c in found)  # the best are mid-walk
    assert all("#t=" in c.path for c in found)


def test_files_of_one_name_and_other_paces_share_no_track(tmp_path):
    tracks = []
    for folder in ("cam1", "cam2"):
        video = tmp_path / folder / "00-00.mp4"
        video.parent.mkdir()
        boxes = walk(video, {"red": (10, 4, 40, 40)})
        for every in (0.0, 0.2):
            found = candidates(video, boxes, every_s=every)
            tracks.append({candidate.track for candidate in found})
    assert all(len(of_one) == 1 for of_one in tracks)
    assert len(set.union(*tracks)) == 4
    assert {name.startswith("00-00-") for name in set.union(*tracks)} == {True}


def test_a_video_that_is_enrolled_again_adds_nothing(tmp_path):
    video = tmp_path / "walk.mp4"
    boxes = walk(video, {"red": (10, 4, 40, 40), "green": (60, 4, 20, 40)})
    info = INFO.from_plain({**INFO.to_plain(), "dim": 3}, where="here")
    with ExactStore.create(tmp_path / "people.exact", info) as store:
        first = enrol(store, EMBEDDER, candidates(video, boxes))
        again = enrol(store, EMBEDDER, candidates(video, boxes))
        assert (first.added, again.added, again.present) == (6, 0, 6)
        assert store.frame()["track"].n_unique() == 2
        assert store.search(np.array([[-1.0, 1.0, -1.0]]), 1)[0][0].track.endswith("-2")


def test_another_video_under_the_same_path_is_another_and_its_people_can_be_merged(tmp_path):
    video, found = tmp_path / "loop.mp4", []
    for people in ({"red": (10, 4, 40, 40)}, {"red": (10, 4, 40, 40), "blue": (230, 1, 40, 9)}):
        boxes = walk(video, people)
        found.append(candidates(video, boxes, crops=1))
    (first,), (second, _) = found
    assert first.id != second.id
    assert first.track != second.track
    info = INFO.from_plain({**INFO.to_plain(), "dim": 3}, where="here")
    with ExactStore.create(tmp_path / "people.exact", info) as store:
        enrol(store, EMBEDDER, [first])
        assert enrol(store, EMBEDDER, found[1]).added == 2
        merge(store, [find(store, first.track), find(store, second.track)])


@pytest.mark.parametrize("ending", ["mkv", "avi", "ts"])
def test_a_recording_that_still_grows_stays_itself(tmp_path, ending):
    video = tmp_path / f"film.{ending}"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.bit_rate = 40_000_000
        for number in range(20):
            noise = np.random.default_rng(number).integers(0, 255, (480, 640, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            if number == 10:
                before = video.read_bytes()
        container.mux(stream.encode())
    growing = tmp_path / f"growing.{ending}"
    growing.write_bytes(before)
    assert video.stat().st_size > len(before) > 1 << 16
    assert before[:100] != video.read_bytes()[:100] or ending == "ts"
    assert beginning_of(growing) == beginning_of(video)


def test_two_people_of_one_frame_are_known_as_two_whichever_crops_are_kept(tmp_path):
    video = tmp_path / "walk.mp4"
    # Red is gone after frame 20, green is told from frame 20 on; the best crops are elsewhere.
    boxes = walk(video, {"red": (10, 2, 21, 5), "green": (200, 1, 40, 60)})
    head, *lines = boxes.read_text().splitlines()
    told = [line for line in lines if line.split(",")[2] == "5" or int(line.split(",")[0]) >= 20]
    dull = [line.replace(",0.9", ",0.6") if line.startswith("20,") else line for line in told]
    boxes.write_text("\n".join([head, *dull]) + "\n")
    found = candidates(video, boxes, crops=1)
    assert len({candidate.path for candidate in found}) == len(found) == 2
    first, second = found
    assert (first.beside, second.beside) == ({second.track}, {first.track})
    info = INFO.from_plain({**INFO.to_plain(), "dim": 3}, where="here")
    with ExactStore.create(tmp_path / "people.exact", info) as store:
        enrol(store, EMBEDDER, found)
        with pytest.raises(ConfigError, match="were seen in one frame"):
            merge(store, [find(store, first.track), find(store, second.track)])


def test_two_people_of_one_frame_are_not_enrolled_as_one(tmp_path):
    video = tmp_path / "walk.mp4"
    tracks = {"red": (10, 4, 40, 5), "green": (100, 4, 40, 60), "blue": (10, 4, 40, 61)}
    boxes = walk(video, tracks)
    head, *lines = boxes.read_text().splitlines()
    cells = [(line, line.split(",")) for line in lines]
    # Red has left and could be enrolled when two are on frame 35.
    red = [line for line, (frame, _, top, *_) in cells if top == "5" and int(frame) < 10]
    two = [line for line, (frame, _, top, *_) in cells if top != "5" and int(frame) >= 35]
    boxes.write_text("\n".join([head, *red, *two]) + "\n")
    info = INFO.from_plain({**INFO.to_plain(), "dim": 3}, where="here")
    with ExactStore.create(tmp_path / "people.exact", info) as store:

        def add(pid):
            found = candidates_in_video(video, BoxesFile(boxes, 0.5), EMBEDDER, every_s=0, pid=pid)
            return enrol(store, EMBEDDER, found)

        for pid, whom in (("Anna", "Anna"), (7, "person 7")):
            told = rf"2 people are on the frame at \S+ s, number 35, and not all .* are {whom};"
            with pytest.raises(ConfigError, match=told):
                add(pid)
            assert (store.count(), names_of(store).people) == (0, {})
        assert add(None).added == 9
        boxes.write_text("\n".join([head, *red]) + "\n")
        assert add("Anna").relabelled == 3


def test_frames_come_as_often_as_asked_for(tmp_path):
    video = tmp_path / "walk.mp4"
    walk(video, {"red": (10, 4, 40, 40)})
    every = [frame.number for frame in frames_of(video, every_s=0)]
    some = list(frames_of(video, every_s=0.5))
    assert every == list(range(40))
    assert [frame.number for frame in some] == list(range(0, 40, 5))
    assert [frame.time for frame in some] == pytest.approx([n / 2 for n in range(8)])


def test_files_that_are_no_videos_are_refused_with_a_sentence(tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a film" * 100)
    with pytest.raises(DataError, match="cannot be read as a video"):
        list(frames_of(bad, every_s=1))
    with pytest.raises(DataError, match="There is no video"):
        list(frames_of(tmp_path / "none.mp4", every_s=1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("frame,left,top,right\n1,2,3,4\n", "lacks the column 'bottom'"),
        (
            "frame,left,top,right,bottom\n1,2,3,4,wide\n",
            r"Line 2 of .* has 'wide' in the column bottom, expected a number",
        ),
        (
            "frame,left,top,right,bottom\n1.5,2,3,4,5\n",
            r"Line 2 of .* has '1\.5' in the column frame, expected a whole number",
        ),
        ("frame,left,top,right,bottom\n", "and no row"),
        ("", "is empty; write a first line"),
        (
            "frame,left,top,right,bottom\n0,0.1,0.2,0.4,0.9\n1,0.1,0.2,1,1.0\n",
            r"All 2 boxes of .* lie between 0 and 1, so they are shares .* multiply left and right",
        ),
        (
            "frame,left,top,right,bottom,score\n0,9,9,1,1,1\n0,nan,2,3,4,1\n0,1,1,9,9,0.2\n",
            r"None of the 3 boxes .*: 1 lack a finite number, 1 have right not beyond left, or "
            r"bottom not below top, 1 have a score below the threshold 0\.5; .*detector-threshold",
        ),
    ],
)
def test_boxes_that_are_none_are_refused_with_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        BoxesFile(path, 0.5)


def test_boxes_below_the_threshold_do_not_count(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("frame,left,top,right,bottom,score\n7,0,0,9,9,0.4\n7,0,0,9,9,0.6\n")
    image = Image.new("RGB", (20, 20))
    assert [box.score for box in BoxesFile(path, 0.5).find(7, image)] == [0.6]
    assert BoxesFile(path, 0.5).find(8, image) == []


def test_boxes_that_are_left_out_are_counted_by_reason(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "frame,left,top,right,bottom,score\n0,0,0,9,9,0.9\n1,9,0,0,9,0.9\n1,0,9,9,0,0.9\n"
        "1,0,0,,9,0.9\n,0,0,9,9,0.9\n1,0,0,inf,9,0.9\n1,0,0,9,9,nan\n1,0,0,9,9,0.4\n\n"
    )
    left_out = BoxesFile(path, 0.5).left_out
    assert (left_out.incomplete, left_out.turned, left_out.faint) == (4, 2, 1)
    assert left_out.count == 7
    path.write_text("frame,left,top,right,bottom\n0,0,0,9,9\n")
    assert BoxesFile(path, 0.5).left_out.count == 0


@pytest.mark.parametrize("side", [float("nan"), float("inf"), -float("inf")])
def test_a_box_without_a_finite_side_shows_nothing(side):
    assert Box(left=1, top=1, right=side, bottom=9).inside(20, 20).area == 0.0


def test_shares_become_pixels_as_the_sentence_says(tmp_path):
    path, image = tmp_path / "boxes.csv", Image.new("RGB", (200, 100))
    shares = (0.1, 0.2, 0.4, 0.9)
    path.write_text("frame,left,top,right,bottom\n0,{},{},{},{}\n".format(*shares))
    with pytest.raises(DataError, match="multiply left and right by its width and top and bottom"):
        BoxesFile(path, 0.5)
    sides = [s * (image.width, image.height)[n % 2] for n, s in enumerate(shares)]
    path.write_text("frame,left,top,right,bottom\n0,{},{},{},{}\n".format(*sides))
    (box,) = BoxesFile(path, 0.5).find(0, image)
    assert (box.left, box.top, box.right, box.bottom) == (20, 20, 80, 90)


def test_a_person_who_was_away_too_long_is_a_new_track():
    tracker = Tracker()
    box, look = Box(left=0, top=0, right=10, bottom=20), np.array([[1.0, 0.0]], np.float32)
    (first,), _ = tracker.update(0.0, [box], look)
    (second,), ended = tracker.update(1.0, [box], look)
    assert second is first
    assert ended == []
    (third,), ended = tracker.update(9.0, [box], look)
    assert third.number == 2
    assert ended == [first]


def walking(*lefts: float) -> list[Box]:
    return [Box(left=left, top=0, right=left + 10, bottom=30) for left in lefts]


def test_people_who_look_alike_and_cross_go_on_as_they_went():
    tracker = Tracker()
    looks = np.ones((2, 1), np.float32)
    for step in range(20):  # they meet in the middle, 45 to the right
        there, back = 3.0 + 4 * step, 87.0 - 4 * step
        tracks, _ = tracker.update(step / 10, walking(there, back), looks)
        assert [track.number for track in tracks] == [1, 2]


def test_a_person_who_walks_behind_something_is_expected_beyond_it():
    # Not alike enough to be followed anywhere: half hidden people hardly are.
    tracker, looks = Tracker(), np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    for step in range(5):
        tracker.update(step / 10, walking(8.0 * step), looks[:1])
    (beyond,), _ = tracker.update(1.2, walking(8.0 * 12 + 11), looks[1:])
    assert beyond.number == 1
    (elsewhere,), _ = tracker.update(1.3, walking(8.0 * 2), looks[1:] * [[1, -1]])
    assert elsewhere.number == 2


def test_looks_decide_where_boxes_overlap_alike():
    tracker = Tracker()
    left = Box(left=0, top=0, right=10, bottom=20)
    right = Box(left=6, top=0, right=16, bottom=20)
    middle = Box(left=3, top=0, right=13, bottom=20)
    looks = np.eye(2, dtype=np.float32)
    (a, b), _ = tracker.update(0.0, [left, right], looks)
    assert tracker.update(0.1, [middle, middle], looks[::-1])[0] == [b, a]


def test_a_detector_of_torchvision_finds_boxes_of_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_detector, "_has_ops", lambda: True)
    with pytest.raises(ConfigError, match="torchvision has no detector 'yolo'"):
        load_detector("torchvision:yolo", 0.5)
    weights = tmp_path / "weights.pth"
    for content in (b"nothing", b"some text", b"run", b""):
        weights.write_bytes(content)
        with pytest.raises(ConfigError, match=r"cannot be used for ssdlite320"):
            load_detector(f"torchvision:ssdlite320_mobilenet_v3_large:{weights}", 0.5)
    torch.save([1, 2], weights)
    with pytest.raises(ConfigError, match=r"cannot be used for ssdlite320"):
        load_detector(f"torchvision:ssdlite320_mobilenet_v3_large:{weights}", 0.5)
    kind = torchvision_detector.TorchvisionDetector
    found = kind.__new__(kind)
    found._place, found._threshold = torch.device("cpu"), 0.5
    found._model = lambda _: [
        {
            "boxes": torch.tensor([[1.0, 2, 30, 40], [0, 0, 5, 5], [0, 0, 6, 6]]),
            "labels": torch.tensor([1, 3, 1]),
            "scores": torch.tensor([0.9, 0.9, 0.2]),
        }
    ]
    (box,) = found.find(0, Image.new("RGB", (64, 64)))
    assert (box.left, box.top, box.right, box.bottom) == (1, 2, 30, 40)


class Session:
    """Stands for a network in an ONNX file: gives prepared outputs, remembers what it was shown."""

    def __init__(self, outputs):
        self.outputs = outputs

    def run(self, _, inputs):
        self.shown = inputs["images"]
        return self.outputs


def onnx(outputs, shape=(1, 3, 64, 64), threshold=0.5):
    detector = OnnxDetector.__new__(OnnxDetector)
    detector._session, detector._threshold = Session(outputs), threshold
    detector._input = SimpleNamespace(name="images", shape=list(shape))
    detector._path = Path("person.onnx")
    return detector


def test_a_yolo_detector_finds_people_once_and_in_pixels_of_the_picture():
    # centre, width, height, person, car; the picture is twice as wide as high: margins above.
    columns = [
        [32, 32, 16, 20, 0.9, 0.0],
        [33, 32, 16, 20, 0.8, 0.0],  # the same person again
        [10, 32, 8, 12, 0.7, 0.9],  # a car
        [50, 32, 8, 12, 0.3, 0.0],  # not sure
    ]
    detector = onnx([np.array(columns, np.float32).T[None]])
    (box,) = detector.find(0, Image.new("RGB", (128, 64), (255, 0, 0)))
    assert (box.left, box.top, box.right, box.bottom) == (48, 12, 80, 52)
    assert detector._session.shown.shape == (1, 3, 64, 64)
    assert detector._session.shown[0, :, 32, 32].tolist() == [1, 0, 0]
    assert detector._session.shown[0, :, 2, 32] == pytest.approx(114 / 255)


def test_a_detector_with_boxes_labels_and_scores_keeps_people():
    boxes = np.array([[1, 2, 30, 40], [0, 0, 5, 5]], np.float32)
    outputs = [boxes, np.array([0.9, 0.9], np.float32), np.array([1, 3])]
    (box,) = onnx(outputs, shape=(3, "height", "width")).find(0, Image.new("RGB", (50, 50)))
    assert (box.left, box.top, box.right, box.bottom) == (1, 2, 30, 40)


def test_a_network_that_is_no_detector_is_told():
    with pytest.raises(ConfigError, match="expected boxes"):
        onnx([np.zeros((1, 1000), np.float32)]).find(0, Image.new("RGB", (50, 50)))


def test_a_torchvision_of_another_torch_is_told(monkeypatch):
    monkeypatch.setattr(torchvision_detector, "_has_ops", lambda: False)
    with pytest.raises(ConfigError, match="built for another torch"):
        load_detector("torchvision:ssdlite320_mobilenet_v3_large", 0.5)


def test_names_of_detectors_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="names no detector"):
        load_detector("people", 0.5)


TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORED = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


def shown(picture, a, b, c, d):
    """Each pixel at the place that a display matrix gives it, one at a time."""
    width, height = picture.size
    places = {
        (a * x + c * y, b * x + d * y): picture.getpixel((x, y))
        for x in range(width)
        for y in range(height)
    }
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    size = (height, width) if a == 0 else (width, height)
    out = Image.new("RGB", size)
    for (x, y), colour in places.items():
        out.putpixel((x - left, y - top), colour)
    return out


def rotated(path: Path, a, b, c, d) -> Path:
    """The film with the display matrix that phones write."""
    content = path.read_bytes()
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = content.index(plain, content.index(b"tkhd"))
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    turned = path.with_name("turned.mp4")
    turned.write_bytes(content[:place] + matrix + content[place + len(matrix) :])
    return turned


@pytest.mark.parametrize("matrix", [*TURNS, *MIRRORED])
def test_frames_are_upright_however_the_camera_was_held(tmp_path, matrix):
    video = tmp_path / "walk.mp4"
    walk(video, {"red": (10, 4, 40, 5), "blue": (200, -4, 40, 60)}, frames=2)
    plain = next(frames_of(video, every_s=1)).image
    turned = next(frames_of(rotated(video, *matrix), every_s=1)).image
    assert turned.tobytes() == shown(plain, *matrix).tobytes()


def test_boxes_refer_to_the_upright_picture(tmp_path):
    video = tmp_path / "walk.mp4"
    walk(video, {"red": (10, 4, 40, 5)})
    # 320 x 160 is shown as 160 x 320, the left edge above: x' = 160 - y, y' = x.
    lines = [f"{n},75,{4 * n + 10},155,{4 * n + 40}" for n in range(40)]
    boxes = tmp_path / "upright.csv"
    boxes.write_text("\n".join(["frame,left,top,right,bottom", *lines]) + "\n")
    found = candidates(rotated(video, 0, 1, -1, 0), boxes)
    assert len(found) == 3
    assert all(colours([c.image], [0])[0].argmax() == 0 for c in found)


@pytest.mark.parametrize(("stated", "size"), [("90", (160, 320)), ("180", (320, 160))])
def test_the_older_note_of_a_rotation_counts_too(tmp_path, stated, size):
    video = tmp_path / "old.mkv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        stream.metadata["rotate"] = stated
        picture = Image.new("RGB", (320, 160))
        picture.paste((255, 255, 255), (0, 0, 160, 80))
        container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    image = next(frames_of(video, every_s=1)).image
    assert image.size == size
    # The white corner was at the upper left: a quarter to the right, then another.
    corner = {"90": (size[0] - 10, 10), "180": (size[0] - 10, size[1] - 10)}[stated]
    assert min(image.getpixel(corner)) > 240


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and length of each frame in the file."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


def damaged(path: Path, frames: range) -> Path:
    """The film with some frames overwritten."""
    content = bytearray(path.read_bytes())
    for place, size in packets(path)[frames.start : frames.stop]:
        content[place : place + size] = bytes(size)
    broken = path.with_name(f"broken{path.suffix}")
    broken.write_bytes(content)
    return broken


def film(path: Path, codec: str, frames: int = 30) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            picture = Image.new("RGB", (64, 48), (8 * number, 90, 90))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def test_damaged_frames_are_counted_and_those_behind_them_keep_their_numbers(tmp_path):
    film(tmp_path / "film.avi", "mjpeg")
    decoded = Decoded()
    broken = damaged(tmp_path / "film.avi", range(12, 15))
    found = [frame.number for frame in frames_of(broken, every_s=0, decoded=decoded)]
    assert found == [*range(12), *range(15, 30)]
    assert (decoded.whole, decoded.damaged, decoded.stated_s) == (27, 3, None)
    assert decoded.first_damage_s == pytest.approx(1.1, abs=0.11)


def test_a_video_that_ends_early_is_told(tmp_path):
    film(tmp_path / "film.avi", "mjpeg")
    content = (tmp_path / "film.avi").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: packets(tmp_path / "film.avi")[15][0]])
    decoded = Decoded()
    assert len(list(frames_of(cut, every_s=0, decoded=decoded))) == 15
    assert (decoded.stated_s, decoded.ends_s) == pytest.approx((3.0, 1.5))
    whole = Decoded()
    list(frames_of(tmp_path / "film.avi", every_s=0, decoded=whole))
    assert (whole.damaged, whole.stated_s, whole.ends_s) == (0, None, pytest.approx(3.0))


def test_a_video_of_which_nothing_can_be_decoded_is_an_error(tmp_path):
    film(tmp_path / "film.avi", "mjpeg")
    with pytest.raises(DataError, match=r"Not one frame of .* can be decoded \(30 damaged\)"):
        list(frames_of(damaged(tmp_path / "film.avi", range(30)), every_s=0))


def again(path: Path, *parts: Path) -> Path:
    """A file of recordings one behind the other, as of a recorder that was started again."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_recordings_one_behind_the_other_are_looked_at_to_the_end_and_told(tmp_path, capsys):
    film(tmp_path / "a.ts", "mpeg4")
    double, decoded = again(tmp_path / "ab.ts", tmp_path / "a.ts", tmp_path / "a.ts"), Decoded()
    every = list(frames_of(double, every_s=0, decoded=decoded))
    assert [frame.number for frame in every] == list(range(60))
    assert [frame.time for frame in every] == pytest.approx([n / FPS for n in range(60)])
    assert [frame.number for frame in every if frame.anew] == [30]
    assert decoded.anew == 1
    assert decoded.first_anew_s == pytest.approx(3.0)
    some = list(frames_of(double, every_s=0.7))
    assert [frame.number for frame in some] == [*range(0, 30, 7), *range(30, 60, 7)]
    tell_watched(double, Watched(decoded=decoded))
    assert f"{double} begin anew after 3.0 s (places: 1)" in capsys.readouterr().out


def test_nobody_is_followed_from_one_recording_into_another(tmp_path):
    boxes = walk(tmp_path / "a.ts", {"red": (10, 4, 40, 40)})
    head, *lines = boxes.read_text().splitlines()
    behind = [f"{int(n) + 40},{rest}" for n, _, rest in (line.partition(",") for line in lines)]
    boxes.write_text("\n".join([head, *lines, *behind]) + "\n")
    found = candidates(again(tmp_path / "aa.ts", *[tmp_path / "a.ts"] * 2), boxes, crops=1)
    assert [candidate.track[-2:] for candidate in found] == ["-1", "-2"]
    assert [candidate.time for candidate in found] == pytest.approx([2.0, 6.0])


def stamped(path: Path, stamps: list[int]) -> Path:
    """A film whose frames have these time stamps."""
    film(path.with_name("plain.mkv"), "mjpeg", frames=len(stamps))
    with av.open(str(path.with_name("plain.mkv"))) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        kept = [packet for packet in source.demux(video=0) if packet.size]
        for packet, stamp in zip(kept, stamps, strict=True):
            packet.stream = stream
            packet.pts, packet.dts = stamp, packet.dts // 100
            container.mux(packet)
    return path


def test_time_never_falls_where_frames_are_out_of_order(tmp_path):
    decoded = Decoded()
    video = stamped(tmp_path / "film.mkv", [0, 100, 300, 200, 300, 400])
    found = list(frames_of(video, every_s=0, decoded=decoded))
    assert [frame.time for frame in found] == pytest.approx([0, 0.1, 0.3, 0.3, 0.3, 0.4])
    assert decoded.anew == 0
    looks = np.ones((1, 1), np.float32)
    tracker = Tracker()
    tracks = [tracker.update(frame.time, walking(5.0), looks)[0] for frame in found]
    assert {track.number for (track,) in tracks} == {1}


def test_a_name_may_look_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "a:b.avi", "mjpeg", frames=3)
    assert len(list(frames_of(Path("a:b.avi"), every_s=0))) == 3

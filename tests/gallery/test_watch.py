"""A camera that is watched: a real RTSP stream, lost and found again; stopped; nothing lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count as count_up
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosslight import cli
from crosslight.commands.gallery.watch import Keeper, _Origin, _Status, look
from crosslight.errors import ConfigError
from crosslight.gallery.candidates import Candidate
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.video.boxes import Box
from crosslight.gallery.video.frames import Frame
from crosslight.gallery.video.live import Camera, LiveFrames, Lost, camera_from
from crosslight.gallery.video.video import Follower, Passing, Watched
from tests.gallery.rows import INFO, made_up
from tests.gallery.test_video import EMBEDDER

pytest.importorskip("av", reason="say: pip install av")

from tests.gallery.rtsp_server import RtspServer

RED = (220, 30, 30)


class Red:
    """Finds what is red."""

    def find(self, _: int, image: Image.Image) -> list[Box]:
        pixels = np.asarray(image).astype(int)
        rows, columns = np.nonzero(pixels[..., 0] - pixels[..., 1] > 100)
        if not len(rows):
            return []
        sides = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        left, top, right, bottom = map(float, sides)
        return [Box(left=left, top=top, right=right, bottom=bottom)]


def standing(count: int = 5) -> list[Image.Image]:
    pictures = []
    for number in range(count):
        picture = Image.new("RGB", (160, 120), (120, 120, 120))
        picture.paste(RED, (40 + number, 20, 70 + number, 100))
        pictures.append(picture)
    return pictures


@pytest.fixture
def store(tmp_path) -> Path:
    info = INFO.from_plain({**INFO.to_plain(), "dim": 3}, where="here")
    ExactStore.create(tmp_path / "people.exact", info).close()
    return tmp_path / "people.exact"


def follower(name: str = "front", longest_s: float | None = None) -> Follower:
    return Follower(
        Red(), EMBEDDER, _Origin(name, 0.0), Passing(start_s=0.0, cam=3), crops=2,
        watched=Watched(), longest_s=longest_s,
    )  # fmt: skip


def count(store: Path) -> int:
    with open_store(store) as opened:
        return opened.count()


def test_a_camera_that_is_lost_is_connected_again_and_who_was_in_view_is_kept(store, capsys):
    kept: list[tuple[int, int]] = []  # connection, rows there when its first frame came
    with RtspServer(standing()) as server:
        camera = camera_from(server.address.replace("rtsp://", "rtsp://me:secret@"))
        frames = LiveFrames(camera, every_s=0, stopped=lambda: len(kept) == 3, first_pause_s=0.01)

        def events() -> Iterator[Frame | Lost]:
            is_first = True
            for event in frames:
                yield event
                if isinstance(event, Frame) and is_first:
                    kept.append((server.connections, count(store)))
                    server.lose()
                is_first = isinstance(event, Lost)

        keeper = Keeper(str(store), EMBEDDER)
        look(events(), follower(camera.name), keeper, _Status(), name=camera.name, is_late=True)
    connections, rows = zip(*kept, strict=True)
    assert connections == (1, 2, 3)
    assert 0 == rows[0] < rows[1] < rows[2]
    said = capsys.readouterr().out
    assert said.count("sends nothing (the stream ended); it is tried again in 0.01 s.") == 2
    assert " frames/s, " in said
    assert " s behind; 1 in view; kept: images 0, tracks 0" in said
    with open_store(store) as opened:
        frame = opened.frame()
    assert len(frame) == keeper.images > rows[2]
    assert set(frame["cam"]) == {3}
    assert frame["track"].n_unique() == len(keeper.tracks) == 3
    assert frame["time"].min() > 1.7e9
    assert "secret" not in str(frame.to_dicts())


def test_a_camera_that_is_not_there_is_tried_again_less_and_less_often():
    losses: list[Lost] = []
    with RtspServer(standing()) as server:
        camera = camera_from(server.address)
    frames = LiveFrames(camera, every_s=0, stopped=lambda: len(losses) == 3, first_pause_s=0.01)
    for event in frames:
        assert isinstance(event, Lost)
        losses.append(event)
    assert [loss.pause_s for loss in losses] == pytest.approx([0.01, 0.02, 0.04])
    assert "refused" in losses[0].reason


def test_a_clock_that_is_set_back_stops_nothing_and_is_kept_in_rows():
    found: list[Frame] = []
    with RtspServer(standing()) as server:
        frames = LiveFrames(
            camera_from(server.address), every_s=0.5, stopped=lambda: len(found) == 3,
            first_pause_s=0.01, clock=count_up(0.0).__next__, wall=count_up(2e9, -3600.0).__next__,
        )  # fmt: skip
        following, rows = follower(), []
        for event in frames:
            if isinstance(event, Frame):
                found.append(event)
                rows += following.look(event)
    rows += following.finish()
    assert [frame.time for frame in found] == sorted({frame.time for frame in found})
    assert [frame.seen_at for frame in found] == [2e9 - 3600 * frame.time for frame in found]
    assert {row.time for row in rows} <= {frame.seen_at for frame in found}
    assert rows


def test_who_stays_is_kept_meanwhile():
    following = follower(longest_s=1.0)
    handed = []
    for number in range(25):
        picture = standing(number + 1)[-1]
        handed.append(following.look(Frame(number=number, time=number / 10, image=picture)))
    assert [n for n, candidates in enumerate(handed) if candidates] == [10, 21]
    assert {c.track for candidates in handed for c in candidates} == {"front 0.0 s 1"}
    assert max(c.time for c in handed[10]) <= 1.0 < min(c.time for c in handed[21])
    assert len(following.finish()) == 2


def person(number: int) -> Candidate:
    return Candidate(
        id=f"{number:032x}", image=standing()[0], path="front", modality=0, track=str(number)
    )


def test_who_leaves_while_another_process_writes_waits_for_it(store):
    keeper = Keeper(str(store), EMBEDDER)
    with open_store(store) as other:
        other.add(made_up(1, dim=3))
        keeper.keep([person(1)])
        assert keeper.images == 0
    keeper.keep([person(2)])
    assert keeper.images == 2
    assert count(store) == 3


def test_names_of_cameras_hold_no_password():
    camera = camera_from("rtsp://me:secret@10.0.0.7:554/live?token=secret")
    assert camera.name == "rtsp://10.0.0.7:554/live"
    assert camera.url == "rtsp://me:secret@10.0.0.7:554/live?token=secret"
    assert camera.options == {"rtsp_transport": "tcp"}


@pytest.mark.parametrize(
    "path",
    [
        "/user=admin&password=secret&channel=2&stream=0.sdp?real_stream",
        "/user=admin_password=secret_channel=2_stream=0.sdp",
        "/user=admin_password=sec_ret_channel=2_stream=0.sdp?real_stream--rtp-caching=100",
    ],
)
def test_a_password_in_the_path_is_not_in_the_name(path):
    camera = camera_from(f"rtsp://10.0.0.7:554{path}")
    assert camera.name == "rtsp://10.0.0.7:554/channel=2&stream=0"
    assert camera.url.endswith(path)


def test_names_of_cameras_tell_the_channels_of_a_recorder_apart():
    address = "rtsp://me:secret@10.0.0.7/cam/realmonitor?token=42&channel={}&subtype=0&ch=secret"
    one, two = (camera_from(address.format(channel)).name for channel in (1, 2))
    assert one == "rtsp://10.0.0.7/cam/realmonitor?channel=1&subtype=0"
    assert two == "rtsp://10.0.0.7/cam/realmonitor?channel=2&subtype=0"
    assert camera_from("rtsp://10.0.0.7/?channel=123456").name == "rtsp://10.0.0.7/"


def test_a_webcam_that_never_opens_is_told_and_not_waited_for(tmp_path):
    camera = Camera(name="webcam 9", url=str(tmp_path / "video9"), format="v4l2")
    frames = LiveFrames(camera, every_s=0, stopped=lambda: False)
    with pytest.raises(ConfigError, match=r"webcam 9 \(.*video9\) sends no pictures \("):
        next(iter(frames))


def test_webcams_have_numbers():
    linux, mac = (camera_from("2", platform=platform) for platform in ("linux", "darwin"))
    assert (linux.name, linux.format, linux.url) == ("webcam 2", "v4l2", "/dev/video2")
    assert (mac.format, mac.url) == ("avfoundation", "2")
    with pytest.raises(ConfigError, match="on Linux and macOS, not on win32; let a program"):
        camera_from("0", platform="win32")


@pytest.mark.parametrize("source", ["ftp://here/x", "rtsp://", "file:///walk.mp4"])
def test_what_is_no_camera_is_told(source, store, capsys):
    with pytest.raises(SystemExit):
        cli.main(["gallery", "watch", str(store), source])
    assert "is no address of a camera; give rtsp://HOST" in capsys.readouterr().err


def test_a_camera_is_watched_until_ctrl_c_and_who_is_in_view_then_is_kept(tmp_path, drawn_people):
    store = tmp_path / "people.exact"
    cli.main(["gallery", "create", str(store)])
    picture = Image.new("RGB", (416, 320), (120, 120, 120))
    for left, person in zip((30, 250), drawn_people, strict=True):
        picture.paste(person, (left, 60))
    with RtspServer([picture] * 5) as server:
        address = server.address.replace("rtsp://", "rtsp://me:secret@")
        process = subprocess.Popen(
            [sys.executable, "-m", "crosslight", "gallery", "watch", str(store), address,
             "--camera", "3", "--every", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        first = process.stdout.readline()
        second = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate()
    assert first == f"Watching {server.address}; Ctrl-C ends.\n"
    assert "416 x 320, 0.0 frames/s, " in second
    assert "2 in view; kept: images 0, tracks 0" in second
    assert process.returncode == 0, complaints
    assert ", tracks 2" in rest.splitlines()[-1]
    with open_store(store) as opened:
        frame = opened.frame()
    assert frame["track"].n_unique() == 2
    assert set(frame["cam"]) == {3}
    assert "secret" not in str(frame.to_dicts()) + first + second + rest


def test_a_file_is_watched_to_its_end(tmp_path, drawn_people, capsys):
    import av

    store, video = tmp_path / "people.exact", tmp_path / "walk.mp4"
    cli.main(["gallery", "create", str(store)])
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 416, 320, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(6):
            picture = Image.new("RGB", (416, 320), (120, 120, 120))
            picture.paste(drawn_people[0], (40 + 4 * number, 60))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    capsys.readouterr()
    cli.main(["gallery", "watch", str(store), str(video), "--crops", "2"])
    said = capsys.readouterr().out
    assert said.endswith("kept: images 2, tracks 1\n")
    assert count(store) == 2
    with pytest.raises(SystemExit):
        cli.main(["gallery", "watch", str(store), str(tmp_path / "none.mp4")])
    assert "There is no video at" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["gallery", "watch", str(store), str(tmp_path)])
    assert f"{tmp_path} is a folder; name one video in it." in capsys.readouterr().err

"""The gallery's commands, on a tiny Promenade and a run that hardly learned."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crosslight import cli
from crosslight.commands.gallery import demo, search
from crosslight.data.layouts import read_layout
from crosslight.gallery.options import Calibrating
from crosslight.gallery.stores.opening import open_store
from crosslight.report.grid import image_grid
from crosslight.types import Modality


@pytest.fixture(scope="module")
def store(tmp_path_factory, promenade, trained) -> Path:
    """The test people, enrolled; not to be changed."""
    place = tmp_path_factory.mktemp("gallery") / "people.lance"
    cli.main(["gallery", "create", str(place), "--model", str(trained)])
    cli.main(["gallery", "add", str(place), f"sysu-mm01:{promenade}", "--split", "test"])
    return place


@pytest.fixture(scope="module")
def query(promenade) -> Path:
    table = read_layout("sysu-mm01", promenade).split("test")
    return next(
        path for path, m in zip(table.paths, table.modality, strict=True) if m == Modality.INFRARED
    )


def said(capsys, *arguments: object) -> str:
    capsys.readouterr()
    cli.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_stats_and_list_say_what_was_enrolled(capsys, store, promenade):
    table = read_layout("sysu-mm01", promenade).split("test")
    stats = json.loads(said(capsys, "gallery", "stats", store, "--json"))
    assert stats["rows"] == len(table)
    assert stats["people"] == len(set(table.pids.tolist()))
    assert sum(camera["rows"] for camera in stats["cameras"]) == len(table)
    assert "not" not in str(stats["calibration"])
    listed = json.loads(said(capsys, "gallery", "list", store, "--camera", 3, "--json"))
    assert listed["count"] == int((table.cams == 3).sum())
    assert {row["cam"] for row in listed["rows"]} == {3}
    assert "rows" in said(capsys, "gallery", "list", store, "--limit", 2)


def test_a_table_may_call_its_columns_otherwise(capsys, trained, query, tmp_path):
    table, store = tmp_path / "t.csv", tmp_path / "people.exact"
    table.write_text(f"Bild;Wer;Kamera\n{query};8;3\n")
    said(capsys, "gallery", "create", store, "--model", trained)
    named = ("--columns", "path=Bild", "person=Wer", "camera=Kamera")
    said(capsys, "gallery", "add", store, table, *named)
    row = json.loads(said(capsys, "gallery", "list", store, "--json"))["rows"][0]
    assert (row["path"], row["pid"], row["cam"]) == (str(query.resolve()), 8, 3)
    for other in (query.parent, tmp_path / "walk.mp4"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["gallery", "add", str(store), str(other), *named])
        assert ended.value.code == 1
        assert f"but {other} is no table" in capsys.readouterr().err


def test_an_empty_store_says_so(capsys, trained, query, tmp_path):
    store = tmp_path / "people.exact"
    said(capsys, "gallery", "create", store, "--model", trained)
    for filters in ((), ("--camera", 1)):
        told = said(capsys, "gallery", "search", store, query, *filters)
        assert f"The store is empty; enrol people first: crosslight gallery add {store}" in told
    said(capsys, "gallery", "add", store, query)
    assert "No row fits" in said(capsys, "gallery", "search", store, query, "--camera", 99)


def test_pictures_that_show_nobody_are_warned_about(capsys, store, query, tmp_path):
    small, flat = tmp_path / "small.png", tmp_path / "flat.png"
    Image.open(query).resize((11, 40)).save(small)
    Image.new("RGB", (64, 128), (90, 90, 90)).save(flat)
    told = said(capsys, "gallery", "same", store, small, flat)
    assert f"Warning: {small} has 11 x 40 pixels, and nobody is recognised in fewer" in told
    assert f"Warning: {flat} is of one gray and shows nobody; the answer means nothing." in told
    assert f"Warning: {flat} is of one gray" in said(capsys, "gallery", "search", store, flat)
    assert "Warning" not in said(capsys, "gallery", "same", store, query, query)
    as_json = json.loads(said(capsys, "gallery", "same", store, flat, query, "--json"))
    assert as_json["warning"] == f"{flat} is of one gray and shows nobody."
    as_json = json.loads(said(capsys, "gallery", "search", store, flat, "--json"))
    assert as_json["warning"] == f"{flat} is of one gray and shows nobody."
    as_json = json.loads(said(capsys, "gallery", "search", store, query, "--json"))
    assert as_json["warning"] is None


def test_a_thermal_image_that_would_be_flat_is_warned_about_and_the_remedy_mends_it(
    capsys, trained, tmp_path
):
    people = tmp_path / "people"
    people.mkdir()
    kelvin = np.linspace(2900, 3200, 64 * 32).astype(np.uint16).reshape(64, 32)
    for number in range(2):
        Image.fromarray(np.roll(kelvin, 9 * number)).save(people / f"{number}.png")
    store = tmp_path / "thermal.exact"
    said(capsys, "gallery", "create", store, "--model", trained)
    warned = said(capsys, "gallery", "add", store, people)
    assert "2 of 2 images with more than 8 bits keep at most 2 of 256 gray levels" in warned
    stated = re.search(r"--deep-range (\S+) (\S+)\.", warned)
    assert stated is not None
    flat = said(capsys, "gallery", "search", store, people / "0.png")
    assert "Search again with --deep-range" in flat
    said(capsys, "gallery", "remove", store, "--all")
    again = said(capsys, "gallery", "add", store, people, "--deep-range", *stated.groups())
    assert "Warning" not in again
    # What the store keeps holds for queries too.
    found = said(capsys, "gallery", "search", store, people / "1.png", "--top", 1)
    assert "Warning" not in found
    assert "1.png" in found.splitlines()[1]


def test_an_image_that_is_enrolled_finds_itself(capsys, store, query):
    found = json.loads(said(capsys, "gallery", "search", store, query, "--json", "--top", 3))
    assert found["modality"] == "infrared"
    assert found["results"][0]["path"] == str(query.resolve())
    assert found["results"][0]["distance"] == pytest.approx(0, abs=1e-3)
    assert found["verdict"] == "unknown"


def test_a_search_across_light_prints_a_list_and_draws_a_sheet(capsys, store, query, tmp_path):
    sheet = tmp_path / "found.png"
    out = said(
        capsys, "gallery", "search", store, query, "--modality", "visible", "--sheet", sheet,
        "--top", 4,
    )  # fmt: skip
    assert out.count("visible") == 4
    assert Image.open(sheet).width > 4 * 80


def test_a_folder_of_queries_is_answered_image_by_image(capsys, store, query, tmp_path, fails):
    night = tmp_path / "night"
    night.mkdir()
    others = sorted(query.parent.glob("*.jpg"))[:2]
    for number, image in enumerate(others):
        shutil.copy(image, night / f"{number}.jpg")
    sheet, table = tmp_path / "found.png", tmp_path / "found.csv"
    out = said(
        capsys, "gallery", "search", store, night, "--top", 2, "--sheet", sheet, "--csv", table
    )  # fmt: skip
    assert [line.split(":")[0] for line in out.splitlines() if "infrared, " in line] == [
        str(night / "0.jpg"), str(night / "1.jpg")
    ]  # fmt: skip
    rows = pl.read_csv(table)
    assert rows["query"].to_list() == [str(night / f"{n}.jpg") for n in (0, 0, 1, 1)]
    assert rows["rank"].to_list() == [1, 2, 1, 2]
    assert rows["path"].to_list()[::2] == [str(image.resolve()) for image in others]
    assert rows["distance"].to_list()[::2] == pytest.approx([0, 0], abs=1e-3)
    assert Image.open(sheet).height > 2 * 160

    # A damaged one is named, and costs nothing else; alone, it is the answer.
    (night / "2.jpg").write_bytes(b"no image")
    cli.main(["gallery", "search", str(store), str(night), str(query), "--json", "--top", "1"])
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    assert [answer["query"] for answer in answers] == [
        str(night / "0.jpg"), str(night / "1.jpg"), str(query)
    ]  # fmt: skip
    assert "1 of 4 images were not read" in printed.err
    assert "2.jpg is not an image" in printed.err
    assert "2.jpg is not an image" in fails("gallery", "search", store, night / "2.jpg")
    for image in (night / "0.jpg", night / "1.jpg"):
        image.write_bytes(b"")
    assert "None of 3 images can be read" in fails("gallery", "search", store, night)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no image" in fails("gallery", "search", store, empty)
    assert "No query was given; name images" in fails("gallery", "search", store)


def test_adding_again_adds_nothing(capsys, store, promenade):
    out = said(capsys, "gallery", "add", store, f"sysu-mm01:{promenade}", "--split", "test")
    assert out.startswith("0 added")


def test_a_calibrated_store_gives_probabilities_and_the_report_shows_them(
    capsys, store, promenade, trained, query, tmp_path, fails
):
    copy = tmp_path / "copy.exact"
    assert "checksum" in said(capsys, "gallery", "copy", store, copy)
    out = said(
        capsys, "gallery", "calibrate", copy, "--data", f"sysu-mm01:{promenade}",
        "--split", "train", "--false-match-rate", 0.05,
    )  # fmt: skip
    assert "across lights: on people left out, " in out
    assert "said to be 50 % or more" in out
    assert re.search(
        r"infrared strangers among \d+ visible rows: \d+ people show false alarms", out
    )
    found = json.loads(said(capsys, "gallery", "search", copy, query, "--json"))
    assert all(0 <= result["probability"] <= 1 for result in found["results"])
    assert found["verdict"] == "in-gallery"
    assert found["alarm"] <= found["false_alarms"] < 0.2
    told = said(capsys, "gallery", "search", copy, query)
    assert re.search(r"In the gallery, it seems: .* find somebody as near in .* % of their", told)
    people = found["false_alarms"]
    ask = ("gallery", "search", copy, query, "--false-alarms")
    assert "can show none below" in fails(*ask, people / 2)
    assert "--false-alarms is 1.0, expected a number above 0 and below 1" in fails(*ask, 1)
    gray = tmp_path / "gray.png"
    Image.new("RGB", (16, 32), (90, 120, 90)).save(gray)
    told = said(capsys, "gallery", "search", copy, gray, "--false-alarms", people)
    assert "Nobody in the gallery is near enough: " in told
    told = said(capsys, "gallery", "same", copy, query, query)
    assert "(infrared) and" in told
    # Of a run that hardly learned that is the answer for one and the same picture, too.
    assert re.search(r"do not tell .*: .* \(95 %: .* to .*\), if it was 0\.5 before", told)
    plain = json.loads(said(capsys, "gallery", "same", copy, query, gray, "--json"))
    assert plain["modalities"] == ["infrared", "visible"]
    assert plain["interval"][0] <= plain["probability"] <= plain["interval"][1]
    assert "nothing was learnt" in said(capsys, "gallery", "same", store, query, query)
    assert "above 0 and below 1" in fails("gallery", "same", copy, query, query, "--prior", 0)
    page = tmp_path / "report.html"
    said(capsys, "report", trained, "--out", page, "--gallery", copy)
    assert "is this the same person" in page.read_text()


def test_rows_are_removed_by_filter_or_id_and_only_if_told_which(capsys, store, tmp_path, fails):
    copy = tmp_path / "copy.lance"
    said(capsys, "gallery", "copy", store, copy)
    assert "one way" in fails("gallery", "remove", copy)
    assert "one way" in fails("gallery", "remove", copy, "--all", "--camera", 1)
    row = json.loads(said(capsys, "gallery", "list", copy, "--json"))["rows"][0]["id"]
    assert said(capsys, "gallery", "remove", copy, "--id", row).startswith("1 removed")
    said(capsys, "gallery", "remove", copy, "--camera", 1, 2)
    assert (
        json.loads(said(capsys, "gallery", "list", copy, "--camera", 1, 2, "--json"))["rows"] == []
    )
    assert "now holds 0" in said(capsys, "gallery", "remove", copy, "--all")
    assert "0 rows" in said(capsys, "gallery", "optimize", copy)


def test_another_model_and_other_mistakes_are_refused(
    store, promenade, recipe, query, tmp_path, fails
):
    other = tmp_path / "other"
    data = f"sysu-mm01:{promenade}"
    cli.main(
        ["train", str(recipe), "--data", data, "--out", str(other), "--set", "training.seed=5"]
    )
    assert "cannot be compared" in fails("gallery", "search", store, query, "--model", other)
    assert "cannot be compared" in fails("gallery", "add", store, query, "--model", other)
    assert "not empty" in fails("gallery", "create", store, "--model", other)
    assert "is no time" in fails("gallery", "list", store, "--since", "yesterday")
    assert "There is no store" in fails("gallery", "stats", tmp_path / "none.lance")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    assert "No image could be read" in fails("gallery", "add", store, broken)
    two = ("--boxes", tmp_path / "walk.csv", "--detector", "nanodet")
    assert "give one of them" in fails("gallery", "add", store, tmp_path / "walk.mp4", *two)


def test_the_demo_ends_with_a_gallery_and_a_sheet_of_queries(promenade, trained, tmp_path):
    # The smallest Promenade has too few validation people to calibrate on.
    enough = Calibrating(split="train", false_match_rate=0.05)
    place, sheet = tmp_path / "gallery.lance", tmp_path / "sheet.png"
    places = {"run": trained, "data": promenade, "sheet": sheet, "calibrating": enough}
    made = demo.make_gallery(place, **places)
    assert Image.open(sheet).size == made.sheet.size
    assert made.query.is_file()
    with open_store(place) as store:
        assert set(store.frame()["modality"]) == {int(Modality.VISIBLE)}
        assert store.info.calibration["people"] == made.calibration.people
        rows = store.count()
    # Run again it adds nothing; a gallery that another training filled is made again.
    demo.make_gallery(place, **places)
    description = place / "store.json"
    described = json.loads(description.read_text())
    description.write_text(json.dumps({**described, "model": "b" * 64}))
    demo.make_gallery(place, **places)
    with open_store(place) as store:
        assert store.info.model == described["model"]
        assert store.count() == rows


@pytest.fixture
def own(capsys, tmp_path, trained) -> Path:
    """An empty store."""
    said(capsys, "gallery", "create", tmp_path / "own.exact", "--model", trained)
    return tmp_path / "own.exact"


def test_a_table_of_results_has_names_and_is_not_run(capsys, own, query, tmp_path):
    table = tmp_path / "found.csv"
    said(capsys, "gallery", "add", own, query, "--camera", 4, "--person", "=1+1")
    said(capsys, "gallery", "add", own, *sorted(query.parent.glob("*"))[1:2], "--camera", 5)
    said(capsys, "gallery", "camera", own, 4, "--name", "@gate")
    out = said(capsys, "gallery", "search", own, query, "--csv", table)
    assert "=1+1, @gate infrared" in out
    assert f"Table: {table}" in out
    rows = pl.read_csv(table)
    assert rows.columns == [
        "query", "rank", "distance", "probability", "id", "path", "pid", "person", "cam", "camera",
        "modality", "time", "track",
    ]  # fmt: skip
    assert rows.select("pid", "person", "cam", "camera").rows() == [
        (1, "'=1+1", 4, "'@gate"), (None, None, 5, None),
    ]  # fmt: skip


def test_queries_are_kept_no_larger_than_the_pictures_of_results(
    capsys, own, tmp_path, monkeypatch
):
    drawn = []

    def grid(rows, **sizes):
        drawn.extend(row[0].image.size for row in rows)
        return image_grid(rows, **sizes)

    monkeypatch.setattr(search, "image_grid", grid)
    large, sheet = tmp_path / "large.png", tmp_path / "found.png"
    Image.effect_noise((600, 900), 80).convert("RGB").save(large)
    said(capsys, "gallery", "add", own, large)
    found = json.loads(
        said(capsys, "gallery", "search", own, large, large, "--sheet", sheet, "--json")
        .splitlines()[1]
    )  # fmt: skip
    assert found["results"][0]["distance"] == pytest.approx(0, abs=1e-3)
    assert drawn == [(128, 192), (128, 192)]
    assert Image.open(sheet).height > 2 * 160


def test_labels_that_are_stated_later_are_written_and_counted(capsys, own, query, tmp_path):
    image = tmp_path / "a.jpg"
    image.write_bytes(query.read_bytes())
    said(capsys, "gallery", "add", own, image, "--camera", 4, "--person", 9)
    out = said(capsys, "gallery", "add", own, image, "--camera", 7)
    assert out.startswith("0 added, 1 were there already, 1 of them relabelled, 0 not read")
    assert "person 9, cam 7" in said(capsys, "gallery", "list", own, "--camera", 7)
    table = tmp_path / "people.csv"
    table.write_text("path,pid,time\na.jpg,3,2026-05-01T14:30\na.jpg,4,\n")
    out = said(capsys, "gallery", "add", own, table)
    assert "is named with person 3 and with person 4; the first counts" in out
    listed = said(capsys, "gallery", "list", own, "--since", "2026-05-01T23:30+09:00")
    assert "person 3, cam 7 infrared, 2026-05-01T14:30:00Z" in listed
    assert "0 of 0" in said(capsys, "gallery", "list", own, "--until", "2026-05-01T14:29")


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_names_that_are_no_utf8_are_enrolled_shown_and_searched(
    capsys, trained, query, tmp_path, kind
):
    store = tmp_path / f"own.{kind}"
    said(capsys, "gallery", "create", store, "--model", trained)
    folder = tmp_path / "images"
    folder.mkdir()
    odd = folder / os.fsdecode(b"b\xe9.jpg")
    for image in (odd, folder / "a.jpg"):
        image.write_bytes(query.read_bytes())
    assert said(capsys, "gallery", "add", store, folder).startswith("2 added")
    assert said(capsys, "gallery", "add", store, folder).startswith("0 added, 2 were there")
    assert said(capsys, "gallery", "list", store).count(r"b\xe9.jpg") == 1
    found = json.loads(
        said(capsys, "gallery", "search", store, odd, "--json", "--sheet", tmp_path / "sheet.png")
    )
    assert found["query"].endswith(r"b\xe9.jpg")
    assert {Path(result["path"]).name for result in found["results"]} == {r"b\xe9.jpg", "a.jpg"}
    (folder / os.fsdecode(b"c\xff.jpg")).write_bytes(b"no image")
    assert r"c\xff.jpg" in said(capsys, "gallery", "add", store, folder)
    assert said(capsys, "gallery", "remove", store, "--id", odd.name).startswith("0 removed")


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_a_store_whose_name_is_no_utf8_is_told(trained, own, tmp_path, kind, fails):
    place = tmp_path / os.fsdecode(b"g\xe9." + kind.encode())
    assert "give the store another name" in fails("gallery", "create", place, "--model", trained)
    own.rename(place)
    assert "give the store another name" in fails("gallery", "stats", place)


@pytest.mark.parametrize(
    ("command", "flag", "number"),
    [
        ("add", "camera", -2),
        ("add", "camera", 2**31),
        ("add", "person", -1),
        ("add", "person", 2**63),
        ("add", "workers", -1),
        ("search", "top", 0),
        ("search", "top", -1),
        ("search", "camera", 10**30),
        ("list", "limit", 0),
        ("list", "offset", -1),
        ("list", "person", 2**64),
        ("remove", "camera", -7),
        ("serve", "port", 70_000),
        ("serve", "port", -1),
    ],
)
def test_numbers_out_of_range_are_told(store, query, command, flag, number, fails):
    arguments = {"add": [store, query], "search": [store, query]}.get(command, [store])
    path = [command] if command == "serve" else ["gallery", command]
    sentence = fails(*path, *arguments, f"--{flag}", number)
    names = flag in ("camera", "person")
    told = "; give a number from" if names else ", expected a number from"
    assert f"--{flag} is {number}{told}" in sentence


@pytest.mark.parametrize(
    ("flag", "value"),
    [("every", "nan"), ("every", "-1"), ("crops", "0"), ("detector-threshold", "nan"),
     ("detector-threshold", "1.5")],
)  # fmt: skip
def test_numbers_of_videos_out_of_range_are_told(store, flag, value, tmp_path, fails):
    sentence = fails("gallery", "add", store, tmp_path / "walk.mp4", f"--{flag}", value)
    assert f"--{flag} is " in sentence


@pytest.mark.parametrize("flag", ["since", "until"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "soon"])
def test_what_is_no_time_is_told(store, flag, value, fails):
    sentence = fails("gallery", "list", store, f"--{flag}={value}")
    assert f"{value!r} is no time; write seconds" in sentence


def test_a_video_in_which_nobody_is_found_is_an_error(capsys, own, tmp_path, fails):
    av = pytest.importorskip("av", reason="say: pip install av")
    video, boxes = tmp_path / "walk.mp4", tmp_path / "walk.csv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(10):
            picture = Image.new("RGB", (320, 240), (20 * number, 90, 90))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    boxes.write_text("frame,left,top,right,bottom\n0,20,245,84,315\n5,20,245,84,315\n")
    sentence = fails("gallery", "add", own, video, "--boxes", boxes, "--every", 0)
    assert "Nobody was enrolled: 2 boxes lie on the 10 frames" in sentence
    assert "0 of them large enough inside the picture of 320 x 240" in sentence
    # The remedy: boxes inside the picture.
    boxes.write_text("frame,left,top,right,bottom\n0,20,20,84,215\n5,20,245,84,315\n")
    out = said(capsys, "gallery", "add", own, video, "--boxes", boxes, "--every", 0)
    assert "not enrolled: 1 of 2 boxes" in out
    assert "1 added" in out


def test_people_in_a_video_are_found_without_being_told_where(
    capsys, own, tmp_path, fails, drawn_people
):
    av = pytest.importorskip("av", reason="say: pip install av")
    video, empty = tmp_path / "walk.mp4", tmp_path / "empty.mp4"
    for path, people in ((video, drawn_people), (empty, [])):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width, stream.height, stream.pix_fmt = 416, 320, "yuv420p"
            stream.bit_rate = 4_000_000
            for number in range(5):
                picture = Image.new("RGB", (416, 320), (120, 120, 120))
                for place, person in enumerate(people):
                    picture.paste(person, (20 + 190 * place + 4 * number, 60))
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
            container.mux(stream.encode())
    out = said(capsys, "gallery", "add", own, video, "--every", 0, "--crops", 2)
    assert "People are found by nanodet, which comes with crosslight; --boxes FILE.csv" in out
    assert f"{2 * len(drawn_people)} added" in out
    with open_store(str(own)) as store:
        assert store.frame()["track"].n_unique() == len(drawn_people)
    sentence = fails("gallery", "add", own, empty)
    assert "Nobody was enrolled: 0 people were found on the 5 frames" in sentence
    assert "--detector-threshold" in sentence


def test_boxes_of_a_video_that_are_left_out_are_counted_and_none_at_all_is_an_error(
    capsys, trained, tmp_path
):
    av = pytest.importorskip("av", reason="say: pip install av")
    video, boxes, store = (tmp_path / name for name in ("p.mp4", "p.csv", "people.exact"))
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(5):
            picture = Image.new("RGB", (160, 120), (120, 60, 60))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    first, row = "frame,left,top,right,bottom,score\n", "{},20,20,60,100,0.9\n"
    turned = "1,60,100,20,20,0.9\n2,nan,20,60,100,0.9\n"
    boxes.write_text(first + row.format(0) + turned)
    said(capsys, "gallery", "create", store, "--model", trained)
    add = ("gallery", "add", store, video, "--boxes", boxes, "--every", 0)
    assert "boxes left out: 1 lack a finite number, 1 have right not beyond left" in said(
        capsys, *add
    )
    boxes.write_text(first + turned)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in add])
    assert ended.value.code == 1
    assert "None of the 2 boxes" in capsys.readouterr().err

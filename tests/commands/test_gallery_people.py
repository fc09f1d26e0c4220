"""The commands about the people of a gallery."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.gallery.rows import DIM, INFO, MODEL

from crosslight import cli
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import build_rows


def said(capsys, *arguments: object) -> str:
    capsys.readouterr()
    cli.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A store of three tracks of two crops each, and of person 5, by two cameras."""
    folder = tmp_path / "street.lance"
    tracks = ["walk-1", "walk-1", "walk-2", "walk-2", "yard 3", "yard 3", None]
    rows = build_rows(
        {
            "id": [f"row-{n}" for n in range(7)],
            "pid": [None] * 6 + [5],
            "cam": [1, 1, 1, 1, 2, 2, 2],
            "track": tracks,
            "path": [f"walk.mp4#t={n // 2 if n != 2 else 0}" for n in range(4)] + ["", "", "a.jpg"],
            "time": [1000.0, 1001, 1000, 1002, 1500, 1501, 1600],
        },
        np.random.default_rng(0).normal(size=(7, DIM)),
        model=MODEL,
    )
    with create_like(folder, INFO) as made:
        made.add(rows)
    return folder


def test_people_are_named_merged_split_and_listed(capsys, street, fails):
    assert said(capsys, "gallery", "people", street).splitlines() == [
        "     5  -  1 image, cam 2, 1600.0 s",
        "1 people; 6 images of 3 tracks show nobody known.",
    ]
    out = said(capsys, "gallery", "label", street, "Anna", "--track", "walk-1")
    assert out == "2 images given to Anna (person 6), who now has 2.\n"
    assert said(capsys, "gallery", "camera", street, 1, "--name", "Eingang Nord") == (
        "Camera 1 is Eingang Nord.\n"
    )
    assert said(capsys, "gallery", "person", street, "anna", "--note", "red bag") == (
        "     6  Anna  2 images, 1 track, Eingang Nord, 1000.0 s to 1001.0 s  (red bag)\n"
    )
    out = said(capsys, "gallery", "merge", street, "5", "yard 3")
    assert out == "2 images given to person 5, who now has 3.\n"
    sentence = fails("gallery", "merge", street, "Anna", "walk-2")
    assert "were seen in one frame of Eingang Nord about 1000.0 s: they are two people" in sentence
    out = said(capsys, "gallery", "merge", street, "Anna", "5")
    assert out == "3 images given to Anna (person 6), who now has 5.\n"
    out = said(capsys, "gallery", "split", street, "Anna", "--track", "yard 3", "--to", "Bob")
    assert out == "2 images given to Bob (person 7), who now has 2.\n"
    assert said(capsys, "gallery", "apart", street, "Bob", "walk-2") == (
        "Bob and track walk-2 are kept as two people.\n"
    )
    assert "names" in fails("gallery", "person", street, "Ana")
    told = json.loads(said(capsys, "gallery", "people", street, "--json"))
    assert [(one["pid"], one["name"], one["rows"]) for one in told["people"]] == [
        (6, "Anna", 3), (7, "Bob", 2),
    ]  # fmt: skip
    assert told["people"][0]["cameras"] == ["Eingang Nord", None]
    assert told["unknown"] == {"rows": 2, "tracks": 1}


def test_what_a_label_takes_away_is_told(capsys, street, fails):
    said(capsys, "gallery", "label", street, "Anna", "--track", "walk-1")
    said(capsys, "gallery", "label", street, "Bob", "--track", "yard 3")
    out = said(capsys, "gallery", "label", street, "Bob", "--camera", 2)
    assert out.splitlines() == [
        "1 image was taken from person 5.",
        "1 image given to Bob (person 7), who now has 3.",
    ]
    sentence = fails("gallery", "merge", street, "Anna", "track:yard 3")
    assert "Track yard 3 is of Bob, who has 1 other image," in sentence
    out = said(capsys, "gallery", "label", street, "Bob", "--track", "walk-1")
    assert out.splitlines() == [
        "2 images were taken from Anna.",
        "Anna has no image left; forgotten: the name.",
        "2 images given to Bob (person 7), who now has 5.",
    ]


def test_names_stand_in_filters_lists_and_counts(capsys, street, fails):
    said(capsys, "gallery", "label", street, "Anna", "--camera", 2)
    said(capsys, "gallery", "camera", street, 2, "--name", "Yard")
    listed = said(capsys, "gallery", "list", street, "--camera", "yard", "--person", "ANNA")
    assert listed.endswith("3 of 3 rows\n")
    assert listed.count("Anna, Yard visible") == 3
    told = json.loads(said(capsys, "gallery", "list", street, "--camera", 2, 1, "--json"))
    assert told["count"] == 7
    assert {(row["person"], row["camera"]) for row in told["rows"]} == {
        ("Anna", "Yard"), (None, None),
    }  # fmt: skip
    stats = said(capsys, "gallery", "stats", street)
    assert "7 of 1 known people" in stats
    assert "1 have a name: Anna" in stats
    assert "Yard visible: 3" in stats
    assert json.loads(said(capsys, "gallery", "stats", street, "--json"))["named"] == 1
    assert "No camera of" in fails("gallery", "list", street, "--camera", "Yart")
    assert "known names are Yard" in fails("gallery", "remove", street, "--camera", "Yart")
    said(capsys, "gallery", "remove", street, "--person", "Anna")
    assert said(capsys, "gallery", "people", street).startswith("0 people; 4 images")


def test_what_is_not_said_or_does_not_fit_is_told(street, fails):
    label = ("gallery", "label", street, "Anna")
    assert "Say which rows: with --id" in fails(*label)
    assert "in one way" in fails(*label, "--id", "row-1", "--camera", 1)
    assert "no row of the track 'walk-9'" in fails(*label, "--track", "walk-9")
    assert "No row of" in fails(*label, "--camera", 9)
    assert "no row 'row-99'" in fails(*label, "--id", "row-99")
    assert "is no name" in fails("gallery", "label", street, "track:x", "--id", "row-1")
    for nobody in ("unknown", "?"):
        assert "in a table it means" in fails("gallery", "label", street, nobody, "--id", "row-1")
        assert "in a table it means" in fails("gallery", "person", street, 5, "--name", nobody)
    assert "two people or more" in fails("gallery", "merge", street, "5")
    assert "two people or more" in fails("gallery", "merge", street)
    assert "No track of" in fails("gallery", "merge", street, "5", "track:nobody")
    assert "has no image of person 9" in fails("gallery", "merge", street, "5", "9")
    assert "all images of person 5" in fails("gallery", "split", street, 5, "--id", "row-6")
    assert "one person already" in fails("gallery", "apart", street, "5", "5")
    assert "has no name" in fails("gallery", "camera", street, -1, "--name", "x")
    with open_store(street) as store:
        assert store.frame()["pid"].drop_nulls().to_list() == [5]


def test_tracks_are_proposed_with_the_command_that_merges_them(capsys, street, fails):
    out = said(capsys, "gallery", "propose", street).splitlines()
    assert len(out) == 8
    pairs = [line.split("  ", 1)[1] for line in out[:5]]
    assert "track walk-1 and track walk-2" not in pairs  # one camera, one time
    assert "person 5 and track walk-1" in pairs
    assert "crosslight gallery merge" in out[5]
    assert "crosslight gallery calibrate" in out[7]
    told = json.loads(said(capsys, "gallery", "propose", street, "--json", "--top", 1))
    best = told["proposals"][0]
    assert (told["calibrated"], best["probability"]) == (False, None)
    merged = said(capsys, "gallery", "merge", street, best["first"], best["second"])
    assert "images given to" in merged
    assert "--least is 2.0, expected a number from 0 to 1" in fails(
        "gallery", "propose", street, "--least", 2
    )


def test_marks_are_kept_and_written(capsys, street, tmp_path, fails):
    image = tmp_path / "night.png"
    image.write_bytes(b"any file")
    said(capsys, "gallery", "mark", street, "row-6", "row-1", "right")
    out = said(capsys, "gallery", "mark", street, image, "row-2", "wrong")
    assert out == "1 right, 1 wrong.\n"
    listed = sorted(said(capsys, "gallery", "marks", street).splitlines()[:2])  # of one second
    assert listed[0].startswith("right  row-1  for row-6, ")
    assert listed[1].startswith("wrong  row-2  for night.png, ")
    said(capsys, "gallery", "label", street, "=1+1", "--id", "row-1")
    written, log = tmp_path / "marks.csv", tmp_path / "log.jsonl"
    assert said(capsys, "gallery", "marks", street, "--csv", written, "--audit", log) == (
        f"2 marks in {written}.\n"
    )
    table = csv.DictReader(written.read_text().splitlines())
    right, wrong = sorted(table, key=lambda one: one["mark"])
    assert [*right][:3] == ["query_row", "query_file", "query_sha256"]
    assert (right["person"], wrong["person"]) == ("'=1+1", "")
    assert json.loads(log.read_text())["action"] == "export"
    told = json.loads(said(capsys, "gallery", "marks", street, "--json"))
    assert (told["right"], told["wrong"], len(told["marks"])) == (1, 1, 2)
    assert said(capsys, "gallery", "mark", street, image, "row-2", "none") == "1 right, 0 wrong.\n"
    assert "neither an image file nor a row" in fails(
        "gallery", "mark", street, "nobody", "row-1", "right"
    )
    assert "has no row 'row-99'" in fails("gallery", "mark", street, image, "row-99", "right")


def test_removals_and_copies_are_logged_before_they_happen(capsys, street, tmp_path, fails):
    log = tmp_path / "log.jsonl"
    said(capsys, "gallery", "label", street, "Anna", "--id", "row-6")
    said(capsys, "gallery", "copy", street, tmp_path / "copy.exact", "--audit", log)
    said(capsys, "gallery", "remove", street, "--person", "Anna", "--audit", log)
    said(capsys, "gallery", "remove", street, "--id", "row-0", "row-9", "--audit", log)
    said(capsys, "gallery", "remove", street, "--all", "--dry-run", "--audit", log)
    said(capsys, "gallery", "retain", street, "--days", 3, "--audit", log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["action"], line["rows"]) for line in lines] == [
        ("export", 7), ("remove", 1), ("remove", 1), ("remove", 0),
    ]  # fmt: skip
    assert {line["from"] for line in lines} == {"command"}
    assert all(line["who"] for line in lines)
    assert lines[1]["what"]["pids"] == [6]
    assert lines[2]["what"]["ids"] == ["row-0"]
    assert "Anna" not in log.read_text()
    inside = fails("gallery", "remove", street, "--all", "--yes", "--audit", street / "a.jsonl")
    assert "would lie inside a store" in inside
    assert said(capsys, "gallery", "list", street).endswith("5 of 5 rows\n")

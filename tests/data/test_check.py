from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import polars as pl
import pytest

from crosslight.data.check import CheckReport, check_data, count_rows, size_faults
from crosslight.data.layouts import Expected, get_layout, read_layout
from crosslight.errors import ConfigError, DataError
from crosslight.types import Modality
from tests.data import trees
from tests.data.trees import TREES, jpeg, plant, png_claiming

Files = dict[str, str | bytes | None]


def checked(root: Path, name: str, files: Files | None = None, **options: object) -> CheckReport:
    plant(root, TREES[name]() if files is None else files)
    return check_data(name, root, **options)  # type: ignore[arg-type]


def table_of(*rows: str, head: str = "path,pid,cam,modality,split") -> Files:
    """A user's table with an image for every row."""
    paths = [row.split(",")[0] for row in rows]
    return {"table.csv": "\n".join([head, *rows]), **dict.fromkeys(paths)}


def told(report: CheckReport, severity: str) -> str:
    return "\n".join(fault.what for fault in report.faults if fault.severity == severity)


class TestCounts:
    def test_rows_per_split_and_light(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "sysu-mm01")
        whole = [row for row in report.rows if row.cam is None]
        assert [(r.split, r.modality.name, r.cameras, r.ids, r.images) for r in whole] == [
            ("train", "VISIBLE", (1, 2, 4, 5), 3, 24),
            ("train", "INFRARED", (3, 6), 3, 12),
            ("val", "VISIBLE", (1, 2, 4, 5), 1, 8),
            ("val", "INFRARED", (3, 6), 1, 4),
            ("test", "VISIBLE", (1, 2, 4, 5), 2, 16),
            ("test", "INFRARED", (3, 6), 2, 8),
        ]
        assert {r.mark for r in report.rows} == {"differs"}
        assert whole[0].expected_images == 20284
        assert [(r.cam, r.images) for r in report.rows if r.cam] == [
            (cam, 4) for cam in (1, 2, 4, 5, 3, 6)
        ]

    def test_junk_is_nobody_but_counts_as_images(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "market1501")
        gallery = next(row for row in report.rows if row.split == "gallery")
        assert (gallery.ids, gallery.images, gallery.junk) == (3, 5, 1)
        boxes = next(row for row in report.rows if row.split == "multi-query")
        assert boxes.mark == "no published figure"

    def test_differing_sizes_are_one_warning(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "regdb")
        faults = [f for f in report.faults if "not the published one" in f.what]
        assert [fault.severity for fault in faults] == ["warning"]
        assert "test thermal" not in faults[0].what
        assert "test infrared has 2 people and 4 images where 206 and 2060" in faults[0].what
        assert report.ok

    def test_figures_that_nobody_verified_are_marked(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "llcm")
        assert "(not verified by crosslight)" in told(report, "warning")
        assert "16946?" in report.render()

    @pytest.mark.parametrize(
        ("part", "mark"),
        [
            (Expected(split="all", ids=2, images=4), "ok"),
            (Expected(split="all", images=4), "ok"),
            (Expected(split="all", ids=3, images=4), "differs"),
            (Expected(split="all", ids=2, images=5), "differs"),
            (Expected(split="all"), "no published figure"),
            (Expected(split="all", cam=2, ids=2, images=2), "ok"),
            (Expected(split="all", cam=3, ids=2, images=2), "differs"),
        ],
    )
    def test_marks(self, tmp_path: Path, part: Expected, mark: str) -> None:
        table = read_layout("table", plant(tmp_path, TREES["table"]()))
        assert count_rows(table, [part])[-1].mark == mark

    def test_a_part_that_is_absent_gets_a_row_of_zeros(self, tmp_path: Path) -> None:
        table = read_layout("table", plant(tmp_path, TREES["table"]()))
        part = Expected(split="test", modality=Modality.INFRARED, ids=1, images=9)
        row = count_rows(table, [part])[-1]
        assert (row.split, row.ids, row.images, row.mark) == ("test", 0, 0, "differs")

    def test_a_camera_that_alone_differs_is_told(self, tmp_path: Path) -> None:
        table = read_layout("table", plant(tmp_path, TREES["table"]()))
        parts = [Expected(split="all", ids=2, images=4), Expected(split="all", cam=1, images=3)]
        (fault,) = size_faults(count_rows(table, parts), get_layout("table"))
        assert "all visible camera 1 has 2 people and 2 images where - and 3" in fault.what


class TestFaults:
    def test_a_sound_table_has_none(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "table")
        assert report.ok
        assert report.faults == ()

    @pytest.mark.parametrize("name", sorted(TREES))
    def test_the_miniatures_have_no_error(self, tmp_path: Path, name: str) -> None:
        files = TREES[name]()
        files = {k: jpeg() if k.endswith(".bmp") else v for k, v in files.items()}
        report = checked(tmp_path, name, files)
        assert report.ok, report.render()

    def test_queries_that_one_camera_leaves_without_answer(self, tmp_path: Path) -> None:
        rows = [f"{pid}/{i}.jpg,{pid},1" for pid in (1, 2) for i in range(2)]
        report = checked(tmp_path, "table", table_of(*rows, head="path,pid,cam"))
        assert not report.ok
        assert "4 of 4 queries have no gallery image from another camera" in told(report, "error")
        assert "--protocol any-camera" in report.faults[0].remedy

    def test_some_queries_without_answer_are_a_warning(self, tmp_path: Path) -> None:
        rows = [
            "q1.jpg,1,1,visible,query",
            "q2.jpg,2,1,visible,query",
            "q3.jpg,3,1,visible,query",
            "g1.jpg,1,2,visible,gallery",
            "g2.jpg,2,1,visible,gallery",
        ]
        report = checked(tmp_path, "table", table_of(*rows))
        assert report.ok
        assert "2 of 3 queries have no gallery image from another camera" in told(report, "warning")

    def test_without_cameras_any_other_image_is_an_answer(self, tmp_path: Path) -> None:
        rows = ["a.jpg,1", "b.jpg,1", "c.jpg,2"]
        report = checked(tmp_path, "table", table_of(*rows, head="path,pid"))
        assert report.ok
        assert "3 of 3 images have no camera" in told(report, "warning")
        assert "1 of 3 queries have no gallery image, so the any-camera" in told(report, "warning")

    def test_camera_three_does_not_find_the_room_it_shares_with_camera_two(
        self, tmp_path: Path
    ) -> None:
        """A person in cameras 2 and 3 only has no answer in SYSU-MM01; in 2 and 6 it has."""
        files = trees.sysu_mm01(test=(6, 10))
        gone = [f"cam{cam}/0006" for cam in (1, 4, 5, 6)]
        gone += [f"cam{cam}/0010" for cam in (1, 3, 4, 5)]
        files = {k: v for k, v in files.items() if not k.startswith(tuple(gone))}
        report = checked(tmp_path, "sysu-mm01", files)
        assert "2 of 4 queries have no gallery image from another camera" in told(report, "warning")

    def test_people_indoors_are_not_required_in_sysu(self, tmp_path: Path) -> None:
        files = trees.sysu_mm01()
        gone = ("cam1/0006", "cam2/0006")
        files = {k: v for k, v in files.items() if not k.startswith(gone)}
        assert "queries" not in told(checked(tmp_path, "sysu-mm01", files), "warning")

    def test_both_directions_of_llcm_respect_the_camera(self, tmp_path: Path) -> None:
        files = {k: v for k, v in trees.llcm().items() if not k.startswith("test_nir/cam4")}
        warnings = told(checked(tmp_path, "llcm", files), "warning")
        assert (
            "2 of 4 queries have no gallery image from another camera, so the llcm/vis" in warnings
        )
        assert "llcm/infrared" not in warnings

    def test_junk_is_neither_query_nor_person(self, tmp_path: Path) -> None:
        rows = ["j.jpg,-1,1,,train", "a.jpg,1,1,,train", "b.jpg,1,1,,train", "k.jpg,-1,1,,test"]
        rows += [f"2{cam}.jpg,2,{cam},,train" for cam in (1, 2)]
        rows += [f"3{cam}.jpg,3,{cam},,test" for cam in (1, 2)]
        assert checked(tmp_path, "table", table_of(*rows)).faults == ()

    @pytest.mark.parametrize("word", ["Train set", "training", "probe", "tset"])
    def test_splits_that_nobody_looks_for(self, tmp_path: Path, word: str) -> None:
        rows = [f"{pid}{cam}.jpg,{pid},{cam},,{word}" for pid in (1, 2) for cam in (1, 2)]
        report = checked(tmp_path, "table", table_of(*rows))
        assert "do not look for: " in told(report, "error")
        assert word.lower() in told(report, "error").lower()
        after = checked(tmp_path, "table", table_of(*(r.replace(word, "train") for r in rows)))
        assert after.faults == ()

    def test_nobody_is_left_where_all_is_junk(self, tmp_path: Path) -> None:
        rows = [f"{n}.jpg,{-n},1,,{split}" for n, split in ((1, "query"), (2, "gallery"))]
        report = checked(tmp_path, "table", table_of(*rows))
        assert not report.ok
        assert "Nobody is known: all 2 rows have ids of junk" in told(report, "error")

    def test_nobody_is_left_in_one_split(self, tmp_path: Path) -> None:
        rows = [f"{pid}{cam}.jpg,{pid},{cam},,train" for pid in (1, 2) for cam in (1, 2)]
        report = checked(tmp_path, "table", table_of(*rows, "j.jpg,-1,1,,val"))
        assert "Nobody is known in split val" in told(report, "error")

    @pytest.mark.parametrize(("there", "missing"), [("query", "gallery"), ("gallery", "query")])
    def test_half_a_search_is_none(self, tmp_path: Path, there: str, missing: str) -> None:
        rows = [f"{pid}{cam}.jpg,{pid},{cam},,{there}" for pid in (1, 2) for cam in (1, 2)]
        report = checked(tmp_path, "table", table_of(*rows))
        assert f"No image in split {missing}, so evaluation scores nothing" in told(report, "error")

    def test_a_published_layout_without_queries(self, tmp_path: Path) -> None:
        files = {k: v for k, v in trees.market1501().items() if not k.startswith("query/")}
        report = checked(tmp_path, "market1501", files | {"query/readme.txt": b"x"})
        assert "No image in split query" in told(report, "error")

    @pytest.mark.parametrize("how", ["./img/a.jpg", "img/../img/a.jpg", "link.jpg", "hard.jpg"])
    def test_one_file_under_two_names(self, tmp_path: Path, how: str) -> None:
        plant(tmp_path, table_of("img/a.jpg,1,1,,query", "img/b.jpg,1,2,,gallery"))
        (tmp_path / "link.jpg").symlink_to("img/a.jpg")
        (tmp_path / "hard.jpg").hardlink_to(tmp_path / "img" / "a.jpg")
        with (tmp_path / "table.csv").open("a") as file:
            file.write(f"\n{how},1,2,,gallery\n")
        error = told(check_data("table", tmp_path), "error")
        assert f"In the table more than once: 1 image (img/a.jpg = {how})." in error

    @pytest.mark.parametrize("table", ["NFC", "NFD"])
    def test_names_composed_otherwise_than_on_the_disk_are_found(
        self, tmp_path: Path, table: str
    ) -> None:
        disk = "NFD" if table == "NFC" else "NFC"
        for name in ("M\u00fcller/\u00e9.jpg", "M\u00fcller/a.jpg"):
            plant(tmp_path, {unicodedata.normalize(disk, name): None})
        folder, image = (unicodedata.normalize(table, n) for n in ("M\u00fcller", "\u00e9.jpg"))
        (tmp_path / "table.csv").write_text(f"path,pid\n{folder}/{image},1\n{folder}/a.jpg,1\n")
        assert "no image at" not in told(check_data("table", tmp_path), "error")
        assert all(path.is_file() for path in read_layout("table", tmp_path).paths)

    def test_a_name_that_is_in_no_spelling_stays_as_it_was_written(self, tmp_path: Path) -> None:
        plant(tmp_path, {"M\u00fcller.jpg": None})
        (tmp_path / "table.csv").write_text("path,pid\nMueller/\u00fc.jpg,1\n")
        assert "no image at" in told(check_data("table", tmp_path), "error")

    def test_what_is_passed_over_in_a_layout_is_counted(self, tmp_path: Path) -> None:
        beside = {"query/0001_c1s1_000001_09.heic": b"x", "query/Thumbs.db": b"x"}
        report = checked(tmp_path, "market1501", trees.market1501() | beside)
        said = "Beside the images, 1 file passed over: .heic 1 (convert them to JPEG)."
        assert said in report.notes
        plain = {k: v for k, v in trees.market1501().items() if v is None}
        assert checked(tmp_path / "plain", "market1501", plain).notes == ()

    def test_a_table_without_splits_says_how_to_train_on_it(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "table", table_of("a.jpg,1", "b.jpg,1", head="path,pid"))
        assert report.ok
        assert "--set data.train_splits=[all]" in report.notes[0]

    def test_single_images_are_named(self, tmp_path: Path) -> None:
        rows = ["a.jpg,1,1,,train", "b.jpg,1,2,,train", "c.jpg,7,1,,train", "d.jpg,8,1,,gallery"]
        report = checked(tmp_path, "table", table_of(*rows))
        assert "With one image only in split train: 1 person (7)." in told(report, "warning")
        assert "gallery" not in told(report, "warning")

    def test_people_in_one_light(self, tmp_path: Path) -> None:
        files = trees.sysu_mm01()
        gone = ("cam3/0012", "cam6/0012")
        files = {k: v for k, v in files.items() if not k.startswith(gone)}
        report = checked(tmp_path, "sysu-mm01", files)
        assert "Of 3 people in split train, seen in one light only: 1 person (12)." in told(
            report, "warning"
        )

    def test_query_and_gallery_share_their_lights(self, tmp_path: Path) -> None:
        rows = ["q.jpg,1,1,infrared,query", "g.jpg,1,2,visible,gallery"]
        assert checked(tmp_path, "table", table_of(*rows)).faults == ()

    def test_people_in_training_and_test(self, tmp_path: Path) -> None:
        files = trees.sysu_mm01() | {"exp/val_id.txt": "7,20,6"}
        report = checked(tmp_path, "sysu-mm01", files)
        assert not report.ok
        assert "In training and in test alike: 1 person (6)." in told(report, "error")
        assert "In train and in val alike: 1 person (7)." in told(report, "warning")
        assert "In the table more than once: 48 images (cam1/0006" not in told(report, "error")
        assert "In the table more than once: 24 images (cam1/0006/0001.jpg" in told(report, "error")

    def test_msmt17_numbers_its_people_twice(self, tmp_path: Path) -> None:
        assert "alike" not in told(checked(tmp_path, "msmt17"), "error")

    def test_gaps_between_the_numbers_of_sysu_images(self, tmp_path: Path) -> None:
        files = trees.sysu_mm01(images=3)
        del files["cam2/0010/0002.jpg"]
        del files["cam2/0004/0002.jpg"]
        report = checked(tmp_path, "sysu-mm01", files)
        assert "Not numbered 0001, 0002, ...: 1 test folder (cam2/0010)." in told(report, "warning")
        gaps = next(fault for fault in report.faults if "numbered" in fault.what)
        assert "--sampler seeded" in gaps.remedy

    def test_regdb_lists_in_different_order(self, tmp_path: Path) -> None:
        files = trees.regdb()
        lines = str(files["idx/test_thermal_1.txt"]).splitlines()
        files["idx/test_thermal_1.txt"] = "\n".join([*lines[:1], *lines[2:], lines[1]])
        report = checked(
            tmp_path, "regdb", {k: jpeg() if k.endswith("bmp") else v for k, v in files.items()}
        )
        assert "thermal test list differ in their order of people, first in line 2" in told(
            report, "warning"
        )

    def test_errors_come_first(self, tmp_path: Path) -> None:
        files = trees.sysu_mm01() | {"exp/val_id.txt": "7,20,6"}
        severities = [f.severity for f in checked(tmp_path, "sysu-mm01", files).faults]
        assert severities == sorted(severities)
        assert len(set(severities)) == 2


class TestImages:
    def broken(self) -> Files:
        files = trees.sysu_mm01(images=3)
        content = jpeg(height=64, width=32)
        files["cam1/0004/0001.jpg"] = content[: len(content) // 2]
        files["cam2/0004/0002.jpg"] = b""
        files["cam3/0004/0003.jpg"] = png_claiming(9000, 9000)
        files["cam4/0004/0003.jpg"] = b"text"
        return files

    def test_every_kind_of_damage_is_named(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "sysu-mm01", self.broken())
        assert not report.ok
        error = told(report, "error")
        assert "Of 108 images, unreadable: 4 images (cam1/0004/0001.jpg, cam2/0004/0002" in error
        assert "The first: " in error
        assert "truncated" in error

    def test_headers_alone_do_not_show_truncation(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "sysu-mm01", self.broken(), read_images=False)
        assert "unreadable: 3 images (cam2/0004/0002.jpg" in told(report, "error")
        assert "headers only" in report.render()

    def test_ten_are_named_and_all_are_counted(self, tmp_path: Path) -> None:
        rows = [f"{i:02d}.jpg,1,{i}" for i in range(15)]
        files = table_of(*rows, head="path,pid,cam")
        files |= {f"{i:02d}.jpg": b"" for i in range(13)}
        error = told(checked(tmp_path, "table", files), "error")
        assert "unreadable: 13 images (00.jpg" in error
        assert "09.jpg and 3 more)" in error

    def test_a_row_without_file_is_named(self, tmp_path: Path) -> None:
        files = TREES["table"]()
        del files["b/2.jpg"]
        assert "There is no image at" in told(checked(tmp_path, "table", files), "error")

    def test_progress_reaches_the_end(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        checked(tmp_path, "table", progress=lambda done, total: calls.append((done, total)))
        assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_a_progress_that_raises_stops_the_check(self, tmp_path: Path) -> None:
        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            checked(tmp_path, "table", progress=stop)


class TestReport:
    def test_the_text_holds_everything(self, tmp_path: Path) -> None:
        report = checked(tmp_path, "sysu-mm01")
        text = report.render()
        assert f"SYSU-MM01 at {tmp_path} (sysu-mm01)" in text
        assert "split  light     cameras  people  published  images  published" in text
        assert "train  visible   1-2,4-5  3       296        24      20284      differs" in text
        assert report.fingerprint == read_layout("sysu-mm01", tmp_path).fingerprint()
        assert report.fingerprint in text
        assert "72 images decoded; errors: 0, warnings: 1." in text

    def test_unknown_cameras_are_said(self, tmp_path: Path) -> None:
        files = table_of("a.jpg,1", "b.jpg,1", head="path,pid")
        assert "all    visible  unknown" in checked(tmp_path, "table", files).render()

    def test_the_trial_is_read(self, tmp_path: Path) -> None:
        one, two = (checked(tmp_path, "regdb", trial=trial) for trial in (1, 2))
        assert one.fingerprint != two.fingerprint
        assert (one.trial, two.trial) == (1, 2)

    def test_wrong_names_and_roots_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="did you mean 'regdb'"):
            check_data("regbd", tmp_path)
        with pytest.raises(DataError, match="does not hold RegDB"):
            check_data("regdb", tmp_path)


class TestPromenade:
    def planted(self, root: Path) -> Path:
        plant(root, trees.sysu_mm01())
        (root / "promenade.json").write_text(json.dumps({"preset": "mini"}))
        frame = read_layout("sysu-mm01", root).frame
        spectrum = (
            pl.when(pl.col("modality") == 1)
            .then(pl.lit("near-infrared"))
            .otherwise(pl.lit("visible"))
        )
        frame.select("path", "pid", "split", spectrum=spectrum).write_parquet(
            root / "factors.parquet"
        )
        return root

    def test_its_own_record_takes_the_place_of_published_figures(self, tmp_path: Path) -> None:
        report = check_data("sysu-mm01", self.planted(tmp_path))
        assert report.faults == ()
        assert {row.mark for row in report.rows} == {"ok"}
        assert "published figures of SYSU-MM01 do not apply" in report.notes[0]

    def test_missing_images_are_told_with_the_remedy(self, tmp_path: Path) -> None:
        root = self.planted(tmp_path)
        (root / "cam6" / "0010" / "0002.jpg").unlink()
        report = check_data("sysu-mm01", root)
        assert "1 image (cam6/0010/0002.jpg)" in told(report, "error")
        assert "data make promenade" in report.faults[0].remedy

    def test_recorded_people_of_no_split_need_not_be_read(self, tmp_path: Path) -> None:
        root = self.planted(tmp_path)
        record = pl.read_parquet(root / "factors.parquet")
        stranger = record.head(1).with_columns(path=pl.lit("cam1/0500/0001.jpg"))
        pl.concat([record, stranger]).write_parquet(root / "factors.parquet")
        assert check_data("sysu-mm01", root).ok

    def test_a_damaged_record_is_named(self, tmp_path: Path) -> None:
        root = self.planted(tmp_path)
        (root / "factors.parquet").write_bytes(b"PAR1")
        with pytest.raises(
            DataError, match=r"factors\.parquet is not readable as Parquet: .* command again"
        ):
            check_data("sysu-mm01", root)

    def test_junk_is_nobody_in_the_record_too(self, tmp_path: Path) -> None:
        root = plant(tmp_path, trees.market1501())
        (root / "promenade.json").write_text("{}")
        frame = read_layout("market1501", root).frame
        frame.select("path", "pid", "split", spectrum=pl.lit("visible")).write_parquet(
            root / "factors.parquet"
        )
        assert {row.mark for row in check_data("market1501", root).rows} == {"ok"}

    def test_without_its_record_nothing_is_expected(self, tmp_path: Path) -> None:
        root = self.planted(tmp_path)
        (root / "factors.parquet").unlink()
        report = check_data("sysu-mm01", root)
        assert {row.mark for row in report.rows} == {"no published figure"}
        assert report.notes[0].endswith("do not apply.")
        assert report.ok

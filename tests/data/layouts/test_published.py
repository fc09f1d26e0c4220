"""The facts and traps of each published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from crosslight.data.layouts import read_layout
from crosslight.errors import DataError
from crosslight.types import UNKNOWN_CAM, Modality
from tests.data import trees
from tests.data.layouts.conftest import Planter
from tests.data.trees import plant


class TestMarket1501:
    def test_people_and_cameras_come_from_the_basename(self, planted: Planter) -> None:
        table = read_layout("market1501", planted(trees.market1501()))
        train = table.split("train")
        assert train.pids.tolist() == [2, 2, 7, 7, 10, 10]
        assert train.cams.tolist() == [1, 6] * 3
        assert set(table.modality) == {Modality.VISIBLE}

    def test_junk_and_distractors_stay_in_the_gallery(self, planted: Planter) -> None:
        table = read_layout("market1501", planted(trees.market1501()))
        assert table.split("gallery").pids.tolist() == [-1, 0, 1, 1, 3]
        assert -1 not in table.split("train", "query").pids

    def test_multi_query_boxes_are_optional(self, tmp_path: Path) -> None:
        with_boxes = read_layout("market1501", plant(tmp_path / "1", trees.market1501()))
        assert len(with_boxes.split("multi-query")) == 2
        files = trees.market1501(multi_query=False)
        without = read_layout("market1501", plant(tmp_path / "2", files))
        assert set(without.splits) == {"train", "query", "gallery"}

    def test_two_digit_cameras_are_not_cut(self, planted: Planter) -> None:
        files = trees.market1501() | {"bounding_box_train/0011_c15s1_000001_01.jpg": None}
        assert read_layout("market1501", planted(files)).split("train").cams[-1] == 15

    def test_a_name_without_camera_is_refused(self, planted: Planter) -> None:
        files = trees.market1501() | {"bounding_box_train/holiday.jpg": None}
        with pytest.raises(DataError, match=r"holiday\.jpg names no person.*0002_c1s1_000451_03"):
            read_layout("market1501", planted(files))


class TestDukeMTMC:
    def test_cameras_to_eight(self, planted: Planter) -> None:
        table = read_layout("dukemtmc", planted(trees.dukemtmc()))
        assert table.split("train").cams.tolist() == [2, 8]
        assert table.split("gallery").pids.tolist() == [5, 7133]


class TestMSMT17:
    @pytest.mark.parametrize("version", [1, 2])
    def test_both_versions_are_found(self, planted: Planter, version: int) -> None:
        table = read_layout("msmt17", planted(trees.msmt17(version)))
        folder = "train" if version == 1 else "mask_train_v2"
        assert table.relative_paths[0] == f"{folder}/0001/0001_000_15_0113noon_1081_0.jpg"
        assert table.split("train").cams.tolist() == [15, 1]
        assert table.split("train").pids.tolist() == [1, 0]
        assert table.split("val").cams.tolist() == [14]
        assert table.split("gallery").cams.tolist() == [11, 2]

    def test_a_list_prefix_with_underscores_does_not_move_the_camera(
        self, planted: Planter
    ) -> None:
        files = trees.msmt17(2)
        lines = [f"mask_train_v2/{line}" for line in trees.MSMT17_LINES["train"]]
        files["list_train.txt"] = "\n".join(lines)
        table = read_layout("msmt17", planted(files))
        assert table.split("train").cams.tolist() == [15, 1]

    def test_two_versions_in_one_root_are_refused(self, planted: Planter) -> None:
        with pytest.raises(DataError, match="version 1 and version 2 of MSMT17 side by side"):
            read_layout("msmt17", planted(trees.msmt17(1) | trees.msmt17(2)))

    def test_a_missing_list_is_named(self, planted: Planter) -> None:
        files = trees.msmt17()
        del files["list_query.txt"]
        with pytest.raises(DataError, match=r"lacks list_query\.txt"):
            read_layout("msmt17", planted(files))

    @pytest.mark.parametrize("line", ["0000/a_b_01.jpg", "0000/a_b_01.jpg x", "7"])
    def test_a_line_that_does_not_parse_is_named(self, planted: Planter, line: str) -> None:
        files = trees.msmt17()
        files["list_gallery.txt"] = f"{trees.MSMT17_LINES['gallery'][0]}\n\n{line}\n"
        with pytest.raises(DataError, match=r"list_gallery\.txt line 3 is .*expected `<path>"):
            read_layout("msmt17", planted(files))

    def test_a_name_without_camera_is_named(self, planted: Planter) -> None:
        files = trees.msmt17() | {"train/0000/0000.jpg": None, "list_val.txt": "0000/0000.jpg 0"}
        with pytest.raises(DataError, match=r"list_val\.txt line 1 lists 0000\.jpg.*no camera"):
            read_layout("msmt17", planted(files))

    def test_listed_images_that_are_missing_are_counted_and_named(self, planted: Planter) -> None:
        files = trees.msmt17()
        del files["train/0001/0001_000_15_0113noon_1081_0.jpg"]
        with pytest.raises(
            DataError,
            match=r"Listed in .*list_train\.txt but not under .*: 1 image \(.*_15_0113noon",
        ):
            read_layout("msmt17", planted(files))


class TestSYSUMM01:
    def test_rows_are_camera_major_and_people_sorted_by_number(self, planted: Planter) -> None:
        table = read_layout("sysu-mm01", planted(trees.sysu_mm01())).split("train")
        assert table.pids.tolist() == [4, 4, 7, 7, 12, 12] * 6
        assert table.cams.tolist() == sorted(table.cams.tolist())
        assert table.relative_paths[:2] == ["cam1/0004/0001.jpg", "cam1/0004/0002.jpg"]

    def test_cameras_three_and_six_are_infrared(self, planted: Planter) -> None:
        table = read_layout("sysu-mm01", planted(trees.sysu_mm01()))
        infrared = table.modality == Modality.INFRARED
        assert set(table.cams[infrared]) == {3, 6}
        assert set(table.cams[~infrared]) == {1, 2, 4, 5}

    def test_people_of_no_split_are_left_out(self, planted: Planter) -> None:
        assert 500 not in read_layout("sysu-mm01", planted(trees.sysu_mm01())).pids

    def test_test_people_need_not_be_in_every_camera(self, planted: Planter) -> None:
        files = trees.sysu_mm01()
        files = {name: v for name, v in files.items() if not name.startswith("cam1/0006")}
        test = read_layout("sysu-mm01", planted(files)).split("test")
        assert set(test.cams[test.pids == 6]) == {2, 3, 4, 5, 6}

    @pytest.mark.parametrize(
        "text",
        ["12,4,7", "12, 4,\n7\n", "4\n7\n12\n\n", "0012,0004,0007", "\ufeff4 7 12", "7,12,4,4,"],
    )
    def test_lists_of_ids_in_any_shape(self, planted: Planter, text: str) -> None:
        files = trees.sysu_mm01() | {"exp/train_id.txt": text.encode()}
        assert set(read_layout("sysu-mm01", planted(files)).split("train").pids) == {4, 7, 12}

    def test_matlab_lists_serve_where_text_is_missing(self, planted: Planter) -> None:
        files = trees.sysu_mm01()
        del files["exp/test_id.txt"]
        root = planted(files)
        savemat(root / "exp" / "test_id.mat", {"id": np.array([[10, 6]], dtype=np.uint16)})
        assert set(read_layout("sysu-mm01", root).split("test").pids) == {6, 10}

    def test_a_matlab_list_of_something_else_is_refused(self, planted: Planter) -> None:
        files = trees.sysu_mm01() | {"exp/test_id.mat": b"no matlab"}
        del files["exp/test_id.txt"]
        with pytest.raises(DataError, match=r"test_id\.mat is no MATLAB file"):
            read_layout("sysu-mm01", planted(files))

    def test_a_missing_split_file_is_named(self, planted: Planter) -> None:
        files = trees.sysu_mm01()
        del files["exp/val_id.txt"]
        with pytest.raises(DataError, match=r"val_id\.txt is missing, and so is val_id\.mat"):
            read_layout("sysu-mm01", planted(files))

    def test_a_word_in_a_list_is_named_with_its_line(self, planted: Planter) -> None:
        files = trees.sysu_mm01() | {"exp/train_id.txt": "4,7\n12,twelve\n"}
        with pytest.raises(DataError, match=r"train_id\.txt line 2 holds 'twelve'"):
            read_layout("sysu-mm01", planted(files))

    def test_an_empty_list_is_refused(self, planted: Planter) -> None:
        with pytest.raises(DataError, match=r"val_id\.txt names nobody"):
            read_layout("sysu-mm01", planted(trees.sysu_mm01() | {"exp/val_id.txt": "\n"}))

    def test_listed_people_without_images_are_named(self, planted: Planter) -> None:
        files = trees.sysu_mm01() | {"exp/test_id.txt": "6,10,300,299"}
        root = planted(files)
        (root / "cam2" / "0300").mkdir()
        with pytest.raises(
            DataError, match=r"test_id\.txt but without images: 2 people \(299, 300\)"
        ):
            read_layout("sysu-mm01", root)

    def test_folders_that_are_no_numbers_are_ignored(self, planted: Planter) -> None:
        plain = read_layout("sysu-mm01", planted(trees.sysu_mm01()))
        (plain.root / "cam1" / "new folder").mkdir()
        (plain.root / "cam1" / "0004" / "notes.txt").write_text("x")
        assert read_layout("sysu-mm01", plain.root).fingerprint() == plain.fingerprint()


class TestRegDB:
    def test_the_order_of_the_lists_is_kept_and_the_folder_is_the_person(
        self, planted: Planter
    ) -> None:
        table = read_layout("regdb", planted(trees.regdb()))
        assert table.split("train").pids.tolist() == [3, 3, 1, 1] * 2
        assert table.split("test").pids.tolist() == [285, 285, 40, 40] * 2
        assert table.split("test").cams.tolist() == [1] * 4 + [2] * 4
        infrared = table.modality == Modality.INFRARED
        assert all(
            ("Thermal" in path) == ir
            for path, ir in zip(table.relative_paths, infrared, strict=True)
        )

    def test_trials_differ(self, planted: Planter) -> None:
        root = planted(trees.regdb())
        assert set(read_layout("regdb", root, trial=2).split("train").pids) == {285, 40}

    @pytest.mark.parametrize("trial", [0, 11, -1])
    def test_a_trial_that_does_not_exist(self, planted: Planter, trial: int) -> None:
        with pytest.raises(DataError, match=f"has no trial {trial}; expected --trial from 1 to 10"):
            read_layout("regdb", planted(trees.regdb()), trial=trial)

    def test_a_missing_list_is_named(self, planted: Planter) -> None:
        with pytest.raises(DataError, match=r"list .*train_visible_3\.txt is missing"):
            read_layout("regdb", planted(trees.regdb(trials=2)), trial=3)

    def test_backslashes_and_blank_lines_are_understood(self, planted: Planter) -> None:
        files = trees.regdb()
        text = str(files["idx/train_visible_1.txt"])
        files["idx/train_visible_1.txt"] = "\r\n" + text.replace("/", "\\").replace("\n", "\r\n")
        table = read_layout("regdb", planted(files))
        assert table.relative_paths[0] == "Visible/3/male_v_05520_3.bmp"

    def test_one_label_for_two_people_is_refused(self, planted: Planter) -> None:
        files = trees.regdb()
        text = str(files["idx/test_thermal_1.txt"])
        files["idx/test_thermal_1.txt"] = text.replace(".bmp 1", ".bmp 0")
        with pytest.raises(
            DataError, match=r"test_thermal_1\.txt line 3 gives label 0 to person 40"
        ):
            read_layout("regdb", planted(files))

    def test_a_path_outside_the_folders_of_people_is_refused(self, planted: Planter) -> None:
        files = trees.regdb() | {
            "Visible/a.bmp": None,
            "idx/train_visible_1.txt": "Visible/a.bmp 0",
        }
        with pytest.raises(DataError, match=r"line 1 lists Visible/a\.bmp, .*no person's folder"):
            read_layout("regdb", planted(files))

    def test_a_list_that_is_no_text_is_refused(self, planted: Planter) -> None:
        files = trees.regdb() | {"idx/train_visible_1.txt": b"\xff\xfe\x00\x01"}
        with pytest.raises(DataError, match=r"train_visible_1\.txt cannot be read as text"):
            read_layout("regdb", planted(files))

    def test_an_empty_list_is_refused(self, planted: Planter) -> None:
        with pytest.raises(DataError, match=r"train_visible_1\.txt lists no image"):
            read_layout("regdb", planted(trees.regdb() | {"idx/train_visible_1.txt": ""}))


class TestLLCM:
    def test_person_camera_and_light(self, planted: Planter) -> None:
        table = read_layout("llcm", planted(trees.llcm()))
        train = table.split("train")
        assert train.pids.tolist() == [5, 5, 1, 1] * 2
        assert train.cams.tolist() == [1, 4] * 4
        assert train.modality.tolist() == [0] * 4 + [1] * 4
        test = table.split("test")
        assert test.pids.tolist() == [2, 9, 2, 9] * 2
        assert test.cams.tolist() == [1, 1, 4, 4] * 2

    def test_people_outside_the_test_list_are_left_out(self, planted: Planter) -> None:
        assert 11 not in read_layout("llcm", planted(trees.llcm())).pids

    def test_cameras_with_two_digits_sort_by_number(self, planted: Planter) -> None:
        files = trees.llcm() | {"test_vis/cam10/0002/a.jpg": None, "test_vis/cam2/0002/a.jpg": None}
        test = read_layout("llcm", planted(files)).split("test")
        assert test.cams[test.modality == Modality.VISIBLE].tolist() == [1, 1, 2, 4, 4, 10]

    def test_a_name_without_camera_leaves_it_unknown(self, planted: Planter) -> None:
        files = trees.llcm() | {"vis/0005/a.jpg": None, "idx/train_vis.txt": "vis/0005/a.jpg 0"}
        assert read_layout("llcm", planted(files)).cams[0] == UNKNOWN_CAM

    def test_a_path_outside_the_folders_of_people_is_refused(self, planted: Planter) -> None:
        files = trees.llcm() | {"vis/a.jpg": None, "idx/train_vis.txt": "vis/a.jpg 0"}
        with pytest.raises(DataError, match=r"lists vis/a\.jpg, which lies in no person's folder"):
            read_layout("llcm", planted(files))

    def test_test_people_without_images_are_named(self, planted: Planter) -> None:
        with pytest.raises(DataError, match=r"test_id\.txt but without images: 1 person \(77\)"):
            read_layout("llcm", planted(trees.llcm() | {"idx/test_id.txt": "2,77"}))

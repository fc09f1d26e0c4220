import json
import re
from pathlib import Path

import pytest

from crosslight.errors import ConfigError, DataError
from crosslight.evaluation.features import save_features
from crosslight.evaluation.protocols import format_table, get_protocol, score_file
from crosslight.evaluation.protocols.files import peak_mib
from crosslight.evaluation.protocols.scores import SCORE_KEYS
from crosslight.evaluation.reranking.refinements import KReciprocal, QueryExpansion
from tests.evaluation.sysu_counts import sysu_test_set
from tests.incapable import IncapableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_features(tmp_path / "features.npz", sysu_test_set(people=12))
    return tmp_path / "features.npz"


def test_a_file_is_scored_as_its_arrays_are(path: Path) -> None:
    scores = score_file(path, "sysu-mm01/all/1", distance="dot", trials=3)
    result = get_protocol("sysu-mm01/all/1").evaluate(
        sysu_test_set(people=12), distance="dot", trials=3
    )
    assert scores.pop("path") == result.path == "fp32+float64"
    assert scores.pop("seconds") > 0
    assert scores.pop("peak_mib") > 1
    assert scores == json.loads(json.dumps(result.to_json()))
    assert (scores["protocol"], scores["distance"], scores["sampler"]) == (
        "sysu-mm01/all/1",
        "dot",
        "seeded",
    )
    assert len(scores["trials"]) == 3


def test_the_peak_of_memory_is_in_mib() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        raise IncapableError("only Linux tells a process's memory in a file")
    (kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    # Linux counts what the process was started from, too.
    assert 0.9 <= peak_mib() / (int(kib) / 1024) < 10


def test_chance_comes_beside_on_request(path: Path) -> None:
    scores = score_file(path, "sysu-mm01/indoor/1", chance=True, trials=2)
    assert set(SCORE_KEYS) <= set(scores["chance"])
    lines = format_table({"sysu-mm01/indoor/1": scores}).splitlines()
    assert lines[0].split() == ["percent", *SCORE_KEYS]
    assert lines[1].startswith("sysu-mm01/indoor/1  ")
    assert f"{100 * scores['mAP']:.2f} ± {100 * scores['mAP_sd']:.2f}" in lines[1]
    assert lines[2].split()[:2] == ["chance", f"{100 * scores['chance']['rank1']:.2f}"]
    assert len({len(line) for line in lines}) == 1
    level = {"sysu-mm01/indoor/1": scores["chance"]}
    del scores["chance"]
    assert format_table({"sysu-mm01/indoor/1": scores}, chance=level).splitlines() == lines
    assert len(format_table({"sysu-mm01/indoor/1": scores}).splitlines()) == 2


def test_one_trial_has_no_deviation_to_print(path: Path) -> None:
    scores = score_file(path, "regdb/thermal-to-visible")
    text = format_table({"regdb/thermal-to-visible": scores})
    assert "±" not in text
    assert f"{100 * scores['mAP']:.2f}" in text


def test_a_wrong_name_is_found_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean regdb/thermal-to-visible"):
        score_file(tmp_path / "absent.npz", "regdb/thermal-to-visble")
    with pytest.raises(DataError, match="is not a file"):
        score_file(tmp_path / "absent.npz", "msmt17")


def test_refined_scores_stand_beside_the_plain_ones(path: Path) -> None:
    how = [KReciprocal(k1=5, k2=2), QueryExpansion(k=2)]
    scores = score_file(path, "sysu-mm01/all/1", trials=2, refinements=how)
    assert scores["protocol"] == "sysu-mm01/all/1"
    names = [refined["protocol"].partition(" + ")[2] for refined in scores["refined"]]
    assert names == [one.text for one in how]
    lines = format_table({"sysu-mm01/all/1": scores}).splitlines()
    assert lines[2].startswith("  + k-reciprocal re-ranking, k1=5, k2=2, lambda=0.3  ")
    assert f"{100 * scores['refined'][1]['mAP']:.2f} ± " in lines[3]
    assert len({len(line) for line in lines}) == 1

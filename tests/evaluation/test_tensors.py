from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.errors import ProtocolError
from crosslight.evaluation import tensors
from crosslight.evaluation.effort import Effort
from crosslight.evaluation.exclusion import NO_EXCLUSION
from crosslight.evaluation.ranking import Labels, Trial, rank_features
from crosslight.evaluation.tensors import rank_tensors
from tests.evaluation.test_engine import KINDS, RULES, same, tables


def ranked(case: dict[str, Any], device: str, **options: Any) -> Any:
    moved = {
        name: torch.from_numpy(value).to(device) if name.endswith("feats") else value
        for name, value in case.items()
    }
    return rank_tensors(**moved, **options)


@settings(max_examples=150)
@given(
    case=tables(),
    kind=st.sampled_from(KINDS),
    rule=st.sampled_from(sorted(RULES)),
    top=st.sampled_from([0, 1, 5]),
    block=st.sampled_from([None, 1, 4]),
)
def test_tensors_give_the_ranks_of_arrays(
    case: dict[str, Any], kind: str, rule: str, top: int, block: int | None
) -> None:
    options: dict[str, Any] = {"exclusion": RULES[rule][0], "distance": kind, "top": top}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    same(
        ranked(case, device, effort=Effort(block=block), **options),
        rank_features(**case, **options),
    )


@settings(max_examples=30)
@given(case=tables(), kind=st.sampled_from(KINDS))
def test_blocks_of_columns_and_short_lists_change_nothing(case: dict[str, Any], kind: str) -> None:
    options: dict[str, Any] = {"exclusion": RULES["none"][0], "distance": kind, "top": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "_COLUMNS", 7)
        patch.setattr(tensors, "_SPARE", 0)
        patch.setattr(tensors, "_PAIRS", 5)
        few = ranked(case, "cpu", **options)
    same(few, rank_features(**case, **options))
    assert few[0].path == "fp32+float64 on cpu"


@pytest.mark.parametrize(
    ("value", "sentence"), [(1e200, "scale the features down"), (float("inf"), "expected finite")]
)
def test_rows_that_have_no_distances_are_named(value: float, sentence: str) -> None:
    one = Labels(pids=np.ones(1, int), cams=np.ones(1, int))
    for query, gallery in [(1.0, value), (value, 1.0)]:
        with pytest.raises(ProtocolError, match=rf"feats\[0\] .*{sentence}"):
            rank_tensors(
                torch.tensor([[query]], dtype=torch.float64),
                one,
                torch.tensor([[gallery]], dtype=torch.float64),
                one,
                [Trial(queries=np.zeros(1, int), gallery=np.zeros(1, int))],
                exclusion=NO_EXCLUSION,
            )

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.evaluation import tensors
from crosslight.evaluation.effort import Effort
from crosslight.evaluation.ranking import rank_features
from crosslight.evaluation.tensors import rank_tensors
from tests.evaluation.test_engine import KINDS, RULES, same, tables


def ranked(case: dict[str, Any], device: str, **options: Any) -> Any:
    moved = {
        name: torch.from_numpy(value).to(device) if name.endswith("feats") else value
        for name, value in case.items()
    }
    return rank_tensors(**moved, **options)


@settings(deadline=None, max_examples=150)
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


@settings(deadline=None, max_examples=30)
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

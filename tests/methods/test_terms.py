"""What methods log has a name, and no name is left of what none logs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.mathtext import MathTextParser
from tests.methods.conftest import MakeBatch
from tests.methods.updates import RecordedUpdate, at

from crosslight.config import build
from crosslight.data.batch import Batch
from crosslight.methods import dgnet
from crosslight.methods.contract import Method
from crosslight.registry import METHODS, method_class
from crosslight.report.symbols import mathtext

PAGES = Path(__file__).parents[2] / "docs" / "methods"
PIDS = (11, 12, 13, 14)
BESIDES: dict[str, list[dict[str, Any]]] = {
    "bdtr": [{"metric": "contrastive"}],
    "cmpig": [{"feature_gan_weight": 1.0, "share_content": False, "align": "none"}],
    "d2rl": [{"keep_weight": 1.0}],
    "embedding-disentangle": [
        {"bdtr": {**method_class("bdtr").small, "dim": 32, "epochs": 1, "metric": "contrastive"}}
    ],
    "structure-id": [{"attributes": ("bag=1",)}],
    "unet-disentangle": [{"cycle_weight": 1.0}],
}
"""Settings under which a method logs what it does not by default."""
KIN = {"case-net-aspp", "case-net-released", "proposed-2020", "sdl-released"}
"""They share the terms of another method, and log a part of them."""


def _logged(name: str, batch: Batch, **overrides: Any) -> set[str]:
    """The columns of one iteration of each stage, half through it."""
    cls = method_class(name)
    config = build(cls.Config, {**cls.small, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method: Method = cls(config, num_ids=len(PIDS), height=64, width=32)
        method.train()
        found: set[str] = set()
        for stage in method.stages():
            for iteration in (0, 500):  # some figures are told in the first iterations alone
                update = RecordedUpdate(method)
                update.progress = at(method, stage=stage.name, iteration=iteration, iterations=1000)
                found |= {*method.training_step(batch, update), *update.losses}
    return found


@pytest.mark.parametrize("name", METHODS)
def test_terms_are_those_of_what_is_logged(
    name: str, make_batch: MakeBatch, tmp_path: Path
) -> None:
    batch = make_batch(ids=len(PIDS), per_modality=2)
    batch = dataclasses.replace(batch, pids=torch.tensor(PIDS)[batch.labels])
    table = tmp_path / "attributes.csv"
    table.write_text("pid,bag\n" + "".join(f"{pid},{pid % 2}\n" for pid in PIDS), encoding="utf-8")
    logged = _logged(name, batch)
    for overrides in BESIDES.get(name, []):
        given = {"attributes_file": str(table)} if "attributes" in overrides else {}
        logged |= _logged(name, batch, **overrides, **given)
    terms = method_class(name).terms
    assert logged - set(terms) == set(), "each has a term"
    if name not in KIN:
        assert set(terms) - logged == set(), "no term is of nothing"


@pytest.mark.parametrize("name", METHODS)
def test_every_symbol_can_be_drawn(name: str) -> None:
    parser = MathTextParser("path")
    for term in method_class(name).terms.values():
        assert term.meaning
        assert not term.meaning.endswith(".")
        if term.symbol:
            parser.parse(mathtext(term.symbol))


def test_the_equations_of_dgnet_are_where_its_functions_say() -> None:
    """The number beside a loss is that of the function that computes it."""
    told: Mapping[str, int] = {
        name: int(found[1])
        for name, function in vars(dgnet.equations).items()
        if (found := re.match(r"Equation (\d+)", function.__doc__ or ""))
        and name.startswith("loss_") and name != "loss_weights"
    }  # fmt: skip
    terms = dgnet.equations.TERMS
    assert told == {name: terms[name].equation for name in told}
    assert set(told.values()) == {1, 2, 3, 4, 5, 6, 8, 9}
    assert {n for n, term in terms.items() if term.equation == 7} == {
        "loss_adversarial",
        "loss_critic",
    }


def test_whose_equation_it_is_stands_beside_a_borrowed_one() -> None:
    own = method_class("dgnet").terms["loss_fine"]
    borrowed = method_class("dgnet-vi").terms["loss_fine"]
    assert (own.place, borrowed.place) == ("eq. 9", "DG-Net eq. 9")


def test_both_sides_of_a_game_have_the_symbol_of_the_paper_and_are_told_apart() -> None:
    terms = method_class("dgnet").terms
    generator, critic = terms["loss_adversarial"], terms["loss_critic"]
    assert generator.symbol == critic.symbol == "L_{adv}"
    assert (generator.place, critic.place) == ("eq. 7", "eq. 7, critic")
    assert method_class("case-net").terms["loss_critic"].place == "DG-Net eq. 7, critic"
    d2rl = method_class("d2rl").terms
    assert {name for name, term in d2rl.items() if term.place == "critic"} == {
        "loss_critic_v",
        "loss_critic_i",
    }


@pytest.mark.parametrize("name", METHODS)
def test_no_two_terms_are_shown_alike(name: str) -> None:
    shown = [(t.symbol, t.place) for t in method_class(name).terms.values() if t.symbol]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in KIN])
def test_a_page_says_what_was_at_hand_and_has_the_equations_of_the_terms(name: str) -> None:
    """Numbers stand on the page, or it says that there are none."""
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.count("**At hand.**") == 1, "whose silence is it?"
    own = {t.equation for t in method_class(name).terms.values() if t.equation and not t.of}
    if not own:
        assert "equation numbers" in " ".join(page.split())
    numbers = {int(n) for told in re.findall(r"eq\. ([\d, ]+)", page) for n in told.split(",")}
    assert own <= numbers

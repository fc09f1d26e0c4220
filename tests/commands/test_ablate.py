"""`crosslight ablate`: variants are trained once, and compared under one budget."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.conftest import RECIPE

from crosslight import cli
from crosslight.config import load_recipe, recipe_names
from crosslight.data.layouts import read_layout
from crosslight.errors import ConfigError
from crosslight.experiments.ablation import ablate
from crosslight.experiments.budget import images_seen, overrides_for
from crosslight.experiments.options import Ablating
from crosslight.experiments.variants import changes_of, switched
from crosslight.registry import METHODS


def _arguments(recipe: Path, data: Path, out: Path, *more: str) -> list[str]:
    head = ["ablate", str(recipe), "--data", f"sysu-mm01:{data}", "--out", str(out)]
    return [*head, "--protocol", "sysu-mm01/all/1", *more]


def test_variants_are_trained_once_and_compared(
    recipe: Path, promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained() -> list[str]:
        said = capsys.readouterr().out
        rows = re.findall(r"^\d+/\d+  (.*), seed (\d+)\n(.*)$", said, re.MULTILINE)
        return [f"{name}/seed-{seed}" for name, seed, then in rows if "is finished" not in then]

    switches = ("--switches", "hard:config.triplet=hard,config.margin=0.3", "--images", "32")
    cli.main(_arguments(recipe, promenade, tmp_path, *switches))
    assert trained() == ["tiny/seed-0", "tiny+hard/seed-0"]
    table = (tmp_path / "ablation.md").read_text()
    assert "| tiny | 0 | 32 |" in table
    assert "| tiny+hard | 0 | 32 |" in table
    assert (tmp_path / "ablation.png").stat().st_size > 1000

    cli.main(_arguments(recipe, promenade, tmp_path, "--images", "32", "--seeds", "0", "1"))
    assert trained() == ["tiny/seed-1"], "only what is new"
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert found["tiny"]["seeds"] == [0, 1]
    assert found["tiny+hard"]["seeds"] == [0], "earlier variants stay in the table"
    assert found["tiny"]["scores"]["sysu-mm01/all/1"]["mAP"]["sd"] is not None
    config = found["tiny+hard"]["trainings"][0]["config"]["config"]
    assert (config["triplet"], config["margin"]) == ("hard", 0.3)


def test_a_row_that_another_process_is_at_is_passed_over(
    recipe: Path, promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, data = str(recipe), f"sysu-mm01:{promenade}"
    switches = ("hard:config.triplet=hard,config.margin=0.3",)
    how = Ablating(switches=switches, images=32, protocols=("sysu-mm01/all/1",))
    theirs = ablate(name, data, tmp_path, how)
    assert next(theirs).state == "begins"
    cli.main(_arguments(recipe, promenade, tmp_path, "--images", "32"))
    assert "No row is finished yet." in capsys.readouterr().out
    cli.main(_arguments(recipe, promenade, tmp_path, "--switches", *switches, "--images", "32"))
    assert f"{tmp_path / 'tiny' / 'seed-0'} is another process's." in capsys.readouterr().out
    assert list(json.loads((tmp_path / "ablation.json").read_text())) == ["tiny+hard"]
    assert [row.state for row in theirs] == ["done", "was done"]
    assert list(json.loads((tmp_path / "ablation.json").read_text())) == ["tiny", "tiny+hard"]


def test_a_finished_variant_is_not_mixed_with_another_budget(
    recipe: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    cli.main(_arguments(recipe, promenade, tmp_path, "--images", "32"))
    said = fails(*_arguments(recipe, promenade, tmp_path, "--images", "64"))
    assert "already holds a training with data.iterations_per_epoch = 4" in said


def test_scores_of_another_data_set_are_not_given_under_its_name(
    recipe: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    out = tmp_path / "out"
    cli.main(_arguments(recipe, promenade, out, "--images", "16"))
    title = (out / "ablation.md").read_text()
    fewer = shutil.copytree(promenade, tmp_path / "fewer")
    tested = (fewer / "exp" / "test_id.txt").read_text().strip().split(",")[0]
    next(fewer.glob(f"cam*/{int(tested):04d}/*")).unlink()
    path = out / "tiny" / "seed-0" / "result.json"
    others = _arguments(recipe, fewer, out, "--images", "16")
    # A new seed, or another variant, would stand in the same table.
    for more in ([], ["--seeds", "1"], ["--switches", "hard:config.triplet=hard"]):
        said = fails(*others, *more)
        assert f"{path} holds scores on other images or people, but this data set was" in said
    assert [one.name for one in (out / "tiny").iterdir() if one.is_dir()] == ["seed-0"]
    result = json.loads(path.read_text())
    for change, sentence in (
        ({"trial": 2}, "holds scores on trial 2, but --trial 1 was asked for; give another --out"),
        ({"layout": "regdb"}, "holds scores on the layout regdb, but sysu-mm01 was asked for"),
    ):
        path.write_text(json.dumps({**result, **change}))
        assert sentence in fails(*_arguments(recipe, promenade, out, "--images", "16"))
    assert (out / "ablation.md").read_text() == title


def test_a_result_that_keeps_nothing_of_its_data_set_is_read_as_before(
    recipe: Path, promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(_arguments(recipe, promenade, tmp_path, "--images", "16"))
    path = tmp_path / "tiny" / "seed-0" / "result.json"
    result = json.loads(path.read_text())
    for key in ("layout", "trial", "table"):
        del result[key]
    path.write_text(json.dumps(result))
    capsys.readouterr()
    cli.main(_arguments(recipe, promenade, tmp_path, "--images", "16"))
    assert f"{path.parent} is finished." in capsys.readouterr().out


def test_seeds_of_an_edited_recipe_or_method_are_not_averaged_with_those_before(
    promenade: Path, tmp_path: Path, fails
) -> None:
    code, mine, out = tmp_path / "mine.py", tmp_path / "mine.yaml", tmp_path / "out"
    code.write_text("from crosslight.methods.agw import AGW\n\n\nclass Mine(AGW):\n    pass\n")
    mine.write_text(RECIPE.replace("method: agw", "method: mine.py:Mine"))
    cli.main(_arguments(mine, promenade, out, "--images", "16"))
    path = out / "mine" / "seed-0" / "result.json"
    whole = path.read_text()
    result = json.loads(whole)
    trained = yaml.safe_load((path.parent / "config.yaml").read_text())
    assert result["code_sha256"] == trained["code_sha256"] is not None
    text, recipe = code.read_text(), mine.read_text()
    for seed in ("0", "1"):
        call = _arguments(mine, promenade, out, "--images", "16", "--seeds", seed)
        code.write_text(text + "# another\n")
        said = fails(*call)
        assert f"{path.parent} already holds a training with other code than now stands in" in said
        assert "in mine.py; give another --out, or put that code back" in said
        code.write_text(text)
        mine.write_text(recipe + "training: {clip_norm: 1.0}\n")
        assert "already holds a training with training.clip_norm = None" in fails(*call)
        mine.write_text(recipe)
    assert not (out / "mine" / "seed-1").exists()
    assert path.read_text() == whole
    del result["code_sha256"]  # as one of before
    path.write_text(json.dumps(result))
    code.write_text(text + "# another\n")
    cli.main(_arguments(mine, promenade, out, "--images", "16"))


def test_a_recipe_that_is_edited_while_seeds_are_trained_ends_the_call(
    promenade: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(RECIPE)
    how = Ablating(images=16, seeds=(0, 1), protocols=("sysu-mm01/all/1",))
    rows = ablate(str(mine), f"sysu-mm01:{promenade}", tmp_path / "out", how)
    assert next(rows).state == "begins"
    mine.write_text(RECIPE + "training: {clip_norm: 1.0}\n")
    done = next(rows)
    assert done.state == "done"
    result = json.loads((done.place / "result.json").read_text())
    assert result["config"]["training"]["clip_norm"] is None, "what it was trained with"
    with pytest.raises(ConfigError, match=r"holds a training with training.clip_norm = None"):
        next(rows)


PROMENADE = {load_recipe(name).method: name for name in recipe_names() if "promenade" in name}


PRESETS = {"case-net-aspp": "case-net", "case-net-released": "case-net", "sdl-released": "sdl"}
"""Methods that only say other values of another's fields."""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_budget_is_met_by_every_method(method: str, promenade: Path) -> None:
    table = read_layout("sysu-mm01", promenade).split("train")
    small = ("data.ids_per_batch=4", "data.iterations_per_epoch=50")
    small = (f"method={method}", *small)
    name = PROMENADE[PRESETS.get(method, method)]
    config = load_recipe(name, small)
    for images in (122_880, 491_520):
        scaled = load_recipe(name, (*small, *overrides_for(config, table, images)))
        assert images_seen(scaled, table) == pytest.approx(images, rel=0.02)


def test_ramps_and_steps_are_scaled_with_the_length(promenade: Path) -> None:
    table = read_layout("sysu-mm01", promenade).split("train")
    config = load_recipe("dgnet-vi-promenade")
    half = overrides_for(config, table, images_seen(config, table) // 2)
    before, after = config.config, load_recipe("dgnet-vi-promenade", half).config
    for name in ("iterations", "teacher_iterations", "ramp_start", "teacher_warmup"):
        assert getattr(after, name) == getattr(before, name) // 2
    assert after.lr_steps == tuple(step // 2 for step in before.lr_steps)
    assert after.ramp_step == pytest.approx(2 * before.ramp_step)
    with pytest.raises(ConfigError, match="less than one batch"):
        overrides_for(config, table, 10)


def test_all_three_stages_of_d2rl_are_scaled(promenade: Path) -> None:
    table = read_layout("sysu-mm01", promenade).split("train")
    config = load_recipe("d2rl-promenade", ("data.ids_per_batch=4",))
    half = overrides_for(config, table, images_seen(config, table) // 2)
    before, after = config.config, load_recipe("d2rl-promenade", half).config
    for name in ("image_iterations", "feature_iterations", "joint_iterations"):
        assert getattr(after, name) == getattr(before, name) // 2


def test_all_three_stages_of_embedding_disentangle_are_scaled(promenade: Path) -> None:
    table = read_layout("sysu-mm01", promenade).split("train")
    name = "embedding-disentangle-promenade"
    known = ("data.ids_per_batch=4", "data.iterations_per_epoch=50")
    config = load_recipe(name, (*known, "config.bdtr.warmup_iterations=40"))
    half = overrides_for(config, table, images_seen(config, table) // 2)
    after = load_recipe(name, half)
    assert after.data.iterations_per_epoch == 25
    assert after.config.bdtr == replace(config.config.bdtr, warmup_iterations=20)


def test_a_budget_is_met_where_an_epoch_has_few_batches(promenade: Path) -> None:
    """2.5 batches an epoch would be 2, and a fifth of the budget unused."""
    table = read_layout("sysu-mm01", promenade).split("train")
    name = "embedding-disentangle-promenade"
    known = ("data.ids_per_batch=4", "data.iterations_per_epoch=5")
    config = load_recipe(name, known)
    images = images_seen(config, table) // 2
    scaled = load_recipe(name, (*known, *overrides_for(config, table, images)))
    assert scaled.data.iterations_per_epoch == 2
    assert images_seen(scaled, table) == pytest.approx(images, rel=0.05)


def test_switches_are_named_by_the_method() -> None:
    name = "proposed-2020-promenade"
    each = switched(name, ["wide-body", "own-optimizer+wide-body"], cumulative=False)
    assert [variant.name for variant in each] == [
        f"{name}+wide-body",
        f"{name}+own-optimizer+wide-body",
    ]
    assert each[0].overrides == ("config.squeezed=false",)
    both = switched(name, ["wide-body", "embedding-matching", "x:config.lr=1"], cumulative=True)
    assert [len(variant.overrides) for variant in both] == [1, 3, 4]
    last = load_recipe(name, both[-1].overrides).config
    assert (last.squeezed, last.match_on, last.margin, last.lr) == (False, "embedding", 0.3, 1)


def test_a_switch_whose_name_joins_two_is_itself() -> None:
    (both,) = switched("structure-id-promenade", ["gray+edge"], cumulative=False)
    assert load_recipe(both.recipe, both.overrides).config.structure_source == "gray+edge"


def test_unknown_switches_are_named_before_anything_is_trained(
    recipe: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    for switch, sentence in (
        ("wide", "no switch 'wide'; its method has none"),
        ("odd:config.nothing=1", "unknown key config.nothing"),
    ):
        said = fails(*_arguments(recipe, promenade, tmp_path / "out", "--switches", switch))
        assert sentence in said
    with pytest.raises(ConfigError, match="did you mean 'wide-body'"):
        switched("proposed-2020-promenade", ["wide-bod"], cumulative=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a/b", "../a", "a\\b", "", ".a", "a|b", "a*", "a\nb", "a "])
def test_a_name_that_is_no_folders_is_refused_before_anything_is_trained(
    recipe: Path, promenade: Path, tmp_path: Path, fails, name: str
) -> None:
    out, switch = tmp_path / "out", f"{name}:config.lr=1e-5"
    assert f"is called {name!r}, but" in fails(
        *_arguments(recipe, promenade, out, "--switches", switch)
    )
    call = ["leaderboard", out, "--data", f"sysu-mm01:{promenade}", "--systems"]
    assert f"is called {name!r}, but" in fails(*call, f"{recipe}+{switch}")
    assert not out.exists()


def test_two_variants_of_one_name_are_refused_before_anything_is_trained(
    recipe: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    other, out = tmp_path / recipe.name, tmp_path / "out"
    other.write_text(RECIPE + "training: {clip_norm: 1.0}\n")
    for more, name, second in (
        (["--against", str(other)], "tiny", other),
        (["--switches", "x:config.lr=1", "x:config.lr=2"], "tiny+x", recipe),
    ):
        said = fails(*_arguments(recipe, promenade, out, *more))
        assert f"Two variants are called {name}, of {recipe} and of {second}, and would" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ("a=1, b=2 ,", ["a=1", "b=2"]),
        ("a=[train,val],b=2", ["a=[train,val]", "b=2"]),
        ("a={x: [1, 2], y: '}'},b=[]", ["a={x: [1, 2], y: '}'}", "b=[]"]),
        ("a=\"p,q]\",b='it''s, so'", ['a="p,q]"', "b='it''s, so'"]),
        ("a=/o'brien/x,b=/l'oeil", ["a=/o'brien/x", "b=/l'oeil"]),
        ('a="p\\",q",b=2', ['a="p\\",q"', "b=2"]),
        ("a=x],b=2", ["a=x]", "b=2"]),
    ],
)
def test_a_switch_is_cut_at_commas_outside_lists_and_quotes(
    recipe: Path, settings: str, changes: list[str]
) -> None:
    assert changes_of(f"x:{settings}", {}, str(recipe)) == ("x", tuple(changes))


def test_a_list_may_be_the_value_of_a_switch(recipe: Path) -> None:
    (more,) = switched(
        str(recipe), ["more:data.train_splits=[train,val],config.lr=1"], cumulative=False
    )
    changed = load_recipe(more.recipe, more.overrides)
    assert (changed.data.train_splits, changed.config.lr) == (("train", "val"), 1)


def test_a_damaged_result_is_named(recipe: Path, promenade: Path, tmp_path: Path, fails) -> None:
    place = tmp_path / "tiny" / "seed-0"
    place.mkdir(parents=True)
    (place / "result.json").write_text("{}")
    assert "is not the result of an ablation" in fails(*_arguments(recipe, promenade, tmp_path))

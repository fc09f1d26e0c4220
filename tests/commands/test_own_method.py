"""A method in a file of the user's own, and a run's configuration as a recipe."""

import os
import pickle
import shutil
import sys

import pytest
import yaml

import crosslight as cl
from crosslight import cli, registry
from crosslight.errors import ConfigError
from crosslight.training.run import RunFolder

CENTRE_PULL = '''
from pathlib import Path

from crosslight.methods.baseline import Baseline

Path(__file__).with_suffix(".ran").touch()


class CentrePull(Baseline):
    """Pulls embeddings to their person's centre as well."""

    def training_step(self, batch, update):
        return {"centre_pull": batch.images.mean(), **super().training_step(batch, update)}
'''
WHOLE = """
from crosslight.methods.baseline import Baseline, BaselineConfig
from crosslight.methods.contract import Method


class Whole(Method):
    optimizers = stages = training_step = embed = lambda self, *_: None


"""
BESIDE = """
import yaml
from light_gaps import place

from crosslight.methods.baseline import Baseline


class Mine(Baseline):
    @staticmethod
    def late():
        import late_gaps

        return late_gaps.place
"""
RECIPE = """
method: mine.py:CentrePull
config: {backbone: resnet10-half, weights: none, epochs: 1}
data: {height: 32, width: 16, ids_per_batch: 2, images_per_id: 2, sampling: identity,
       iterations_per_epoch: 2, workers: 0}
"""


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(registry, "_trusted", set())
    monkeypatch.delenv(registry.TRUSTED_VARIABLE, raising=False)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(CENTRE_PULL)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def data(promenade):
    return f"sysu-mm01:{promenade}"


def _train(own, data):
    cli.main(["train", str(own / "mine.yaml"), "--data", data, "--out", str(own / "run")])


def test_a_recipe_may_name_a_file_beside_it(own, data, monkeypatch):
    monkeypatch.chdir("/")
    _train(own, data)
    assert RunFolder.open(own / "run").load_config().method == f"{own / 'mine.py'}:CentrePull"
    assert '"centre_pull"' in (own / "run" / "log.jsonl").read_text()


def test_a_run_does_not_go_on_with_other_code(own, data, fails, capsys):
    _train(own, data)
    capsys.readouterr()
    _train(own, data)
    assert "was finished before (2 iterations in" in capsys.readouterr().out
    before = (own / "mine.py").read_text()
    (own / "mine.py").write_text(before.replace("batch.images.mean()", "2 * batch.images.mean()"))
    sentence = fails("train", own / "mine.yaml", "--data", data, "--out", own / "run")
    assert f"mine.py is not the code that {own / 'run'} was begun with" in sentence
    (own / "mine.py").write_text(before)
    _train(own, data)


def test_a_notebook_trains_the_file_as_it_stands(own, data):
    def fit(out):
        cl.fit(own / "mine.yaml", data, own / out, progress=False)
        return '"centre_pull"' in (own / out / "log.jsonl").read_text()

    assert fit("first")
    mine, own_class = own / "mine.py", f"{own / 'mine.py'}:CentrePull"
    before, kept = registry.method_class(own_class), mine.stat()
    assert registry.method_class(own_class) is before, "nothing was changed"
    mine.write_text(CENTRE_PULL.replace("centre_pull", "centre_push"))
    os.utime(mine, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert not fit("second"), "changed in the same moment, to the same length"
    after = registry.method_class(own_class)
    assert after is not before
    assert [pickle.loads(pickle.dumps(cls)) for cls in (before, after)] == [before, after]
    mine.write_text(CENTRE_PULL)
    assert registry.method_class(own_class) is before, "what was is the same class again"


def test_a_run_does_not_run_code_that_the_user_has_not_named(own, data, fails, monkeypatch):
    _train(own, data)
    registry._trusted.clear()
    for module in [name for name in registry.sys.modules if name.startswith("crosslight_method_")]:
        monkeypatch.delitem(registry.sys.modules, module)
    (own / "mine.ran").unlink()
    evaluate = ("evaluate", own / "run", "--data", data, "--workers", "0")
    sentence = fails(*evaluate)
    assert "only if you say so" in sentence
    assert not (own / "mine.ran").exists()
    assert fails("evaluate", own / "run", "--data", "sysu-mm01:nowhere") == sentence, "data later"
    again = fails("train", own / "run" / "config.yaml", "--data", data, "--out", own / "again")
    assert "only if you say so" in again
    assert not (own / "mine.ran").exists()

    remedy = sentence.strip().rpartition("export ")[2]
    variable, _, value = remedy.partition("=")
    monkeypatch.setenv(variable, value)
    cli.main([str(argument) for argument in evaluate])
    assert (own / "mine.ran").exists()

    cli.main(["report", str(own / "run")])
    page = (own / "run" / "report.html").read_text()
    assert 'data-panel="centre_pull"' in page, "what has no term has the name of its log"
    assert 'class="symbol">L<sub>ID</sub>' in page


def test_a_file_that_has_moved_is_found_where_it_is_named(own, data, monkeypatch):
    _train(own, data)
    registry._trusted.clear()
    (own / "elsewhere").mkdir()
    shutil.move(own / "mine.py", own / "elsewhere" / "mine.py")
    monkeypatch.setenv(registry.TRUSTED_VARIABLE, str(own / "elsewhere" / "mine.py"))
    cli.main(["evaluate", str(own / "run"), "--data", data, "--workers", "0"])
    assert (own / "elsewhere" / "mine.ran").exists()


def test_a_file_may_import_what_lies_beside_it(own, monkeypatch):
    """As a script may: at the top and later; an installed module of that name goes first."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("light_gaps", "late_gaps", "yaml"):
        (own / f"{name}.py").write_text(f"place = {str(own)!r}\n")
    (own / "mine.py").write_text(BESIDE)
    name = registry.trust_file_method("mine.py:Mine", own)
    mine = registry.method_class(name)
    (own / "mine.py").write_text(BESIDE + "# edited\n")
    registry.method_class(name)
    try:
        assert mine.late() == sys.modules[mine.__module__].place == str(own)
        assert sys.modules[mine.__module__].yaml is yaml
    finally:
        for beside in ("light_gaps", "late_gaps"):
            sys.modules.pop(beside, None)
    assert sys.path.count(str(own)) == 1
    assert sys.path[-1] == str(own), "behind all that is installed"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mine.py:CenterPull", "has no class 'CenterPull'"),
        ("your.py:CentrePull", "There is no file"),
        ("broken.py:CentrePull", "cannot be imported (SyntaxError"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_sentence(own, data, fails, named, said):
    (own / "broken.py").write_text("class CentrePull(:\n")
    recipe = own / "wrong.yaml"
    recipe.write_text(RECIPE.replace("mine.py:CentrePull", named))
    assert said in fails("train", recipe, "--data", data, "--out", own / "run")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("class Mine: pass", "does not extend crosslight.methods.contract.Method"),
        ("class Mine(Method): pass", "does not define embed, optimizers, stages, training_step"),
        ("class Mine(Whole): pass", "has no dataclass `Config` of its settings"),
        ("class Mine(Whole):\n  class Config: lr = 0.1", "has no dataclass `Config`"),
        (
            "class Mine(Whole):\n  Config = BaselineConfig\n  def __init__(self, config): pass",
            "does not fit (got an unexpected keyword argument 'num_ids'), expected `(self, config,",
        ),
    ],
)
def test_what_is_wrong_with_the_class_is_one_sentence(own, body, said):
    (own / "mine.py").write_text(f"{WHOLE}{body}\n")
    with pytest.raises(ConfigError) as error:
        cl.load_recipe(str(own / "mine.yaml"), ["method=mine.py:Mine"])
    assert said in str(error.value)
    assert str(error.value).startswith(("Mine of ", "The __init__ of Mine of "))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("return {}", "Mine.training_step moved no optimizer until iteration 2 of stage train"),
        (
            "update('model', {'light_gap': self.head.classifier.weight.square()})",
            "update('model') was given 'light_gap' of shape (",
        ),
    ],
)
def test_what_is_wrong_with_its_training_is_one_sentence(own, data, fails, step, said):
    (own / "mine.py").write_text(
        f"{WHOLE}class Mine(Baseline):\n  def training_step(self, batch, update):\n    {step}\n"
    )
    recipe = own / "wrong.yaml"
    recipe.write_text(RECIPE.replace("mine.py:CentrePull", "mine.py:Mine"))
    assert said in fails("train", recipe, "--data", data, "--out", own / "run")
    assert not (own / "run" / "model.safetensors").exists()


def test_the_configuration_of_a_run_is_a_recipe(trained, data, tmp_path):
    cli.main(["train", str(trained / "config.yaml"), "--data", data, "--out", str(tmp_path / "r")])
    assert RunFolder.open(tmp_path / "r").load_config() == RunFolder.open(trained).load_config()

from collections.abc import Callable
from pathlib import Path

import pytest

from crosslight import cli
from crosslight.data.promenade import make

RECIPE = """
method: agw
config: {backbone: resnet10-half, weights: none, epochs: 1, non_local: [0, 0, 0, 0]}
data:
  height: 32
  width: 16
  ids_per_batch: 2
  visible_per_id: 2
  infrared_per_id: 2
  iterations_per_epoch: 2
  workers: 0
"""


@pytest.fixture(scope="session")
def promenade(tmp_path_factory) -> Path:
    """A tiny Promenade in the layout of SYSU-MM01; not to be changed."""
    root = tmp_path_factory.mktemp("promenade") / "data"
    make(root, preset="tiny", height=32, width=16, progress=False)
    return root


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, promenade, recipe) -> Path:
    """A run that was trained and evaluated; not to be changed."""
    run = tmp_path_factory.mktemp("trained") / "run"
    data = f"sysu-mm01:{promenade}"
    cli.main(["train", str(recipe), "--data", data, "--out", str(run)])
    cli.main(["evaluate", str(run), "--data", data, "--workers", "0"])
    return run


@pytest.fixture
def fails(capsys) -> Callable[..., str]:
    """Runs a command that must fail, and gives the one sentence it left."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        assert left.value.code not in (0, None)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        sentence = said[said.index("crosslight: ") :]
        assert sentence.count("\n") == 1
        return sentence

    return run

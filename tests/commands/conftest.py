from collections.abc import Callable

import pytest

from crosslight import cli


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

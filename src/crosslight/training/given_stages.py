"""Stages whose result is given as a file: its weights are read, checked and kept still."""

from __future__ import annotations

from pathlib import Path

from crosslight.errors import CheckpointError
from crosslight.methods.contract import Method, stages_of
from crosslight.nn.weights import load_weights, read_weights


def take_given(method: Method) -> None:
    """Puts the weights of every given stage into the part that the stage would have trained.

    Raises:
        ConfigError: The method has no proper stages.
        CheckpointError: No such file, another digest, or weights of something else.
    """
    for stage in stages_of(method):
        if stage.given is None or stage.part is None:
            continue
        part = method.get_submodule(stage.part)
        path = Path(stage.given).expanduser()
        weights = read_weights(path, sha256=stage.sha256)
        start = f"{stage.part}."
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        found = own or weights
        if not found.keys() & part.state_dict().keys():
            raise CheckpointError(
                f"{path} holds nothing of {stage.part}, which stage {stage.name} trains; give the "
                "model.safetensors of a run that trained it."
            )
        load_weights(part, found, source=f"The weight file {path} of stage {stage.name}")
        part.requires_grad_(not stage.frozen)

"""`training.precision: auto` is decided where a training begins, and stays."""

import torch

from crosslight import cli
from crosslight.training.devices import fastest_precision
from crosslight.training.run import RunFolder

AUTO = ("--set", "training.precision=auto")
OTHER = {"32-true": "bf16-mixed", "bf16-mixed": "32-true"}


def _train(recipe, promenade, out, *flags):
    data = f"sysu-mm01:{promenade}"
    cli.main(["train", str(recipe), "--data", data, "--out", str(out), *flags])
    return RunFolder.open(out).load_config().training.precision


def test_auto_is_what_this_device_computes_in(recipe, promenade, tmp_path):
    assert _train(recipe, promenade, tmp_path / "run", *AUTO) == fastest_precision("auto")


def test_auto_continues_in_what_the_training_began_with(recipe, promenade, tmp_path):
    began = OTHER[fastest_precision("auto")]
    out = tmp_path / "run"
    assert _train(recipe, promenade, out, "--set", f"training.precision={began}") == began
    assert _train(recipe, promenade, out, *AUTO) == began


def test_a_processor_without_units_for_bfloat16_keeps_to_float32(monkeypatch):
    for units, expected in (
        ({"avx512_f": True}, "32-true"),
        ({"avx512_f": True, "amx_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": True}, "bf16-mixed"),
    ):
        # Where there is a GPU, auto means that.
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda u=units: u, raising=False)
        assert fastest_precision("cpu") == expected
        assert fastest_precision("auto") == expected
    assert fastest_precision("mps") == "32-true"

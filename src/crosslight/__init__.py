"""Find the same person across cameras that see in different light.

What a researcher types in a notebook, loaded when it is asked for:

    import crosslight as cl

    features = cl.Features(feats=x, pids=pids, cams=cams, modality=light)
    print(cl.evaluate(features, "sysu-mm01/all/1"))
    run = cl.load_run("runs/agw")
    x = run.embed(["a.jpg", "b.png"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crosslight.version import __version__

if TYPE_CHECKING:
    from crosslight import losses
    from crosslight.config import Recipe, load_recipe
    from crosslight.data.layouts import read_layout
    from crosslight.data.promenade import make as make_promenade
    from crosslight.evaluation import evaluate, score_distances
    from crosslight.evaluation.features import Features
    from crosslight.evaluation.protocols import PROTOCOLS as protocols  # noqa: N811
    from crosslight.evaluation.protocols import get_protocol
    from crosslight.experiments.embedder import open_gallery
    from crosslight.experiments.evaluation import Evaluation, load_evaluation
    from crosslight.experiments.exporting import Export, export
    from crosslight.experiments.fitting import fit
    from crosslight.experiments.importing import import_released
    from crosslight.experiments.opening import load_run
    from crosslight.experiments.run import Run
    from crosslight.exporting.exported import Exported
    from crosslight.methods.contract import (
        Disentangles,
        ExchangesParts,
        Interpolates,
        MapsStructure,
        Method,
        Swaps,
        Translates,
    )
    from crosslight.types import Modality

_FACE = {
    "Disentangles": "crosslight.methods.contract:Disentangles",
    "ExchangesParts": "crosslight.methods.contract:ExchangesParts",
    "Evaluation": "crosslight.experiments.evaluation:Evaluation",
    "Export": "crosslight.experiments.exporting:Export",
    "Exported": "crosslight.exporting.exported:Exported",
    "Features": "crosslight.evaluation.features:Features",
    "Interpolates": "crosslight.methods.contract:Interpolates",
    "MapsStructure": "crosslight.methods.contract:MapsStructure",
    "Method": "crosslight.methods.contract:Method",
    "Modality": "crosslight.types:Modality",
    "Recipe": "crosslight.config:Recipe",
    "Run": "crosslight.experiments.run:Run",
    "Swaps": "crosslight.methods.contract:Swaps",
    "Translates": "crosslight.methods.contract:Translates",
    "evaluate": "crosslight.evaluation:evaluate",
    "export": "crosslight.experiments.exporting:export",
    "fit": "crosslight.experiments.fitting:fit",
    "get_protocol": "crosslight.evaluation.protocols:get_protocol",
    "import_released": "crosslight.experiments.importing:import_released",
    "load_recipe": "crosslight.config:load_recipe",
    "load_run": "crosslight.experiments.opening:load_run",
    "losses": "crosslight.losses:",
    "load_evaluation": "crosslight.experiments.evaluation:load_evaluation",
    "open_gallery": "crosslight.experiments.embedder:open_gallery",
    "make_promenade": "crosslight.data.promenade:make",
    "protocols": "crosslight.evaluation.protocols:PROTOCOLS",
    "score_distances": "crosslight.evaluation:score_distances",
    "read_layout": "crosslight.data.layouts:read_layout",
}
"""Public name → module and name there."""

__all__ = [
    "Disentangles",
    "Evaluation",
    "ExchangesParts",
    "Export",
    "Exported",
    "Features",
    "Interpolates",
    "MapsStructure",
    "Method",
    "Modality",
    "Recipe",
    "Run",
    "Swaps",
    "Translates",
    "__version__",
    "evaluate",
    "export",
    "fit",
    "get_protocol",
    "import_released",
    "load_evaluation",
    "load_recipe",
    "load_run",
    "losses",
    "make_promenade",
    "open_gallery",
    "protocols",
    "read_layout",
    "score_distances",
]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'crosslight' has no attribute {name!r}")
    module, _, attribute = _FACE[name].partition(":")
    from crosslight.parts import named_if_missing

    with named_if_missing():
        home = import_module(module)
        found = getattr(home, attribute) if attribute else home
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

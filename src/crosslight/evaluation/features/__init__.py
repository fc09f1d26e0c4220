"""Files and arrays of any program come in, `Features` go out: checked, with one meaning each.

Large embeddings stay on disk and are read block by block.
"""

from crosslight.evaluation.features.features import (
    Features,
    cams_and_pids_of_paths,
    load_features,
    save_features,
    write_features,
)

__all__ = [
    "Features",
    "cams_and_pids_of_paths",
    "load_features",
    "save_features",
    "write_features",
]

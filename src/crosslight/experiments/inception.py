"""The network of FID and KID, from a file that the user has; nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from crosslight.errors import CheckpointError
from crosslight.nn.weights import read_weights
from crosslight.parts import named_if_missing

_BATCH = 32


class Inception:
    """Inception of 2015 as FID takes it: 2,048 numbers of the last pooling, at 299 x 299 pixels.

    The pictures are scaled as in Heusel et al. (NeurIPS 2017), bilinearly and not antialiased.
    """

    def __init__(self, file: Path, device: torch.device | str = "cpu") -> None:
        """Reads the weights.

        Args:
            file: `pt_inception-2015-12-05-6726825d.pth`, which pytorch-fid and torch-fidelity
                share.
            device: Where it computes.

        Raises:
            MissingPartError: The extra `generation` is not installed.
            CheckpointError: No such file, or the weights of another network.
        """
        with named_if_missing():
            import crosslight.data.torchvision_build  # noqa: F401

            # isort: split
            import torch_fidelity  # noqa: F401  # torchmetrics would not name what is missing
            from torchmetrics.image.fid import NoTrainInceptionV3
        weights = read_weights(file)
        # torch-fidelity reads files in a way that may run code from them: it gets one of ours.
        with TemporaryDirectory() as folder:
            checked = Path(folder) / "weights.pth"
            torch.save(weights, checked)
            try:
                self.network = NoTrainInceptionV3(
                    name="inception-v3-compat",
                    features_list=["2048"],
                    feature_extractor_weights_path=str(checked),
                    antialias=False,
                ).to(device)
            except RuntimeError as error:
                raise CheckpointError(
                    f"{file} has other names or shapes than the Inception of FID; give the file "
                    "pt_inception-2015-12-05-6726825d.pth of pytorch-fid or torch-fidelity."
                ) from error
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`(N, h, w, 3)` → `(N, 2048)`."""
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        parts = [self.network(part.to(self.device)).cpu() for part in pixels.split(_BATCH)]
        features: NDArray[np.float32] = torch.cat(parts).numpy()
        return features

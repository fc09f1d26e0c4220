"""What every method with DG-Net's two codes can draw."""

from __future__ import annotations

from torch import Tensor

from crosslight.methods.contract import Method
from crosslight.methods.dgnet.networks import AppearanceEncoder, Decoder, StructureEncoder
from crosslight.nn.adain import AdaINParameters
from crosslight.nn.normalize import Normalize


class DrawsCodes(Method):
    """A method whose images are an appearance code and a structure code.

    Attributes:
        normalize: Images in [0, 1] to what the networks see.
        appearance: E_a.
        structure: E_s.
        adain: The MLPs that make scales and shifts of an appearance code.
        decoder: G.
    """

    normalize: Normalize
    appearance: AppearanceEncoder
    structure: StructureEncoder
    adain: AdaINParameters
    decoder: Decoder

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """The clothes of one image on the body, pose and background of another."""
        return self.interpolate(appearance, appearance, structure, 0.0)

    def interpolate(
        self, first: Tensor, second: Tensor, structure: Tensor, fraction: float
    ) -> Tensor:
        """Clothes on the straight line between two images' appearance codes."""
        code, _ = self.appearance(self.normalize(first))
        if fraction:
            code = code.lerp(self.appearance(self.normalize(second))[0], fraction)
        drawn = self.decoder(self.structure(self.normalize(structure)), self.adain(code))
        pixels: Tensor = drawn * self.normalize.std + self.normalize.mean
        return pixels.clamp(0, 1)

    def structure_maps(self, images: Tensor) -> Tensor:
        """The structure code of each image, (B, S, H / 4, W / 4), float32."""
        maps: Tensor = self.structure(self.normalize(images)).float()
        return maps

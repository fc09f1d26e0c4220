"""DG-Net's generator, and what every method that has one can draw."""

from __future__ import annotations

from torch import Tensor, nn

from crosslight.methods.contract import Method
from crosslight.methods.dgnet.config import DrawingConfig
from crosslight.methods.dgnet.networks import (
    STRIPES,
    AppearanceEncoder,
    Decoder,
    StructureEncoder,
    StructureSource,
)
from crosslight.nn.adain import AdaINParameters
from crosslight.nn.backbones import Backbone
from crosslight.nn.conv_block import init_kaiming
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
    structure: StructureEncoder | Backbone
    adain: AdaINParameters
    decoder: Decoder

    def build_generator(
        self, config: DrawingConfig, channels: int, *, source: StructureSource = "gray"
    ) -> None:
        """Adds structure encoder, MLPs and decoder; `init_generator` gives them their start.

        Args:
            config: Their widths.
            channels: A, of the appearance encoder.
            source: What the structure encoder sees.
        """
        structure = StructureEncoder(config.structure_width, config.dilations, source=source)
        self.build_drawing(config, channels, structure)

    def build_drawing(
        self,
        config: DrawingConfig,
        channels: int,
        structure: StructureEncoder | Backbone,
        *,
        doublings: int = 2,
    ) -> None:
        """The same around a structure encoder of another kind.

        Args:
            config: Widths of the MLPs.
            channels: A, of the appearance encoder.
            structure: E_s.
            doublings: From the size of its code to that of the image.
        """
        self.structure = structure
        self.adain = AdaINParameters(
            channels,
            blocks=STRIPES,
            channels=self.structure.channels,
            hidden=config.adain_width,
            slices=config.code_slices,
        )
        self.decoder = Decoder(self.structure.channels, doublings=doublings)

    def init_generator(self) -> None:
        """Draws the generator's random start."""
        for network in self.generator:
            init_kaiming(network)

    @property
    def generator(self) -> nn.ModuleList:
        """What draws: structure encoder, MLPs and decoder."""
        return nn.ModuleList([self.structure, self.adain, self.decoder])

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
        return self.pixels(self.decoder(self.structure_code(structure), self.adain(code)))

    def pixels(self, drawn: Tensor) -> Tensor:
        """What the decoder draws, as images in [0, 1]."""
        pixels: Tensor = drawn * self.normalize.std + self.normalize.mean
        return pixels.clamp(0, 1)

    def structure_code(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, S, h, w), as real images are taken apart."""
        code: Tensor = self.structure(self.normalize(images))
        return code

    def structure_maps(self, images: Tensor) -> Tensor:
        """The structure code of each image, (B, S, h, w), float32."""
        return self.structure_code(images).float()

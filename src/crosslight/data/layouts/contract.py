"""What a published layout says about itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crosslight.data.layouts.listing import first_image
from crosslight.data.layouts.roots import describe_wrong_root
from crosslight.data.table import SampleTable
from crosslight.errors import DataError, ReadingError
from crosslight.types import Modality

PROMENADE = "promenade.json"
"""What lies beside images that Promenade drew."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The published size of one part of a data set.

    Attributes:
        split: Split of the sample table.
        modality: Light of the part.
        cam: Camera of the part; None for all cameras together.
        ids: People; None where no figure is published. Junk (pid -1) counts as nobody, the
            distractors of Market-1501 (pid 0) as one.
        images: Images, junk included; None where no figure is published.
        verified: False for a figure that was not checked against the data or its authors' files.
    """

    split: str
    modality: Modality = Modality.VISIBLE
    cam: int | None = None
    ids: int | None = None
    images: int | None = None
    verified: bool = True


@dataclass(frozen=True, kw_only=True)
class Search:
    """Who is sought among whom by a protocol: enough to find queries that have no answer.

    Attributes:
        protocol: Name of the evaluation protocol.
        query: Split of the queries.
        gallery: Split of the gallery; the same split as `query` means that every image seeks the
            others.
        query_modality: Light of the queries; None for any.
        gallery_modality: Light of the gallery; None for any.
        across_cameras: Whether images of the same person from the query's camera do not count.
        locations: Cameras that count as another one, e.g. `{3: 2}`.
    """

    protocol: str
    query: str = "query"
    gallery: str = "gallery"
    query_modality: Modality | None = None
    gallery_modality: Modality | None = None
    across_cameras: bool = True
    locations: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way in which a data set lies on disk, and what is known about it.

    Attributes:
        name: As in `--data NAME:ROOT`.
        title: The data set's own name.
        cross_modal: Whether people are sought across visible light and infrared.
        signs: Alternatives of folders and files that together tell this layout.
        reader: Makes the table from a root that bears the signs and a trial.
        obtain: One sentence: how to obtain the data set.
        protocols: Names of the evaluation protocols that fit.
        validation: Name of the protocol that chooses weights on people seen in both lights;
            empty where none is the layout's own.
        expected: Published sizes.
        searches: What the protocols search; empty where that follows from the table.
        trials: Number of published splits; 1 where the split is fixed.
        ids_restart: Whether train and test number their people independently from 0.
        file_endings: Endings of a single file that can stand for the root.
        sample: A folder, and the pattern its file names have in this layout only; tells layouts
            with the same signs apart.
        promenade: Whether `crosslight data make promenade` writes this layout.
    """

    name: str
    title: str
    cross_modal: bool
    signs: tuple[tuple[str, ...], ...]
    reader: Callable[[Path, int], SampleTable]
    obtain: str
    protocols: tuple[str, ...]
    validation: str = ""
    expected: tuple[Expected, ...] = ()
    searches: tuple[Search, ...] = ()
    trials: int = 1
    ids_restart: bool = False
    file_endings: tuple[str, ...] = ()
    sample: tuple[str, re.Pattern[str]] | None = None
    promenade: bool = False

    def fits(self, root: Path) -> bool:
        """Whether the root bears the signs of this layout; looks at names only."""
        if self.file_endings and root.is_file():
            return root.suffix.lower() in self.file_endings
        return any(all((root / sign).exists() for sign in signs) for signs in self.signs)

    def fits_exactly(self, root: Path) -> bool:
        """Whether the root is of this layout and of none with the same signs."""
        if not self.fits(root) or self.sample is None:
            return self.fits(root)
        folder, pattern = self.sample
        name = first_image(root / folder)
        return name is not None and pattern.match(name) is not None

    def read(self, root: Path, *, trial: int = 1) -> SampleTable:
        """The sample table of the data set at `root`, in an order that no file system changes.

        Args:
            root: The folder that holds the data set.
            trial: Which published split to read, from 1; used where there are several.

        Raises:
            DataError: Not this layout, incomplete, or a file that does not parse.
        """
        if not self.fits(root):
            raise ReadingError(describe_wrong_root(self, root))
        if self.trials > 1 and not 1 <= trial <= self.trials:
            raise DataError(
                f"{self.title} has no trial {trial}; expected --trial from 1 to {self.trials}."
            )
        return self.reader(root, trial)

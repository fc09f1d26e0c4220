"""Makes stores and enrols people in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from crosslight.commands.counting_bar import bar
from crosslight.commands.gallery.filter import light_named
from crosslight.config import require_range
from crosslight.data.folders import PassedOver
from crosslight.data.table import columns_called
from crosslight.errors import ConfigError, DataError
from crosslight.experiments.embedder import embedder_for, load_embedder
from crosslight.gallery.contradictions import each_once
from crosslight.gallery.enrolment import Enrolled, enrol
from crosslight.gallery.options import Labels
from crosslight.gallery.people.names import Kind, number_or_name
from crosslight.gallery.sources import candidates_from, is_video
from crosslight.gallery.stores.opening import create_store, open_store
from crosslight.gallery.stores.store import Store
from crosslight.shipped import PROMENADE, SHIPPED, shipped
from crosslight.types import DeepRange, Modality

_SHOWN_FAILURES = 20


def create(store: str, *, model: Path | None, deep_range: DeepRange | None = None) -> None:
    """Makes an empty store for the embeddings of a run, or of the weights that ship."""
    require_range(deep_range, "--deep-range")
    embedder = load_embedder(Path(PROMENADE) if model is None else model)
    if embedder.run in SHIPPED:
        print(f"Model {embedder.run}: {shipped(embedder.run).about}")
    probe = Image.new("RGB", (embedder.width, embedder.height))
    dim = embedder.embed([probe], [int(Modality.VISIBLE)]).shape[1]
    with create_store(
        store,
        model=embedder.fingerprint,
        method=embedder.method,
        run=embedder.run,
        dim=dim,
        distance=embedder.distance,
        interpolation=embedder.interpolation,
        deep_range=deep_range or embedder.deep_range,
    ) as made:
        print(f"{made.location}: an empty {made.kind} store for {embedder.method}, {dim} numbers.")


def add(
    store: str,
    sources: Sequence[str],
    labels: Labels,
    *,
    model: Path | None,
    splits: Sequence[str],
    columns: Sequence[str],
    workers: int,
    deep_range: DeepRange | None,
) -> Enrolled:
    """Enrols images; exits with an error where not one could be read."""
    camera, person = stated(labels.camera, "camera"), stated(labels.person, "person")
    called = columns_called(columns)
    if any(map(is_video, sources)) and not called:
        raise ConfigError("Videos are added one at a time; give this video alone.")
    left = PassedOver()
    candidates, contradictions = each_once(
        candidate
        for source in sources
        for candidate in candidates_from(
            source,
            splits=splits,
            modality=light_named(labels.modality),
            cam=camera,
            pid=person,
            called=called,
            passed_over=left,
        )
    )
    if left.count:
        print(f"{left.told()}.")
    _tell_some("named twice", contradictions)
    with open_store(store) as opened:
        embedder = embedder_for(opened.info, model)
        if deep_range is not None and opened.info.deep_range is None:
            opened.set_range(deep_range)  # what is searched for is then read alike
        with bar("enrolled", len(candidates)) as advance:
            outcome = enrol(
                opened,
                embedder,
                candidates,
                workers=workers,
                deep_range=deep_range,
                advance=advance,
            )
        tell(opened, outcome)
    return outcome


def stated(given: str | None, kind: Kind) -> int | str | None:
    """The number or name of a flag; None where nothing is said.

    Raises:
        ConfigError: A number that no store can keep, or no name.
    """
    return None if given is None else number_or_name(given, kind)


def tell(store: Store, outcome: Enrolled) -> None:
    """Says what was enrolled and what could not be read.

    Raises:
        DataError: Nothing could be read.
    """
    _tell_some(
        "not read",
        [reason if path in reason else f"{path} {reason}" for path, reason in outcome.unreadable],
    )
    if outcome.unreadable and not outcome.added and not outcome.present:
        raise DataError("No image could be read; see the reasons above.")
    if outcome.depths.narrow:
        remedy = outcome.depths.remedy(
            "Remove them (crosslight gallery remove) and add them again with --deep-range {0} {1}."
        )
        print(f"Warning: {outcome.depths.told()} {remedy}")
    relabelled = f", {outcome.relabelled} of them relabelled" if outcome.relabelled else ""
    print(
        f"{outcome.added} added, {outcome.present} were there already{relabelled}, "
        f"{len(outcome.unreadable)} not read; {store.location} now holds {store.count()}."
    )


def _tell_some(what: str, sentences: Sequence[str]) -> None:
    for sentence in sentences[:_SHOWN_FAILURES]:
        print(f"{what}: {sentence}")
    more = len(sentences) - _SHOWN_FAILURES
    if more > 0:
        print(f"{what}: {more} more")

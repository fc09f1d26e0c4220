"""The published protocols: which images are compared, by which rules, and what comes out.

A protocol takes features and states every rule it applies. `PROTOCOLS` holds them by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from crosslight.data.layouts.sysu_mm01 import INDOOR_CAMERAS, VISIBLE_CAMERAS
from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols.chance import ChanceLevel
from crosslight.evaluation.protocols.scores import (
    PerQuery,
    Result,
    TrialScores,
    cmc_length,
    per_query,
    score_ranks,
)
from crosslight.evaluation.protocols.selection import (
    Draw,
    LlcmSelector,
    RegdbSelector,
    Selection,
    Selector,
    SplitSelector,
    SysuSelector,
    sampler_rule,
)
from crosslight.evaluation.ranking import (
    CmcKind,
    Labels,
    Ranks,
    Trial,
)
from crosslight.evaluation.ranking.distances import DISTANCE_TEXT
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.ranking.exclusion import (
    NO_EXCLUSION,
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
    Exclusion,
)
from crosslight.evaluation.reranking import rank_refined
from crosslight.evaluation.reranking.refinements import Refinement, refinement_rule
from crosslight.evaluation.scoring import (
    TRIALS,
    AveragePrecision,
    Scoring,
    check_average_precision,
    check_distance,
    check_sampler,
)
from crosslight.types import UNKNOWN_CAM, Distance, Modality

TOP = 20
CMC_TEXT: dict[CmcKind, str] = {
    "image": "rank-k: a right image among the first k images",
    "identity": "rank-k: the right person among the first k people, each person counted once, "
    "where their nearest image stands",
}
AP_TEXT: dict[AveragePrecision, str] = {
    "rectangular": "mAP over images, rectangular: mean of k / rank of the k-th right image",
    "trapezoid": "mAP over images, trapezoid: mean over right images of the precision at and just "
    "before them",
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One published way to score features.

    Attributes:
        name: As given to `--protocol`.
        summary: One line for a list of protocols.
        selector: Which rows are compared.
        exclusion: The camera rule.
        cmc: Whether rank-k counts images or people.
    """

    name: str
    summary: str
    selector: Selector
    exclusion: Exclusion
    cmc: CmcKind

    def evaluate(
        self,
        features: Features,
        *,
        distance: str = Scoring.distance,
        sampler: str = Scoring.sampler,
        permutations: Path | None = Scoring.permutations,
        average_precision: str = Scoring.average_precision,
        trials: int = TRIALS,
        effort: Effort | None = None,
        refinement: Refinement | None = None,
    ) -> Result:
        """Scores features.

        Args:
            features: The whole test set.
            distance: 'cosine', 'euclidean' or 'dot' (larger is nearer).
            sampler: 'seeded' or 'official', for the protocols that draw galleries.
            permutations: `rand_perm_cam.mat` or the root of SYSU-MM01, for 'official'.
            average_precision: 'rectangular' or 'trapezoid'.
            trials: How many galleries are drawn.
            effort: Block size; changes no result.
            refinement: Re-ranking or query expansion. The result bears another name, because it
                answers another question: queries and gallery are then seen together.

        Raises:
            ProtocolError: The features cannot be scored by this protocol.
            ConfigError: An option is unknown or does not fit.
        """
        metric = check_distance(distance)
        area = check_average_precision(average_precision)
        selection = self._select(features, sampler, permutations, trials, metric)
        all_ranks = rank_refined(
            selection.queries.feats,
            _labels(selection.queries),
            features.feats,
            _labels(features),
            selection.trials,
            exclusion=self.exclusion,
            distance=metric,
            how=refinement,
            top=TOP,
            cmc=self.cmc,
            effort=effort,
        )
        scores = self._scores(selection, features, all_ranks, area)
        text = f"distance: {DISTANCE_TEXT[metric]}"
        if refinement is not None:
            text += f"; {refinement_rule(refinement)}"
        return Result(
            protocol=self.name if refinement is None else f"{self.name} + {refinement.text}",
            distance=metric,
            sampler=selection.sampler,
            rules=self._rules(selection, area, text, scores),
            trials=scores,
            per_query=self._per_query(selection, features, all_ranks[0], area),
            path=all_ranks[0].path,
        )

    def chance(
        self,
        features: Features,
        *,
        sampler: str = Scoring.sampler,
        permutations: Path | None = Scoring.permutations,
        average_precision: str = Scoring.average_precision,
        trials: int = TRIALS,
    ) -> Result:
        """The exact expectation of every score if each gallery stood in a random order.

        The arguments mean what they mean for `evaluate`; the numbers of the features are not read.
        The deviation is that between the expectations of the trials.
        """
        area = check_average_precision(average_precision)
        selection = self._select(features, sampler, permutations, trials)
        query, gallery = _labels(selection.queries), _labels(features)
        level = ChanceLevel(cmc=self.cmc, average_precision=area)
        scores: list[TrialScores] = []
        for trial in selection.trials:
            length = cmc_length(self.cmc, features.pids[trial.gallery])
            scores.append(level.of_trial(trial, query, gallery, self.exclusion, length))
            self._check_scored(scores[-1].valid, trial, selection, features)
        text = "distance: none, the expectation over all orders of each query's gallery"
        return Result(
            protocol=self.name,
            distance="chance",
            sampler=selection.sampler,
            rules=self._rules(selection, area, text, tuple(scores)),
            trials=tuple(scores),
        )

    def _scores(
        self,
        selection: Selection,
        features: Features,
        all_ranks: Sequence[Ranks],
        area: AveragePrecision,
    ) -> tuple[TrialScores, ...]:
        scores = []
        for trial, ranks in zip(selection.trials, all_ranks, strict=True):
            self._check_scored(int(ranks.valid.sum()), trial, selection, features)
            length = cmc_length(self.cmc, features.pids[trial.gallery])
            scores.append(score_ranks(ranks, cmc=self.cmc, average_precision=area, length=length))
        return tuple(scores)

    def _select(
        self,
        features: Features,
        sampler: str,
        permutations: Path | None,
        trials: int,
        distance: Distance = Scoring.distance,
    ) -> Selection:
        if trials < 1:
            raise ConfigError(f"{trials} trials are asked for, expected at least 1.")
        if permutations is not None and sampler != "official":
            raise ConfigError(
                f"Permutations are given, but the sampler is '{sampler}'; add --sampler official."
            )
        draw = Draw(
            distance=distance,
            sampler=check_sampler(sampler),
            permutations=permutations,
            trials=trials,
        )
        selection = self.selector.select(features, draw)
        if self.exclusion.reads_cams:
            self._check_cams(selection, features)
        return selection

    def _check_cams(self, selection: Selection, features: Features) -> None:
        rows = np.unique(
            np.concatenate(
                [selection.query_rows[trial.queries] for trial in selection.trials]
                + [trial.gallery for trial in selection.trials]
            )
        )
        unknown = rows[features.cams[rows] == UNKNOWN_CAM]
        if len(unknown):
            raise ProtocolError(
                f"Row {unknown[0]} has no camera, but the {self.name} protocol leaves out images "
                "by camera; add an array 'cams' with a camera number for each row. "
                + self._without_cams("If your data has no cameras")
            )

    def _without_cams(self, condition: str) -> str:
        if isinstance(self.selector, SplitSelector):
            return f"{condition}, use --protocol any-camera."
        return "Check the camera numbers in 'cams'."

    def _check_scored(
        self, valid: int, trial: Trial, selection: Selection, features: Features
    ) -> None:
        if valid:
            return
        count = len(trial.queries)
        shared = np.isin(selection.queries.pids[trial.queries], features.pids[trial.gallery])
        if not shared.any():
            lack = "show a person who is not in the gallery"
            remedy = "Check that queries and gallery number people alike."
        elif self.exclusion.same_camera:
            lack = "have no gallery image from another camera"
            remedy = self._without_cams("If your data has one camera")
        else:
            lack = "have no right gallery image left after the camera rule"
            remedy = f"The rule: {self.exclusion.text}. Add images of the other cameras."
        raise ProtocolError(
            f"{count} of {count} queries {lack}, so the {self.name} protocol scores none of them. "
            f"{remedy}"
        )

    def _rules(
        self,
        selection: Selection,
        average_precision: AveragePrecision,
        distance: str,
        scores: tuple[TrialScores, ...],
    ) -> tuple[str, ...]:
        valid = sorted({trial.valid for trial in scores})
        total = scores[0].valid + scores[0].invalid
        counts = f"{valid[0]}" if len(valid) == 1 else f"{valid[0]} to {valid[-1]}"
        return (
            *selection.rules,
            f"left out: {self.exclusion.text}",
            CMC_TEXT[self.cmc],
            AP_TEXT[average_precision],
            "mINP over images: number of right images / rank of the last of them",
            f"scored: {counts} of {total} queries; the others have no right image and enter no "
            "mean",
            f"equal distances: {selection.order}",
            distance,
            sampler_rule(selection),
        )

    def _per_query(
        self,
        selection: Selection,
        features: Features,
        ranks: Ranks,
        average_precision: AveragePrecision,
    ) -> PerQuery:
        return per_query(
            ranks,
            selection.trials[0],
            query_pids=selection.queries.pids,
            query_rows=selection.query_rows,
            gallery_pids=features.pids,
            cmc=self.cmc,
            average_precision=average_precision,
        )


def get_protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        ConfigError: There is none; the nearest name is suggested.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"Protocol '{name}' is unknown; {hint}The protocols are {', '.join(PROTOCOLS)}."
    )


def _labels(features: Features) -> Labels:
    return Labels(pids=features.pids, cams=features.cams)


def _split_protocol(name: str, summary: str, *, pool_queries: bool = False) -> Protocol:
    return Protocol(
        name=name,
        summary=summary,
        selector=SplitSelector(pool_queries=pool_queries),
        exclusion=SAME_PERSON_SAME_CAMERA,
        cmc="image",
    )


def _sysu_protocol(mode: str, cams: tuple[int, ...], shots: int) -> Protocol:
    return Protocol(
        name=f"sysu-mm01/{mode}/{shots}",
        summary=f"SYSU-MM01, infrared against visible, {mode}-search, {shots}-shot",
        selector=SysuSelector(gallery_cams=cams, shots=shots),
        exclusion=SYSU_SAME_PLACE,
        cmc="identity",
    )


def _regdb_protocol(name: str, query_modality: Modality) -> Protocol:
    return Protocol(
        name=f"regdb/{name}",
        summary=f"RegDB, {name.replace('-', ' ')}, one split",
        selector=RegdbSelector(query_modality=query_modality),
        exclusion=NO_EXCLUSION,
        cmc="image",
    )


def _llcm_protocol(name: str, selector: LlcmSelector, note: str) -> Protocol:
    return Protocol(
        name=f"llcm/{name}",
        summary=f"LLCM, {note}",
        selector=selector,
        exclusion=SAME_PERSON_SAME_CAMERA,
        cmc="identity",
    )


_ALL = (
    _split_protocol("market1501", "Market-1501: another camera's image of the same person"),
    _split_protocol(
        "market1501/multi-query",
        "Market-1501 with the mean of all crops of a person and camera as query",
        pool_queries=True,
    ),
    _split_protocol("dukemtmc", "DukeMTMC-reID, the rules of market1501"),
    _split_protocol("msmt17", "MSMT17, the rules of market1501"),
    _sysu_protocol("all", VISIBLE_CAMERAS, 1),
    _sysu_protocol("all", VISIBLE_CAMERAS, 10),
    _sysu_protocol("indoor", INDOOR_CAMERAS, 1),
    _sysu_protocol("indoor", INDOOR_CAMERAS, 10),
    _regdb_protocol("visible-to-thermal", Modality.VISIBLE),
    _regdb_protocol("thermal-to-visible", Modality.INFRARED),
    _llcm_protocol(
        "visible-to-infrared",
        LlcmSelector(query_modality=Modality.VISIBLE),
        "all visible images against a drawn infrared gallery",
    ),
    _llcm_protocol(
        "infrared-to-visible",
        LlcmSelector(query_modality=Modality.INFRARED),
        "all infrared images against a drawn visible gallery",
    ),
    _llcm_protocol(
        "visible-to-infrared-sampled-query",
        LlcmSelector(query_modality=Modality.INFRARED, drawn="query"),
        "drawn infrared images against all visible ones, as its own code computes "
        "visible-to-infrared",
    ),
    Protocol(
        name="any-camera",
        summary="split query/gallery without a camera rule, for data with one camera or unknown "
        "cameras",
        selector=SplitSelector(),
        exclusion=NO_EXCLUSION,
        cmc="image",
    ),
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({protocol.name: protocol for protocol in _ALL})
"""Every protocol by name."""

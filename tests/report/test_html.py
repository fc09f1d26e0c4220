import base64
import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.report.conftest import features_of, made_up_features, made_up_inputs

from crosslight.data.table import SampleTable, build_table
from crosslight.errors import ConfigError, DataError, ProtocolError
from crosslight.evaluation.protocols import SCORE_KEYS, get_protocol
from crosslight.methods.terms import Term
from crosslight.report.html import build_report, render_report
from crosslight.report.inputs import ReportInputs

SECTIONS = [
    "about",
    "results",
    "cmc",
    "training",
    "ranked-lists",
    "distances",
    "search",
    "map",
    "sheet",
    "configuration",
]
Rendered = tuple[ReportInputs, str]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What the tests ask of a page; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.captions: list[str] = []
        self.cells: dict[tuple[str, str], str] = {}
        self.section_words: dict[str, str] = {}
        self.protocol = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in VOID:
            self.open.append((tag, values))
        if tag == "caption":
            self.captions.append("")
        self.protocol = values.get("data-protocol") or self.protocol

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        names = [name for name, _ in self.open]
        if "style" in names:
            return
        self.words.append(data)
        if "caption" in names:
            self.captions[-1] += data
        for name, values in self.open:
            if name == "td" and values.get("data-key"):
                key = (self.protocol, str(values["data-key"]))
                self.cells[key] = self.cells.get(key, "") + data
            if name == "section":
                own = str(values["id"])
                self.section_words[own] = self.section_words.get(own, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_every_section_stands_in_order_with_a_heading(rendered: Rendered) -> None:
    page = Page(rendered[1])
    assert [section["id"] for section in page.all("section")] == SECTIONS
    ids = {values["id"] for _, values in page.tags if "id" in values}
    for section in page.all("section"):
        assert section["aria-labelledby"] in ids
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_table_holds_the_numbers_of_the_results(rendered: Rendered) -> None:
    inputs, text = rendered
    page = Page(text)
    assert len(page.cells) == 2 * 6
    for name, result in inputs.results.items():
        mean, guess = result.mean, inputs.chance[name].mean
        for key in ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"):
            figures = re.findall(r"[\d.]+", page.cells[name, key])
            wanted = [f"{100 * value:.1f}" for value in (mean[key], mean[f"{key}_sd"], guess[key])]
            if key == "rank1":
                wanted.append(f"{mean['rank1'] / guess['rank1']:.1f}")
            assert figures == wanted


def test_the_verdict_speaks_of_the_leading_protocol(rendered: Rendered) -> None:
    inputs, page = rendered
    mean = inputs.results["sysu-mm01/all/1"].mean["rank1"]
    guess = inputs.chance["sysu-mm01/all/1"].mean["rank1"]
    text = Page(page).text
    assert (
        f"An infrared query finds its person first among visible images in {100 * mean:.1f} % of "
        f"cases (sysu-mm01/all/1, 6 people in the test set, mean of 3 trials); guessing would in "
        f"{100 * guess:.1f} %." in text
    )


def test_useless_features_are_called_no_better_than_guessing(tmp_path: Path) -> None:
    assert (
        "cannot be told apart from guessing"
        in Page(render_report(made_up_inputs(tmp_path, noise=1e4))).text
    )


def test_facts_of_the_run_are_told(rendered: Rendered) -> None:
    inputs, text = rendered
    page = Page(text)
    about = page.section_words["about"]
    for fact in (inputs.table.fingerprint(), "72 test images of 6 people", "2026-01-02", "0.1.0"):
        assert fact in about
    assert "61.2" in about
    assert "361.8" in about  # the sum
    assert "The people are drawn, not filmed." in page.text
    configuration = page.section_words["configuration"]
    assert yaml.safe_dump({"height": 128}).strip() in configuration
    for rule in inputs.results["sysu-mm01/indoor/1"].rules:
        assert rule in configuration


def test_training_is_told_by_the_names_of_the_paper_with_weights_and_ends(
    tmp_path: Path,
) -> None:
    terms = {"triplet": Term(meaning="people apart", symbol="L_{wrt}", equation=4)}
    text = render_report(made_up_inputs(tmp_path, people=3, terms=terms))
    assert '<i class="symbol">L<sub>wrt</sub></i> eq. 4' in text
    words = " ".join(Page(text).section_words["training"].split())
    assert "× 0.02 → 1" in words
    assert "triplet People apart. 1.05 → 0.182" in words
    plain = Page(render_report(made_up_inputs(tmp_path, people=3))).section_words["training"]
    assert "triplet" in plain, "a method without terms has the names of its log"


def test_every_table_names_its_data(rendered: Rendered) -> None:
    page = Page(rendered[1])
    assert len(page.captions) == len(page.all("table")) == 2
    assert all("Made-up people" in caption for caption in page.captions)


def test_the_page_needs_nothing_but_itself(rendered: Rendered) -> None:
    _, text = rendered
    page = Page(text)
    assert not re.search(r"https?://|//cdn|@import|url\((?!#)", text)
    assert not page.all("script")
    for _, values in page.tags:
        for name in ("src", "href", "xlink:href"):
            if name in values:
                assert str(values[name]).startswith(("data:", "#"))
    assert len(text) < 8_000_000


def test_every_picture_decodes_and_is_described(rendered: Rendered) -> None:
    page = Page(rendered[1])
    for image in page.all("img"):
        assert len(str(image["alt"])) > 10
        kind, content = str(image["src"]).removeprefix("data:").split(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
            picture.load()
            assert Image.MIME[str(picture.format)] == kind == "image/jpeg"
    charts = page.all("svg")
    assert len(charts) == len({chart["aria-label"] for chart in charts}) > 8
    for chart in charts:
        assert chart["role"] == "img"
        assert len(str(chart["aria-label"])) > 10


def test_what_charts_refer_to_is_there_and_said_once_for_one_meaning(rendered: Rendered) -> None:
    page = Page(rendered[1])
    meanings: dict[str, set[str]] = {}
    for tag, values in page.tags:
        if "id" in values and tag in {"path", "clippath", "pattern"}:
            meanings.setdefault(str(values["id"]), set()).add(str(values.get("d", "")))
    referred = re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', rendered[1])
    assert set(referred) <= set(meanings)
    assert all(len(shapes) == 1 for shapes in meanings.values())


def test_ranked_lists_frame_right_and_wrong_as_the_result_says(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path, noise=3.0, protocols=("sysu-mm01/all/1",))
    per_query = inputs.results["sysu-mm01/all/1"].per_query
    assert per_query is not None
    page = Page(render_report(inputs))
    frames = [values for name, values in page.tags if name in {"figure", "img"}]
    seen: list[list[str]] = []
    for before, image in pairwise(frames):
        kind = str(before.get("class", "")).removeprefix("tile ")
        if kind == "query":
            seen.append([])
        if kind in {"right", "wrong"}:
            assert f", {kind}: person" in str(image["alt"])
            seen[-1].append(kind)
    assert len(seen) == 11
    correct = per_query.correct[:, :10].tolist()
    valid = [
        ["right" if right else "wrong" for right, row in zip(c, rows, strict=False) if row >= 0]
        for c, rows in zip(correct, per_query.gallery_rows[:, :10].tolist(), strict=True)
    ]
    assert all(kinds in [own[: len(kinds)] for own in valid] for kinds in seen)
    assert {len(kinds) for kinds in seen if "right" in kinds} == {10}
    assert {len(kinds) for kinds in seen if "right" not in kinds} <= {9}
    assert {"right", "wrong"} <= {kind for kinds in seen for kind in kinds}
    best = int(np.nanargmax(per_query.average_precision))
    assert seen[0] == valid[best]


def test_the_worst_queries_show_where_their_person_stands(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path, people=30, noise=1e4, protocols=("sysu-mm01/all/1",))
    per_query = inputs.results["sysu-mm01/all/1"].per_query
    assert per_query is not None
    page = Page(render_report(inputs))
    found = [
        (int(told[1]), int(told[2]))
        for image in page.all("img")
        if (told := re.match(r"Rank (\d+), right: person (\d+)", str(image["alt"])))
    ]
    far = {
        (int(rank), int(inputs.table.pids[row]))
        for rank, row, right in zip(
            per_query.first_rank, per_query.first_row, per_query.correct[:, :10], strict=True
        )
        if not right.any()
    }
    assert len(far & set(found)) >= 3
    tiles = [str(values.get("class")) for values in page.all("figure")]
    assert tiles.count("tile right first") == page.section_words["ranked-lists"].count("⋯") >= 3
    for rank, _ in far & set(found):
        assert f"rank {rank}" in page.section_words["ranked-lists"]


def test_one_query_a_small_gallery_and_nothing_optional(tmp_path: Path) -> None:
    table = _market(tmp_path, people=3)
    inputs = _market_inputs(table, queries=1)
    page = Page(render_report(inputs))
    assert [section["id"] for section in page.all("section")] == [
        s for s in SECTIONS if s != "search"
    ]
    assert "No training log was found" in page.section_words["training"]
    assert "No contact sheet was given" in page.section_words["sheet"]
    assert "1 query" in page.section_words["ranked-lists"]
    assert "A visible query finds its person first in" in page.text
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)


def test_visible_data_has_one_panel_of_distances_and_one_map(tmp_path: Path) -> None:
    page = Page(render_report(_market_inputs(_market(tmp_path, people=8))))
    alts = [str(chart["aria-label"]) for chart in page.all("svg")]
    assert sum(alt.startswith("Distances of") for alt in alts) == 1
    assert sum(alt.startswith("Map of") for alt in alts) == 1
    assert "±" not in page.section_words["results"]  # one trial has no deviation


def test_distractors_are_nobody(tmp_path: Path) -> None:
    table = _market(tmp_path, people=8, first_pid=0)
    assert (_market_inputs(table).known_pids == 0).sum() == 0
    assert "of 7 people" in Page(render_report(_market_inputs(table))).section_words["about"]


def test_unreadable_images_become_placeholders(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    for path in inputs.table.paths:
        path.write_bytes(b"")
    assert len(Page(render_report(inputs)).all("img")) > 50


def test_words_of_the_user_cannot_become_markup(tmp_path: Path) -> None:
    text = render_report(made_up_inputs(tmp_path, title="<script>x</script>", data_name='"><b>'))
    assert "<script>" not in text
    assert '"><b>' not in text


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    one, two = (build_report(inputs, tmp_path / "new" / name) for name in ("a.html", "b.html"))
    assert one.read_bytes() == two.read_bytes()


def test_an_unwritable_place_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = made_up_inputs(tmp_path, people=3)
    out = tmp_path / "out" / "report.html"
    out.parent.mkdir()
    out.write_text("older")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(ConfigError, match=r"report\.html \(No space left on device\)"):
        build_report(inputs, out)
    assert out.read_text() == "older"
    assert list(out.parent.iterdir()) == [out]


def test_what_stood_before_training_is_shown_where_it_is_known(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path, people=3)
    assert "before training" not in render_report(inputs)
    name = next(iter(inputs.results))
    known = made_up_inputs(tmp_path, people=3, start={name: inputs.chance[name]})
    page = render_report(known)
    assert page.count("before training") == 1 + len(SCORE_KEYS), "the card, and each figure"
    first = f"before training {100 * inputs.chance[name].mean['rank1']:.1f}"
    assert page.count(first) >= 2


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path, people=3)
    with pytest.raises(DataError, match="one row of features per row"):
        made_up_inputs(tmp_path, people=3, features=inputs.features[:-1])
    broken = inputs.features.copy()
    broken[4] = np.nan
    with pytest.raises(DataError, match=r"cam1/0003/0001\.jpg are not finite"):
        made_up_inputs(tmp_path, people=3, features=broken)
    with pytest.raises(ProtocolError, match="no result"):
        made_up_inputs(tmp_path, people=3, results={})
    with pytest.raises(ProtocolError, match="sysu-mm01/all/1 comes without its chance"):
        made_up_inputs(tmp_path, people=3, chance={})


def _market(root: Path, *, people: int, first_pid: int = 1) -> SampleTable:
    columns: dict[str, list[object]] = {"path": [], "pid": [], "cam": [], "split": []}
    for pid in range(first_pid, first_pid + people):
        for cam in (1, 2):
            name = f"{pid:04d}_c{cam}.jpg"
            Image.new("RGB", (64, 128), f"hsl({40 * pid}, 60%, 50%)").save(root / name)
            columns["path"].append(name)
            columns["pid"].append(pid)
            columns["cam"].append(cam)
            columns["split"].append("query" if cam == 1 else "gallery")
    return build_table("market1501", root, columns)


def _market_inputs(table: SampleTable, queries: int = 100) -> ReportInputs:
    query_rows = np.flatnonzero(table.splits == "query")[:queries]
    table = table.take([*query_rows, *np.flatnonzero(table.splits == "gallery")])
    feats = made_up_features(table, noise=0.5)
    features = features_of(table, feats)
    protocol = get_protocol("market1501")
    return ReportInputs(
        title="One protocol",
        data_name="Made-up visible people",
        table=table,
        features=feats,
        results={"market1501": protocol.evaluate(features)},
        chance={"market1501": protocol.chance(features)},
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )

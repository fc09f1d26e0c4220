"""`make docs` builds a whole site, and refuses one that is not."""

import inspect
from pathlib import Path

import pytest
import yaml
from fastapi.staticfiles import StaticFiles
from tools import site as tool

import crosslight as cl
from crosslight.methods import contract
from crosslight.registry import METHODS, method_class
from tests.gallery.browsing import browser, running
from tests.last_resort import HANG_MS

for part in ("zensical", "mkdocstrings_handlers.python"):
    pytest.importorskip(part, reason="say: pip install 'crosslight[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    tool.build(out)
    return out / "site"


def anchors(page: Path) -> set[str]:
    read = tool.Page()
    read.feed(page.read_text(encoding="utf-8"))
    return read.anchors


def test_the_reference_has_every_public_name_every_part_of_the_contract_and_every_loss(
    site: Path,
) -> None:
    there = set().union(*map(anchors, (site / "reference").glob("*.html")))
    losses = {
        f"crosslight.losses.{name}"
        for name, found in inspect.getmembers(cl.losses, inspect.isfunction)
        if found.__module__ == cl.losses.__name__ and not name.startswith("_")
    }
    asked = {f"crosslight.Method.{name}" for name in contract.Method.__abstractmethods__}
    assert len(losses) >= 6
    assert len(asked) >= 4
    public = {f"crosslight.{name}" for name in cl.__all__ if name != "losses"}
    assert public | losses | asked <= there


def test_no_page_is_wider_than_a_phone_or_asks_anybody_for_anything(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.relative_to(site).parts[0] != "source"]
    assert len(pages) >= 35
    pages.append(site / "source" / "src" / "crosslight" / "registry.py.html")
    with browser() as chromium:
        for scheme in ("light", "dark"):
            page = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            page.set_default_timeout(HANG_MS)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            for path in pages:
                page.goto(path.as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
            assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()
            page.close()


def test_the_search_finds_without_asking_anybody_else(site: Path) -> None:
    with running(StaticFiles(directory=site)) as address, browser() as chromium:
        page = chromium.new_page()
        page.set_default_timeout(HANG_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}index.html")
        page.locator(".md-search__button").click()
        page.locator("input:visible").fill("trapezoid")
        page.locator("a[href*='protocols.html?h=trapezoid#counting']").click()
        page.wait_for_url("**/protocols.html*")
        assert {url for url in asked if not url.startswith((address, "blob:", "data:"))} == set()
        page.close()


FRONT = "# Front\n\n[Other](docs/other.md#here)\n"
OTHER = """# Other

## Here

[the code](../code.py), [a heading](other.md#here)

```sh
[](../code.py)
```
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text(FRONT)
    (root / "docs" / "other.md").write_text(OTHER)
    (root / "docs" / "site.css").write_text("")
    (root / "code.py").write_text("1 + 1\n")
    settings = {
        "site_name": "small",
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False},
        "markdown_extensions": ["pymdownx.superfences"],
        "plugins": ["search"],
        "nav": [{"Front": "README.md"}, {"More": [{"Other": "docs/other.md"}]}],
    }
    (root / "docs" / "site.yaml").write_text(yaml.safe_dump(settings))
    return root


def test_pages_lead_to_where_pages_and_code_then_stand(repository: Path, tmp_path: Path) -> None:
    tool.build(tmp_path / "out", repository)
    built = tmp_path / "out" / "site"
    assert 'href="other.html#here"' in (built / "index.html").read_text()
    assert 'href="source/code.py.html"' in (built / "other.html").read_text()
    assert "\n[](../code.py)\n" in (tmp_path / "out" / ".pages" / "other.md").read_text()
    assert "1 + 1" in (tmp_path / "out" / ".pages" / "source" / "code.py.md").read_text()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("README.md", FRONT + "[gone](docs/gone.md)\n", "page does not exist"),
        ("README.md", FRONT.replace("#here", "#there"), "anchor does not exist"),
        ("docs/third.md", "# Third\n", "leads to all pages but docs/third.md"),
        ("README.md", FRONT + '<a href="gone.html">x</a>\n', "leads to gone.html, which is not"),
        ("README.md", FRONT + '<a href="other.html#no">x</a>\n', "whose anchor is not there"),
        (
            "README.md",
            FRONT + "![far](https://example.org/far.png)\n",
            "index.html loads https://example.org/far.png",
        ),
    ],
    ids=["page", "anchor", "forgotten", "html-page", "html-anchor", "from-afar"],
)
def test_what_is_not_whole_is_refused(
    repository: Path, tmp_path: Path, file: str, text: str, said: str
) -> None:
    (repository / file).write_text(text)
    with pytest.raises(tool.SiteError, match=said):
        tool.build(tmp_path / "out", repository)


def test_the_citation_names_this_version_and_what_a_citation_needs() -> None:
    cited = yaml.safe_load((tool.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert (cited["version"], cited["license"]) == (cl.__version__, "Apache-2.0")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_page_leads_from_each_system_to_its_code(name: str) -> None:
    module = Path(inspect.getfile(method_class(name))).relative_to(tool.ROOT)
    code = module.parent if module.parent.name != "methods" else module
    pages = (tool.ROOT / "docs" / "methods").glob("*.md")
    link = f"](../../{code})"
    assert [page.stem for page in pages if link in page.read_text(encoding="utf-8")]

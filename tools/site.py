"""Builds the site of the documentation: `make docs`.

The pages stay where GitHub and an editor show them. They are copied to a folder that has all of
them below one root; links are turned to where they then stand, and a file of code that a page
links to becomes a page. Nothing is fetched, and no page may fetch anything.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = "docs/site.yaml"
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class SiteError(Exception):
    """The site is not whole; says what to mend."""


def build(out: Path, root: Path = ROOT) -> None:
    """Builds the site.

    Args:
        out: Folder for it; what is there is replaced.
        root: Root of the repository.

    Raises:
        SiteError: A page that nobody is led to, a broken link or anchor, or one that would load
            something from elsewhere.
    """
    settings = yaml.safe_load((root / CONFIG).read_text(encoding="utf-8"))
    pages = Pages(root, out / ".pages")
    settings["nav"] = _renamed(settings["nav"], pages)
    forgotten = sorted(set(_documents(root)) - pages.listed)
    if forgotten:
        raise SiteError(f"{CONFIG} leads to all pages but {', '.join(forgotten)}; add to its nav.")
    for handler in _handlers(settings):
        handler["paths"] = [str(root / path) for path in handler["paths"]]
    out.mkdir(parents=True, exist_ok=True)
    site = out / "site"
    for folder in (out / ".pages", site):
        shutil.rmtree(folder, ignore_errors=True)
    pages.write()
    settings |= {"docs_dir": ".pages", "site_dir": "site"}
    config = out / "mkdocs.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode:
        said = COLOUR.sub("", made.stdout).partition("Traceback")[0]
        raise SiteError(f"{said.strip()}\nThe site is not whole; mend what is named above.")
    faults = list(_faults(site))
    if faults:
        raise SiteError("\n".join(faults))


class Pages:
    """Where every page stands, and what it then says.

    Args:
        root: Root of the repository.
        out: Folder that has all pages below it.

    Attributes:
        listed: Files of the repository that the navigation names.
    """

    def __init__(self, root: Path, out: Path) -> None:
        self.listed: set[str] = set()
        self._root = root
        self._out = out
        self._waiting: list[str] = []
        self._met: set[str] = set()

    def place(self, file: str) -> str:
        """Where a file of the repository stands on the site; it will be written."""
        if file not in self._met:
            self._met.add(file)
            self._waiting.append(file)
        if file == "README.md":
            return "index.md"
        if file.startswith("docs/") and not (self._root / file).is_dir():
            return file.removeprefix("docs/")
        if file.endswith(".md"):
            return file.lower()
        if file.endswith(".ipynb"):
            return f"{Path(file).stem}.md"
        return f"source/{file}.md"

    def write(self) -> None:
        """Writes every page that was placed, and all that these link to."""
        self.place("docs/site.css")
        while self._waiting:
            file = self._waiting.pop()
            target = self._out / self.place(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            path = self._root / file
            if path.suffix == ".md":
                text = self._turned(path.read_text(encoding="utf-8"), file)
                target.write_text(text, encoding="utf-8")
            elif path.suffix == ".ipynb":
                text = self._turned(_notebook(path), file)
                target.write_text(text, encoding="utf-8")
            elif target.suffix == ".md":
                target.write_text(self._source(path, file), encoding="utf-8")
            else:
                shutil.copyfile(path, target)

    def _turned(self, text: str, file: str) -> str:
        """The page with its links turned; blocks of code stay as they are."""
        here = posixpath.dirname(self.place(file))

        def turn(link: re.Match[str]) -> str:
            if urlsplit(link[1]).scheme:
                return link[1]
            named = posixpath.normpath(posixpath.join(posixpath.dirname(file), link[1]))
            if named.startswith("..") or not (self._root / named).exists():
                return link[1]
            return posixpath.relpath(self.place(named), here or ".")

        parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
        return "".join(part if part.startswith("```") else LINK.sub(turn, part) for part in parts)

    def _source(self, path: Path, file: str) -> str:
        """A page of a file of code, or of a folder of them."""
        if path.is_dir():
            here = posixpath.dirname(self.place(file))
            inside = sorted(p for p in path.rglob("*") if p.suffix in {*LANGUAGES, ".json"})
            lines = (
                f"- [{one.relative_to(path)}]({posixpath.relpath(self.place(name), here)})"
                for one in inside
                for name in [str(one.relative_to(self._root))]
            )
            return f"# {file}\n\n" + "\n".join(lines) + "\n"
        language = LANGUAGES.get(path.suffix, "text")
        code = path.read_text(encoding="utf-8")
        return f'# {path.name}\n\n`{file}`\n\n````{language} linenums="1"\n{code}````\n'


def _documents(root: Path) -> Iterator[str]:
    """The files of the repository that are pages of their own."""
    for pattern in ("*.md", "docs/**/*.md", "examples/*.ipynb"):
        yield from (str(path.relative_to(root)) for path in root.glob(pattern))


def _renamed(nav: list[Any], pages: Pages) -> list[Any]:
    """The navigation with places on the site for files of the repository."""
    renamed = []
    for entry in nav:
        ((title, inside),) = entry.items()
        if isinstance(inside, str):
            pages.listed.add(inside)
            renamed.append({title: pages.place(inside)})
        else:
            renamed.append({title: _renamed(inside, pages)})
    return renamed


def _handlers(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for plugin in settings["plugins"]:
        if isinstance(plugin, dict) and "mkdocstrings" in plugin:
            yield from plugin["mkdocstrings"]["handlers"].values()


def _notebook(path: Path) -> str:
    """A notebook as a page: what is said, the code, and what it answered."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            for kind in ("image/png", "image/jpeg"):
                if kind in data:
                    parts.append(f"![]({_embedded(kind, data[kind])})")
                    break
            else:
                said = "".join(output.get("text", data.get("text/plain", "")))
                parts.append(f"```text\n{said.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _embedded(kind: str, data: str | list[str]) -> str:
    return f"data:{kind};base64," + "".join(data).replace("\n", "")


class Page(HTMLParser):
    """What a built page links to, loads, and can be linked to by."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what an element refers to."""
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if LOADED.get(tag, "") in given:
            self.loads.add(given[LOADED[tag]])


def _faults(site: Path) -> Iterator[str]:
    """What Zensical does not refuse: links in what docstrings became, and loading from afar."""
    pages: dict[Path, Page] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in sorted(page.loads):
            if urlsplit(address).scheme in {"http", "https"} or address.startswith("//"):
                yield f"{name} loads {address}; keep it beside the pages."
        if name.name == "404.html":
            continue
        for address in sorted(page.links | page.loads):
            to = urlsplit(address)
            if to.scheme or to.netloc:
                continue
            target = path if not to.path else Path(os.path.normpath(path.parent / unquote(to.path)))
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name} leads to {address}, which is not there; mend the link."
            elif target in pages and unquote(to.fragment) not in pages[target].anchors:
                yield f"{name} leads to {address}, whose anchor is not there; mend the link."


def main() -> None:
    """Builds it, or says in a sentence why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "docs")
    out = parser.parse_args().out
    try:
        build(out)
    except SiteError as fault:
        sys.exit(str(fault))
    site = out / "site"
    print(f"Open {site / 'index.html'}; its search needs: python -m http.server --directory {site}")


if __name__ == "__main__":
    main()

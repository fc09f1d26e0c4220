"""Recipes with something changed, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslight.config import load_recipe
from crosslight.errors import ConfigError
from crosslight.registry import did_you_mean, method_class

_PLAIN = re.compile(r"\w([\w .+=-]*\w)?")
# A quoted text is one, but an apostrophe within a word quotes nothing.
_TOKEN = re.compile(
    r"""(?<![^\s=,:\[{]) (?: "(?:\\.|[^"\\])*" | '(?:''|[^'])*' ) | .""", re.DOTALL | re.VERBOSE
)
_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe with something changed.

    Attributes:
        name: Of its rows and folders.
        recipe: Shipped recipe or file.
        switches: Names of the changes.
        overrides: The changes themselves, as for `--set`.
    """

    name: str
    recipe: str
    switches: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


def recipe_name(recipe: str) -> str:
    """What a recipe, or a recipe's file, is called in the table."""
    return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else recipe


def switched(recipe: str, switches: Sequence[str], *, cumulative: bool) -> list[Variant]:
    """A variant for each switch; with `cumulative`, for the first, the first two and so on.

    A switch is a name that the recipe's method knows, several of them joined by `+`, or
    `NAME:KEY=VALUE,KEY=VALUE`.

    Raises:
        ConfigError: The method has no such switch.
    """
    known = method_class(load_recipe(recipe).method).switches
    made: list[Variant] = []
    names: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    for switch in switches:
        name, change = changes_of(switch, known, recipe)
        names = (*names, name) if cumulative else (name,)
        changes = (*changes, *change) if cumulative else change
        made.append(
            Variant(
                name="+".join([recipe_name(recipe), *names]),
                recipe=recipe,
                switches=names,
                overrides=changes,
            )
        )
    return made


def changes_of(
    switch: str, known: Mapping[str, Mapping[str, Any]], recipe: str
) -> tuple[str, tuple[str, ...]]:
    """The name of a switch and what it changes, as for `--set`.

    Args:
        switch: As `switched` takes it.
        known: The method's switches.
        recipe: For the sentence about a mistake.

    Raises:
        ConfigError: The method has no such switch, or the name cannot be that of a folder.
    """
    name, colon, settings = switch.partition(":")
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"The switch {switch!r} is called {name!r}, but folders and tables are named by it: "
            "letters, digits, spaces, and . _ + = - between them; give it another name, such as "
            "slow:config.lr=1e-5."
        )
    if colon:
        return name, tuple(part for part in map(str.strip, _parts(settings)) if part)
    changes: list[str] = []
    for part in [name] if name in known else name.split("+"):  # `gray+edge` is one
        if part not in known:
            hint = did_you_mean(part, known) if known else "; its method has none."
            raise ConfigError(
                f"The recipe {recipe} has no switch {part!r}{hint} Any other change is written "
                "NAME:KEY=VALUE, such as slow:config.lr=1e-5."
            )
        changes += [f"{key}={json.dumps(value)}" for key, value in known[part].items()]
    return name, tuple(changes)


def _parts(settings: str) -> list[str]:
    """What stands between commas, but for those of YAML's lists, mappings and quoted texts."""
    parts = [""]
    waits: list[str] = []  # what closes the brackets that are open
    for token in _TOKEN.findall(settings):
        if token in _CLOSING:
            waits.append(_CLOSING[token])
        elif waits and token == waits[-1]:
            waits.pop()
        if token == "," and not waits:
            parts.append("")
        else:
            parts[-1] += token
    return parts

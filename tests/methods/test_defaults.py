"""A default that every caller overrides is a number that nobody holds."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import crosslight

SOURCES = Path(crosslight.__file__).parent
ROOMS = ("nn", "methods", "losses.py")
Function = ast.FunctionDef


def _functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Name to call it by, and the function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "__init__":
                    yield node.name, inner
        elif isinstance(node, Function) and node.name != "__init__":
            yield node.name, node


def _defaults(function: Function) -> dict[str, int | None]:
    """Name of a parameter with a default → its place among those of a call, if it has one."""
    by_place = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    count = len(function.args.defaults)
    is_bound = by_place[:1] in (["self"], ["cls"])
    places: dict[str, int | None] = {
        name: place - is_bound
        for place, name in enumerate(by_place)
        if place >= len(by_place) - count
    }
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return places | {a.arg: None for a, default in named if default is not None}


def _name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)


def _gives(call: ast.Call, parameter: str, place: int | None) -> bool:
    if any(keyword.arg == parameter for keyword in call.keywords):
        return True
    return place is not None and len(call.args) > place


def _calls(trees: Iterable[ast.Module]) -> dict[str, list[ast.Call]]:
    """Name → its calls; a class is called by those that extend it too, and by their callers."""
    calls: dict[str, list[ast.Call]] = defaultdict(list)
    heirs: dict[str, list[ast.ClassDef]] = defaultdict(list)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and (name := _name(node.func)):
            calls[name].append(node)
        elif isinstance(node, ast.ClassDef):
            for base in filter(None, map(_name, node.bases)):
                heirs[base].append(node)
    for base, classes in heirs.items():
        for heir in classes:
            calls[base] += calls[heir.name]
            inner = (n for n in ast.walk(heir) if isinstance(n, ast.Call))
            calls[base] += [n for n in inner if ast.unparse(n.func) == "super().__init__"]
    return calls


def test_every_default_is_left_to_itself_by_somebody() -> None:
    trees = {
        path.relative_to(SOURCES).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCES.rglob("*.py"))
    }
    calls = _calls(trees.values())
    dead = {
        f"{name}({parameter})"
        for place, tree in trees.items()
        if place.startswith(ROOMS)
        for name, function in _functions(tree)
        for parameter, position in _defaults(function).items()
        if calls[name] and all(_gives(call, parameter, position) for call in calls[name])
    }
    # A convenience for whoever calls it by hand: random weights.
    assert dead == {"create_backbone(weights)"}

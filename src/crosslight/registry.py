"""Names of methods and where they live; a method is imported only when it is asked for."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from crosslight.errors import ConfigError
from crosslight.files import sha256_of

METHODS = {
    "agw": "crosslight.methods.agw:AGW",
    "baseline": "crosslight.methods.baseline:Baseline",
    "bdtr": "crosslight.methods.bdtr:BDTR",
    "case-net": "crosslight.methods.case_net:CaseNet",
    "case-net-aspp": "crosslight.methods.case_net:CaseNetAspp",
    "case-net-released": "crosslight.methods.case_net:CaseNetReleased",
    "cmpig": "crosslight.methods.cmpig:CmPIG",
    "d2rl": "crosslight.methods.d2rl:D2RL",
    "dgnet": "crosslight.methods.dgnet:DGNet",
    "dgnet-vi": "crosslight.methods.dgnet_vi:DGNetVI",
    "embedding-disentangle": "crosslight.methods.embedding_disentangle:EmbeddingDisentangle",
    "hicmd": "crosslight.methods.hicmd:HiCMD",
    "proposed-2020": "crosslight.methods.structure_id:Proposed2020",
    "sdl": "crosslight.methods.sdl:SDL",
    "sdl-released": "crosslight.methods.sdl:SDLReleased",
    "structure-id": "crosslight.methods.structure_id:StructureIdentity",
    "unet-disentangle": "crosslight.methods.unet_disentangle:UNetDisentangle",
    "zero-padding": "crosslight.methods.zero_padding:ZeroPadding",
}
METHOD = "crosslight.methods.contract.Method"
"""What the class of every method extends."""
ENTRY_POINT_GROUP = "crosslight.methods"
TRUSTED_VARIABLE = "CROSSLIGHT_METHODS"
"""Names the user's own method files, as PATH names folders."""

_trusted: set[Path] = set()


def method_names() -> list[str]:
    """Every method that can be trained here, own and from other packages, sorted."""
    return sorted({*METHODS, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def method_class(name: str) -> type[Any]:
    """The class registered under a name, or in a file: `/home/me/mine.py:CentrePull`.

    A file is run only if the user named it: in a recipe, or in the variable `CROSSLIGHT_METHODS`.
    A run folder from a stranger may name one too, and that must not be enough.

    Raises:
        ConfigError: No such method; a file that is absent, not trusted, or broken; or a class that
            is no method.
    """
    if name in METHODS:
        module, _, attribute = METHODS[name].partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found
    if is_file_method(name):
        return _class_in_file(name)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            loaded: type[Any] = entry.load()
            _refuse_unfit(loaded, entry.value)
            return loaded
    raise ConfigError(f"Unknown method {name!r}{did_you_mean(name, method_names())}")


def is_file_method(name: str) -> bool:
    """Whether a method is named as `FILE.py:CLASS`."""
    path, colon, _ = name.rpartition(":")
    return bool(colon) and path.endswith(".py")


def trust_file_method(name: str, folder: Path) -> str:
    """Lets the file of a method be run, because the user named it; gives its whole name.

    Args:
        name: `FILE.py:CLASS`.
        folder: What a relative path begins at.
    """
    path, _, attribute = name.rpartition(":")
    place = (folder / Path(path).expanduser()).resolve()
    _trusted.add(place)
    return f"{place}:{attribute}"


def digest_of_method(name: str) -> str | None:
    """The SHA-256 of a method's own file, which decides about weights too; None: it ships.

    Raises:
        ConfigError: The file is gone or not trusted.
    """
    if not is_file_method(name):
        return None
    return sha256_of(_trusted_place(Path(name.rpartition(":")[0])))


def _class_in_file(name: str) -> type[Any]:
    path, _, attribute = name.rpartition(":")
    place = _trusted_place(Path(path))
    found = getattr(_module_of(place), attribute, None)
    if not isinstance(found, type):
        raise ConfigError(
            f"{place} has no class {attribute!r}; name it as in `method: {place.name}:MyMethod`."
        )
    _refuse_unfit(found, f"{attribute} of {place}")
    return found


def _refuse_unfit(cls: type[Any], name: str) -> None:
    """Checks of a class that others wrote what shows before a method is made of it."""
    config = getattr(cls, "Config", None)
    if METHOD not in {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}:
        raise ConfigError(f"{name} does not extend {METHOD}; let it, or another method.")
    if cls.__abstractmethods__:
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise ConfigError(f"{name} does not define {lacking}, which every method needs; add it.")
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise ConfigError(
            f"{name} has no dataclass `Config` of its settings; write one, which extends "
            "MethodConfig, and say `Config = MyConfig` in the class."
        )
    try:
        inspect.signature(cls).bind(None, num_ids=1, height=1, width=1)
    except TypeError as error:
        raise ConfigError(
            f"The __init__ of {name} does not fit ({error}), expected `(self, config, *, num_ids, "
            "height, width)`."
        ) from error


def _trusted_place(path: Path) -> Path:
    """The file itself, or one of that name where it has moved to; both only if trusted."""
    named = [Path(p).expanduser().resolve() for p in _variable() if p]
    for place in (*_trusted, *named):
        if place == path or (place.name == path.name and place in named):
            if not place.is_file():
                raise ConfigError(f"There is no file {place}, which should hold the method.")
            return place
    raise ConfigError(
        f"The method is code of its own, {path}, and such code is run only if you say so; if you "
        f"trust it, say: export {TRUSTED_VARIABLE}={path}"
    )


def _variable() -> list[str]:
    return os.environ.get(TRUSTED_VARIABLE, "").split(os.pathsep)


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a content of the file, never the compiled one of a moment before.

    Args:
        name: Of the module.
        path: The file.
        content: What stands in it.
    """

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        found: CodeType = self.source_to_code(self._content, self.path)
        return found


def _module_of(path: Path) -> ModuleType:
    """The module of a file as it stands; that of before where nothing in it has changed.

    It may import what lies beside it, now and later, where no installed module has that name. Of
    those a process reads each name once: edited, or beside another method, it is not read again.
    """
    # Registered, because dataclasses and pickling look their module up by name.
    content = path.read_bytes()
    digest = hashlib.sha256(b"%s\0%s" % (os.fsencode(path), content)).hexdigest()[:16]
    name = f"crosslight_method_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _Loader(name, str(path), content)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"{path} cannot be imported ({type(error).__name__}: {error}); mend it first."
        ) from error
    return module


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(choices)}."

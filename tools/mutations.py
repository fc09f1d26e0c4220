"""Small faults that can be planted in a source file, one at a time: what `tools/mutants.py` tries.

Never planted: in docstrings, sentences for a user, type annotations, `__repr__`, assertions for the
type checker, and in options that only guard or save memory (`strict`, `inplace`, `frozen` ...).
"""

from __future__ import annotations

import ast
import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "src/crosslight"
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_PAIRS = (
    ("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("minimum", "maximum"),
    ("sum", "mean"), ("any", "all"), ("eval", "train"), ("floor", "ceil"), ("zeros", "ones"),
    ("zeros_like", "ones_like"), ("softmax", "log_softmax"), ("sin", "cos"),
    ("no_grad", "enable_grad"), ("relu", "sigmoid"), ("l1_loss", "mse_loss"),
)  # fmt: skip
FUNCTIONS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
NAMES = {"height": "width", "width": "height", "visible": "infrared", "infrared": "visible"}
DROPPED = {"detach", "normalize", "clamp", "clone", "abs", "sqrt", "contiguous", "float", "square"}
GUARDS = {"strict", "inplace", "non_blocking", "frozen", "kw_only", "slots", "eq", "repr", "init",
          "persistent", "where", "compute_mode", "boundscheck", "cache", "nogil", "copy", "dtype",
          "stacklevel", "description", "encoding"}  # fmt: skip
SILENT = {"__repr__", "__str__", "extra_repr"}
FOR_TESTS = {"small"}
TYPES = {"isinstance", "issubclass", "cast", "TypeVar", "Literal", "NewType", "Annotated"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One planted fault.

    Attributes:
        path: Of the file, from the repository's root.
        within: Qualified name of the function or class, "" at the top.
        statement: First line of the innermost statement.
        operator: Kind of change.
        was: The piece of source that is replaced.
        now: What replaces it.
        lines: First and last line of the statement (of its head, if it has a body).
        span: First and last byte of the piece.
        nth: Which of several with the same words.
        outermost: Qualified name of the outermost function, "" outside of functions.
        at_import: Whether the piece is computed when the file is imported.
        compiled: Whether the file holds machine code, whose lines no coverage sees.
    """

    path: str
    within: str
    statement: str
    operator: str
    was: str
    now: str
    lines: tuple[int, int]
    span: tuple[int, int]
    nth: int = 0
    outermost: str = ""
    at_import: bool = False
    compiled: bool = False

    @property
    def name(self) -> str:
        """Says which mutant this is, wherever in its file the line moves."""
        words = (self.path, self.within, self.statement, self.was, self.now, str(self.nth))
        return " | ".join(words)

    def source(self, root: Path) -> bytes:
        """The file with the fault."""
        text = (root / self.path).read_bytes()
        return text[: self.span[0]] + self.now.encode() + text[self.span[1] :]


def mutants(path: str) -> list[Mutant]:
    """All that this module can plant in a file."""
    text = (ROOT / path).read_bytes()
    tree = ast.parse(text)
    found, seen = [], defaultdict(int)
    for mutant in _Planting(text, path).all(tree):
        changed = text[: mutant.span[0]] + mutant.now.encode() + text[mutant.span[1] :]
        try:
            same = ast.dump(ast.parse(changed)) == ast.dump(tree)
        except SyntaxError:
            continue
        if not same:
            nth = seen[mutant.name]
            seen[mutant.name] += 1
            found.append(Mutant(**{**vars(mutant), "nth": nth}))
    return found


def sample(paths: Sequence[str], *, size: int, seed: int) -> list[Mutant]:
    """Draws mutants, at most one of a statement, every kind of change in it alike.

    Each draw depends on the mutant's own words and the seed, so that a change elsewhere in the
    source leaves the sample nearly as it was.
    """
    drawn = []
    for path in paths:
        statements: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in mutants(path):
            statements[f"{path} | {mutant.within} | {mutant.statement}"].append(mutant)
        for words, choices in statements.items():
            draw = random.Random(f"{seed} | {words}")
            place = draw.random()
            operator = draw.choice(sorted({mutant.operator for mutant in choices}))
            fitting = [mutant for mutant in choices if mutant.operator == operator]
            drawn.append((place, draw.choice(sorted(fitting, key=lambda m: m.name))))
    return [mutant for _, mutant in sorted(drawn, key=lambda pair: pair[0])[:size]]


class _Planting:
    def __init__(self, text: bytes, path: str) -> None:
        self._text, self._path = text, path
        self._compiled = b"@compiled" in text or b"@machine_code" in text
        self._outermost = ""
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def all(self, tree: ast.Module) -> Iterator[Mutant]:
        yield from self._body(tree.body, "")

    def _body(self, body: list[ast.stmt], within: str) -> Iterator[Mutant]:
        for statement in body:
            if not _skipped(statement):
                yield from self._statement(statement, within)

    def _statement(self, node: ast.stmt, within: str) -> Iterator[Mutant]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = f"{within}.{node.name}".removeprefix(".")
            if isinstance(node, ast.FunctionDef):
                defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
                for default in defaults:
                    yield from self._expressions(default, node, inner)
                yield from self._decorators(node, inner)
            inside = isinstance(node, ast.FunctionDef) and not self._outermost
            self._outermost = inner if inside else self._outermost
            yield from self._body(node.body, inner)
            self._outermost = "" if inside else self._outermost
            return
        for operator, piece, now in self._whole(node):
            yield self._mutant(node, within, operator, piece, now)
        if isinstance(node, ast.Raise):
            return
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "body", "orelse", "finalbody", "handlers", "cases"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr | ast.withitem):
                    yield from self._expressions(child, node, within)
        for block in ("body", "orelse", "finalbody"):
            yield from self._body(getattr(node, block, []), within)
        for handler in getattr(node, "handlers", []):
            yield from self._body(handler.body, within)

    def _whole(self, node: ast.stmt) -> Iterator[tuple[str, ast.AST, str]]:
        """What can be done to a statement as one."""
        # Without an attribute or its base class's start an object would be none: anybody notices.
        stored = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript)
        call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        call = call and not ast.unparse(node).startswith("super().__init__")
        if stored or call or isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Raise):
            yield "delete statement", node, "pass"
        if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
            other = copy.deepcopy(node)
            other.op = ARITHMETIC[type(node.op)]()
            yield "arithmetic", node, ast.unparse(other)
        leaves = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Continue)
        if leaves and not getattr(node, "orelse", []):
            yield "delete statement", node, "pass"
        if isinstance(node, ast.If | ast.While):
            yield "negate", node.test, f"not ({ast.unparse(node.test)})"
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            turned = ast.Tuple(node.value.elts[::-1], ast.Load())
            yield "return", node.value, ast.unparse(turned)
        if isinstance(node, ast.With):
            for item in node.items:
                if item.optional_vars is None:
                    now = "__import__('contextlib').nullcontext()"
                    yield "drop context", item.context_expr, now

    def _decorators(self, node: ast.FunctionDef, within: str) -> Iterator[Mutant]:
        for decorator in node.decorator_list:
            if ast.unparse(decorator) == "torch.no_grad()":
                yield self._mutant(node, within, "drop context", decorator, "torch.enable_grad()")

    def _expressions(
        self, node: ast.expr | ast.withitem, statement: ast.stmt, within: str
    ) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.Call) and _called(node) in TYPES:
            return
        if isinstance(node, ast.expr):
            for operator, now in _changes(node):
                yield self._mutant(statement, within, operator, node, now)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword):
                if child.arg not in GUARDS and not _sentence(child.value):
                    yield from self._expressions(child.value, statement, within)
            elif isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    yield from self._expressions(part, statement, within)
                for condition in child.ifs:
                    now = f"not ({ast.unparse(condition)})"
                    yield self._mutant(statement, within, "negate", condition, now)
            elif isinstance(child, ast.expr):
                yield from self._expressions(child, statement, within)

    def _mutant(
        self, statement: ast.stmt, within: str, operator: str, piece: ast.AST, now: str
    ) -> Mutant:
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) else statement.end_lineno
        first, end = self._place(piece)
        line = self._text.splitlines()[statement.lineno - 1].decode().strip()
        return Mutant(
            path=self._path,
            within=within,
            statement=line,
            operator=operator,
            was=self._text[first:end].decode(),
            now=now,
            lines=(statement.lineno, max(statement.lineno, last or 0)),
            span=(first, end),
            outermost=self._outermost,
            at_import=not self._outermost,
            compiled=self._compiled,
        )

    def _place(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )


def _skipped(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Pass):
        return True
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        bases = getattr(node, "bases", [])
        return node.name in SILENT or any(ast.unparse(b).startswith("Protocol") for b in bases)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), None)
    if isinstance(target, ast.Name):
        typed = isinstance(node, ast.AnnAssign) and node.value is None
        alias = ast.unparse(node).split("= ")[-1].startswith(tuple(TYPES))
        return typed or alias or target.id in FOR_TESTS or target.id.startswith("__")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in {"warnings.warn", "note", "update.note"}
    return isinstance(node, ast.Expr)


def _changes(node: ast.expr) -> Iterator[tuple[str, str]]:
    """Kind of change, and what stands instead of an expression."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        other = copy.deepcopy(node)
        other.ops[0] = COMPARISONS[type(node.ops[0])]()
        yield "comparison", f"({ast.unparse(other)})"
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _text(node):
        other_sum = copy.deepcopy(node)
        other_sum.op = ARITHMETIC[type(node.op)]()
        yield "arithmetic", f"({ast.unparse(other_sum)})"
    elif isinstance(node, ast.BoolOp):
        other_bool = copy.deepcopy(node)
        other_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", f"({ast.unparse(other_bool)})"
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            yield "sign", f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.IfExp):
        turned = ast.IfExp(node.test, node.orelse, node.body)
        yield "negate", f"({ast.unparse(turned)})"
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        renamed = ast.Attribute(node.value, NAMES[node.attr], node.ctx)
        yield "name", ast.unparse(renamed)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield "name", NAMES[node.id]
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        for bound in ("lower", "upper"):
            if getattr(node.slice, bound) is not None:
                open_end = copy.deepcopy(node)
                setattr(open_end.slice, bound, None)
                yield "slice", ast.unparse(open_end)


def _constants(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool):
        yield "constant", str(not value)
    elif isinstance(value, int):
        for other in {value + 1, 0, 2 * value} - {value}:
            yield "constant", str(other)
    elif isinstance(value, float):
        for changed in {2 * value, 0.0, value / 2, 1.0} - {value}:
            yield "constant", repr(changed)


def _calls(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = _called(node)
    if isinstance(node.func, ast.Attribute) and name in DROPPED and not node.args:
        yield "drop call", ast.unparse(node.func.value)
    if name in {"ConfigError", "DataError", "zip", "super", "range", "field", "len", "print"}:
        return
    if isinstance(node.func, ast.Attribute | ast.Name) and name in FUNCTIONS:
        renamed = copy.deepcopy(node)
        if isinstance(renamed.func, ast.Attribute):
            renamed.func.attr = FUNCTIONS[name]
        else:
            renamed.func = ast.Name(FUNCTIONS[name], ast.Load())
        yield "function", ast.unparse(renamed)
    if len(node.args) > 1 and all(isinstance(a, ast.Name | ast.Attribute) for a in node.args[:2]):
        turned = copy.deepcopy(node)
        turned.args[:2] = turned.args[1::-1]
        yield "exchange arguments", ast.unparse(turned)
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in GUARDS:
            without = copy.deepcopy(node)
            without.keywords.pop(place)
            yield "drop argument", ast.unparse(without)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _text(node: ast.BinOp) -> bool:
    parts = (node.left, node.right)
    if isinstance(node.op, ast.BitOr) and any(isinstance(p, ast.Constant) for p in parts):
        return True
    return any(
        isinstance(p, ast.JoinedStr) or (isinstance(p, ast.Constant) and isinstance(p.value, str))
        for p in parts
    )


def _sentence(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)

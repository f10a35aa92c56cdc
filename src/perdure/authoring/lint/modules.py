"""The user's modules as text: what they import, define and keep, and which lines are allowed what they do."""

import ast
import importlib.util
import re
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_ALLOW = re.compile(r"#\s*perdure:\s*allow\b[\s:-]*(?P<reason>.*)")
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@dataclass(slots=True)
class Names:
    """What one block of code binds: by import, by definition, by assignment."""

    imports: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    values: dict[str, ast.expr | None] = field(default_factory=dict)
    """A name and what it is assigned, None where that is more than one thing or nothing that can be read."""
    annotations: dict[str, ast.expr] = field(default_factory=dict)

    def bind(self, name: str, value: ast.expr | None) -> None:
        self.values[name] = None if name in self.values else value


class Module:
    """One source file."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        with tokenize.open(path) as file:
            self.text = file.read()
        self.tree = ast.parse(self.text, path)
        self.package = name if Path(path).stem == "__init__" else name.rpartition(".")[0]

    @cached_property
    def names(self) -> Names:
        return names_of(self.tree.body, self.package)

    @cached_property
    def changed_globals(self) -> frozenset[str]:
        """Names that some function of it declares `global`."""
        return frozenset(name for node in ast.walk(self.tree) if isinstance(node, ast.Global) for name in node.names)

    @cached_property
    def allowed(self) -> dict[int, str]:
        """Lines with `# perdure: allow REASON`, and the reasons. A comment that stands alone is about the line below it."""
        found = {}
        lines = self.text.splitlines()
        for token in tokenize.generate_tokens(iter(self.text.splitlines(keepends=True)).__next__):
            comment = _ALLOW.match(token.string) if token.type == tokenize.COMMENT else None
            if comment is not None:
                line = token.start[0]
                stands_alone = lines[line - 1].lstrip().startswith("#")
                found[line + 1 if stands_alone else line] = comment["reason"].strip()
        return found

    def defined_at(self, line: int, name: str) -> Function | None:
        """The function whose `def`, or whose first decorator, stands in this line."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and node.name == name and line in (node.lineno, first_line(node)):
                return node
        return None


class Modules:
    """Those that count as the user's: of the package the workflows stand in, or not installed as libraries are."""

    def __init__(self) -> None:
        self._found: dict[str, Module | None] = {}

    def at(self, name: str, path: str) -> Module:
        """Raises OSError, SyntaxError, UnicodeDecodeError."""
        module = self._found.get(name)
        if module is None:
            module = self._found[name] = Module(name, path)
        return module

    def find(self, name: str, beside: Module) -> Module | None:
        if name not in self._found:
            self._found[name] = self._read(name, beside)
        return self._found[name]

    def split(self, full: str, beside: Module) -> tuple[Module, str] | None:
        """The user's module in which a full name stands, and the rest of the name."""
        parts = full.split(".")
        for end in range(len(parts) - 1, 0, -1):
            module = self.find(".".join(parts[:end]), beside)
            if module is not None:
                return module, ".".join(parts[end:])
        return None

    def _read(self, name: str, beside: Module) -> Module | None:
        path = _path_of(name)
        if path is None or _top(name) == "perdure":
            return None
        if _top(name) != _top(beside.name) and path.startswith(_LIBRARIES):
            return None
        try:
            return Module(name, path)
        except (OSError, SyntaxError, UnicodeDecodeError):  # compiled, or gone: what it does cannot be read
            return None


def _top(name: str) -> str:
    return name.partition(".")[0]


def _path_of(name: str) -> str | None:
    """Where the source of a module is. Nothing is imported for it."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        path = getattr(loaded, "__file__", None)
        return path if isinstance(path, str) and path.endswith(".py") else None
    parent, _, last = name.rpartition(".")
    if parent and parent not in sys.modules:  # `find_spec` would import it
        above = _path_of(parent)
        return None if above is None or Path(above).stem != "__init__" else _below(Path(above).parent, last)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # there is no such module: the name is that of something in one
        return None
    return spec.origin if spec is not None and spec.origin is not None and spec.origin.endswith(".py") else None


def _below(folder: Path, name: str) -> str | None:
    return next((str(path) for path in (folder / f"{name}.py", folder / name / "__init__.py") if path.is_file()), None)


# ── what a block binds ───────────────────────────────────────────────────────────────────────────────────────────────


def names_of(body: list[ast.stmt], package: str) -> Names:
    """Of a module or a function, with what stands in its branches and loops, without what stands in inner functions and classes."""
    found = Names()
    for node in own_nodes(body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.functions[node.name] = node
            case ast.ClassDef():
                found.classes[node.name] = node
            case ast.Import() | ast.ImportFrom():
                found.imports.update(imported(node, package))
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) | ast.NamedExpr(target=ast.Name(id=name))
            ):
                found.bind(name, node.value)
                if isinstance(node, ast.AnnAssign):
                    found.annotations[name] = node.annotation
            case ast.withitem(optional_vars=ast.Name(id=name)):
                found.bind(name, node.context_expr)
    for node in own_nodes(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name not in found.values:
                found.bind(name, None)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                found.bind(name, None)
    return found


def own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    """What it binds, and what that is in full."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.split(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
        return
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, f"{base}.{alias.name}"


def first_line(function: Function) -> int:
    return min([function.lineno, *(one.lineno for one in function.decorator_list)])

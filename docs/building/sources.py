"""What stands in the source of a public name: its signature as it was written, its fields with what is said of them."""

import ast
import inspect
import tokenize
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of a class. `note`: the docstring below it, or the comment behind it."""

    name: str
    type: str
    default: str | None
    note: str


def public(full_name: str) -> object:
    """What users import under this name. Raises AttributeError where there is none."""
    module, _, name = full_name.rpartition(".")
    found: object = getattr(import_module(module), name)
    return found


def functions_of(thing: object, name: str) -> list[Function]:
    """The definitions of a function, in its module or class, as users can call it: the overloads where there are any."""
    body = class_source(thing).body if isinstance(thing, type) else _tree_of(thing).body
    found = [node for node in body if isinstance(node, Function) and node.name == name]
    return [node for node in found if _is_decorated(node, "overload")] or found


def class_source(thing: type) -> ast.ClassDef:
    return next(node for node in _tree_of(thing).body if isinstance(node, ast.ClassDef) and node.name == thing.__name__)


def fields_of(thing: type) -> Iterator[Field]:
    """The annotated attributes in the body of a class."""
    comments = _comments(inspect.getsourcefile(thing) or "")
    body = class_source(thing).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            default = None if node.value is None else ast.unparse(node.value)
            yield Field(node.target.id, written(node.annotation), default, _text(following) or comments.get(node.end_lineno or 0, ""))


def alias_note(full_name: str) -> str:
    """What stands below `name = …` in its module."""
    module, _, name = full_name.rpartition(".")
    home = import_module(module)
    body = _tree_of(inspect.getmodule(getattr(home, name))).body
    for node, following in pairwise(body):
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
            return _text(following) or ""
    return ""


def signature(function: Function, *, is_method: bool) -> str:
    """`(topic: str, *, timeout: Duration | None = None) -> T`, as it was written."""
    function = deepcopy(function)
    first = function.args.posonlyargs or function.args.args
    if is_method and not _is_decorated(function, "staticmethod"):
        del first[0]
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg) and argument.annotation is not None:
            argument.annotation = _Unquoted().visit(argument.annotation)
    shown = f"({ast.unparse(function.args)})"
    return shown if function.returns is None or function.name == "__init__" else f"{shown} -> {written(function.returns)}"


def is_property(function: Function) -> bool:
    return _is_decorated(function, "property")


def written(annotation: ast.expr) -> str:
    return ast.unparse(_Unquoted().visit(deepcopy(annotation)))


class _Unquoted(ast.NodeTransformer):
    """A type that is written as text, because its module is imported for types only, reads like the others."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return node if ast.unparse(node.value) == "Literal" else self.generic_visit(node)


def _is_decorated(node: Function, by: str) -> bool:
    return any(ast.unparse(mark).split(".")[-1] == by for mark in node.decorator_list)


def _text(node: ast.stmt | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def _tree_of(thing: object) -> ast.Module:
    return _tree(inspect.getsourcefile(thing) or "")


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text())


@cache
def _comments(file: str) -> dict[int, str]:
    """The comments that stand behind code, by their line."""
    with tokenize.open(file) as source:
        tokens = list(tokenize.generate_tokens(source.readline))
    return {one.start[0]: one.string.lstrip("# ") for one in tokens if one.type == tokenize.COMMENT and one.line.strip()[0] != "#"}

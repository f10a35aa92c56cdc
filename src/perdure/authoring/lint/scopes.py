"""What a name in the user's code stands for, in full: `dt.now` is `datetime.datetime.now` after `from datetime import datetime as dt`."""

import ast
import builtins
import sys
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType, ModuleType

from perdure.authoring.lint.modules import Function, Module, Modules, Names, names_of

ALIASES_MOST = 20  # from import to import; a circle must end
_TASKS = ("create_task(", "ensure_future(", "create_future(")
_SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
_SET_TYPES = frozenset({"builtins.set", "builtins.frozenset", "typing.AbstractSet", "collections.abc.Set", "collections.abc.MutableSet"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Where code stands: its module, and the functions around it, the innermost first."""

    modules: Modules
    module: Module
    functions: tuple[Names, ...] = ()
    bodies: tuple[ast.AST, ...] = ()

    def inside(self, function: "Function | ast.Lambda") -> "Scope":
        names = Names() if isinstance(function, ast.Lambda) else names_of(function.body, self.module.package)
        arguments = function.args
        for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
            if one is not None:
                names.values[one.arg] = None
                if one.annotation is not None:
                    names.annotations[one.arg] = one.annotation
        return replace(self, functions=(names, *self.functions), bodies=(function, *self.bodies))

    def outside(self) -> "Scope":
        """The module itself."""
        return replace(self, functions=(), bodies=())

    # ── names in full ────────────────────────────────────────────────────────────────────────────────────────────────

    def full_name(self, node: ast.expr) -> str | None:
        """None for what is local, computed or unknown."""
        found = self._spelt(node, 0)
        return None if found is None else self.canonical(found)

    def _spelt(self, node: ast.expr, depth: int) -> str | None:
        if isinstance(node, ast.Attribute):
            base = self._spelt(node.value, depth)
            return None if base is None else f"{base}.{node.attr}"
        if not isinstance(node, ast.Name) or depth > ALIASES_MOST:
            return None
        for names in self.functions:
            if node.id in names.imports:
                return names.imports[node.id]
            if node.id in names.functions or node.id in names.classes:
                return None
            if node.id in names.values:
                return self._alias(names.values[node.id], depth)
        return self._in_module(node.id, depth)

    def _alias(self, value: ast.expr | None, depth: int) -> str | None:
        return self._spelt(value, depth + 1) if isinstance(value, ast.Name | ast.Attribute) else None

    def _in_module(self, name: str, depth: int) -> str | None:
        names = self.module.names
        if name in names.imports:
            return names.imports[name]
        if name in names.functions or name in names.classes:
            return f"{self.module.name}.{name}"
        if name in names.values:
            return self.outside()._alias(names.values[name], depth) or f"{self.module.name}.{name}"
        return self._loaded(name) or (f"builtins.{name}" if hasattr(builtins, name) else None)

    def _loaded(self, name: str) -> str | None:
        """What only the loaded module knows, such as what `from time import *` brought."""
        value = getattr(sys.modules.get(self.module.name), "__dict__", {}).get(name)
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, FunctionType | BuiltinFunctionType | type) and value.__module__:
            return f"{value.__module__}.{value.__qualname__}"
        return None

    def canonical(self, full: str) -> str:
        """Through the user's own modules that only pass a name on."""
        for _ in range(ALIASES_MOST):
            found = self.modules.split(full, self.module)
            if found is None:
                return full
            module, rest = found
            first, dot, more = rest.partition(".")
            source = module.names.imports.get(first)
            if source is None or f"{source}{dot}{more}" == full:
                return full
            full = f"{source}{dot}{more}"
        return full

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def kind_of(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """The full name of the class, or of the function, that made this object: `httpx.AsyncClient`."""
        match node:
            case ast.Await(value=value):
                return self.kind_of(value, depth)
            case ast.Call(func=func):
                return self.full_name(func)
            case ast.BinOp(left=left, op=ast.Div()):
                return self.kind_of(left, depth)
            case ast.Name(id=name) if depth < ALIASES_MOST:
                for names in self.functions:
                    if name in names.annotations:
                        return self.full_name(names.annotations[name])
                    if name in names.values:
                        return self.kind_of(names.values[name], depth + 1)
                return self.kept_kind(self.full_name(node) or "")
        return None

    def kept_kind(self, full: str) -> str | None:
        """The same of an object that one of the user's modules keeps under this full name."""
        found = self.modules.split(full, self.module)
        if found is None or found[1] not in found[0].names.values:
            return None
        value = found[0].names.values[found[1]]
        return None if isinstance(value, ast.Name) else replace(self.outside(), module=found[0]).kind_of(value)

    # ── sets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def is_set(self, node: ast.expr | None, depth: int = 0) -> bool:
        """Whether it certainly is a set whose order is not the same in every process. Tasks are ordered by perdure, numbers hash alike."""
        match node:
            case ast.Set(elts=elements):
                return not all(isinstance(one, ast.Constant) and isinstance(one.value, int | float) for one in elements)
            case ast.SetComp(elt=element):
                return not any(mark in ast.unparse(element) for mark in _TASKS)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _SET_METHODS:
                return self.is_set(value, depth)
            case ast.Call(func=func):
                return self.full_name(func) in _SET_TYPES and not any(mark in ast.unparse(node) for mark in _TASKS)
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
                return self.is_set(left, depth) or self.is_set(right, depth) or (_is_keys(left) and _is_keys(right))
            case ast.Name(id=name) if depth < ALIASES_MOST:
                return self._is_set_name(node, name, depth)
        return False

    def _is_set_name(self, node: ast.Name, name: str, depth: int) -> bool:
        for names, body in zip(self.functions, self.bodies, strict=True):
            if name in names.annotations:
                return self._is_set_type(names.annotations[name])
            if name in names.values:
                return self.is_set(names.values[name], depth + 1) and not _gathers_tasks(body, name)
        found = self.modules.split(self.full_name(node) or "", self.module)
        if found is None or found[1] not in found[0].names.values:
            return False
        return replace(self.outside(), module=found[0]).is_set(found[0].names.values[found[1]], depth + 1)

    def _is_set_type(self, annotation: ast.expr) -> bool:
        plain = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        text = ast.unparse(annotation)
        return self.full_name(plain) in _SET_TYPES and not any(
            f"{word}]" in text or f"{word}[" in text for word in ("Task", "Future", "int")
        )


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"keys", "items"}


def _gathers_tasks(body: ast.AST, name: str) -> bool:
    for node in ast.walk(body):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=other), attr="add"), args=[given]) if other == name:
                if any(mark in ast.unparse(given) for mark in _TASKS) or ast.unparse(given) in {"task", "future"}:
                    return True
    return False

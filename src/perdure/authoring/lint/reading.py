"""Goes through the code of workflows, and of every function of the user's that it calls, and notes what a replay would not repeat."""

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from perdure.authoring.lint.advice import HARMLESS_WITH_ARGUMENTS, METHODS, SHARED, Advice, advice_for, advice_for_method, words
from perdure.authoring.lint.modules import Function, Module, Modules, first_line
from perdure.authoring.lint.scopes import Scope
from perdure.authoring.step import Step, StepCall
from perdure.authoring.workflow import Workflow

_DURABLE = frozenset({"perdure.step", "perdure.workflow", "perdure.authoring.step.step", "perdure.authoring.workflow.workflow"})
_ORDER_FREE = frozenset(f"builtins.{name}" for name in words("sorted set frozenset len sum min max any all"))
_ORDERED = frozenset(f"builtins.{name}" for name in words("list tuple enumerate iter map filter zip next dict")) | {
    "builtins.dict.fromkeys",
    "asyncio.as_completed",
}
_MUTATORS = words(
    """append appendleft extend extendleft insert remove pop popleft popitem clear add discard update setdefault subtract sort
    reverse intersection_update difference_update symmetric_difference_update"""
)
_CONTAINERS = frozenset(
    {f"builtins.{name}" for name in words("list dict set bytearray")}
    | {f"collections.{name}" for name in words("deque defaultdict Counter OrderedDict")}
)
_SET_ORDER = Advice("is a set, whose order differs from process to process", "use sorted(…), a list, or dict.fromkeys(…)")
_GLOBAL = Advice("changes what all runs of this process share, and is not recorded", "keep it in the workflow, or in a @step")
_CHANGED_GLOBAL = Advice("is changed while the program runs, so a replay may see another value", "give it to the workflow as an argument")


@dataclass(frozen=True, slots=True)
class CodeFinding:
    """One line of workflow code that a replay would not repeat. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    name: str
    text: str
    workflow: str


class Reading:
    """Of several workflows: what one has noted, another does not note again."""

    def __init__(self) -> None:
        self.findings: dict[tuple[str, int, int], CodeFinding] = {}
        self._modules = Modules()
        self._seen: set[tuple[str, int]] = set()
        self._workflow = ""
        self._in = ""

    def read(self, workflow: Workflow[..., object]) -> None:
        self._workflow = workflow.name
        code = getattr(workflow.function, "__code__", None)
        module_name = workflow.function.__module__
        path = getattr(code, "co_filename", "")
        try:
            module = self._modules.at(module_name, path)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            self._cannot_be_read(path, str(error))
            return
        function = None if code is None else module.defined_at(code.co_firstlineno, code.co_name)
        if function is None:
            self._cannot_be_read(path, "it is not where its code says")
            return
        self._in = ""
        self._follow(Scope(self._modules, module), function)

    def _cannot_be_read(self, path: str, why: str) -> None:
        text = f"the source of workflow {self._workflow!r} cannot be read ({why}); so nothing is known of it"
        self.findings[path, 1, 1] = CodeFinding(path, 1, 1, self._workflow, text, self._workflow)

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _follow(self, scope: Scope, function: Function) -> None:
        key = (scope.module.path, function.lineno)
        if key in self._seen or self._is_allowed(scope.module, range(first_line(function), function.body[0].lineno), function):
            return
        self._seen.add(key)
        outer, self._in = self._in, function.name
        self._body(scope, function)
        self._in = outer

    def _body(self, scope: Scope, function: Function) -> None:
        inner = scope.inside(function)
        for default in [*function.args.defaults, *(one for one in function.args.kw_defaults if one is not None)]:
            self._visit(default, scope)
        for statement in function.body:
            self._visit(statement, inner)

    def _follow_own(self, full: str, scope: Scope) -> bool:
        """Whether it is a function or class of the user's; then it was read."""
        found = self._modules.split(full, scope.module)
        if found is None:
            return False
        module, rest = found
        here = Scope(self._modules, module)
        first, _, method = rest.partition(".")
        if first in module.names.functions and not method:
            if not self._is_durable(module.names.functions[first], here):
                self._follow(here, module.names.functions[first])
            return True
        if first not in module.names.classes:
            return False
        for one in module.names.classes[first].body:
            if isinstance(one, Function) and one.name in ({method} if method else {"__init__", "__post_init__", "__new__"}):
                self._follow(here, one)
        return True

    def _is_durable(self, function: Function, scope: Scope) -> bool:
        """A step, which may do anything, or another workflow, which is read by itself."""
        loaded = getattr(sys.modules.get(scope.module.name), "__dict__", {}).get(function.name)
        if not scope.functions and isinstance(loaded, Step | StepCall | Workflow):
            return True
        return any(self._marks_durable(mark, scope) for mark in function.decorator_list)

    def _marks_durable(self, mark: ast.expr, scope: Scope) -> bool:
        made_by = mark.func if isinstance(mark, ast.Call) else mark
        return scope.full_name(made_by) in _DURABLE or scope.kind_of(made_by) in _DURABLE

    # ── walking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _visit(self, node: ast.AST, scope: Scope, *, in_order: bool = True) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if not self._is_durable(node, scope):
                    self._body(scope, node)
                return
            case ast.Lambda():
                self._visit(node.body, scope.inside(node))
                return
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                self._reference(node, scope, None)
                return
            case ast.Call():
                self._call(node, scope)
                return
            case ast.AnnAssign():
                self._visit_all([one for one in (node.target, node.value) if one is not None], scope)
            case ast.ExceptHandler():
                self._visit_all(node.body, scope)
            case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() | ast.SetComp():
                for one in node.generators:
                    if in_order and not isinstance(node, ast.SetComp):
                        self._refuse_set(one.iter, scope)
                self._visit_all(ast.iter_child_nodes(node), scope)
            case _:
                self._visit_all(ast.iter_child_nodes(node), scope)
        self._statement(node, scope)

    def _visit_all(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        for node in nodes:
            self._visit(node, scope)

    def _statement(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.For() | ast.AsyncFor():
                self._refuse_set(node.iter, scope)
            case ast.Starred(value=value, ctx=ast.Load()) | ast.Assign(targets=[ast.Tuple() | ast.List()], value=value):
                self._refuse_set(value, scope)
            case ast.Global(names=names):
                self._note(scope, node, f"global {', '.join(names)}", _GLOBAL)
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                for target in targets:
                    self._refuse_shared(target, scope)
            case ast.AugAssign(target=target):
                self._refuse_shared(target, scope)

    # ── calls and names ──────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, call: ast.Call, scope: Scope) -> None:
        full = scope.full_name(call.func)
        is_free = full in _ORDER_FREE
        if isinstance(call.func, ast.Name | ast.Attribute):
            self._reference(call.func, scope, call)
        else:
            self._visit(call.func, scope)
        if full in _ORDERED or (isinstance(call.func, ast.Attribute) and call.func.attr == "join"):
            for one in call.args:
                self._refuse_set(one, scope)
        if isinstance(call.func, ast.Attribute):
            self._method(call.func, call, scope)
        for one in [*call.args, *(keyword.value for keyword in call.keywords)]:
            self._visit(one, scope, in_order=not is_free)

    def _method(self, method: ast.Attribute, call: ast.Call, scope: Scope) -> None:
        if method.attr == "pop" and not call.args and scope.is_set(method.value):
            self._note(scope, call, ast.unparse(method.value), _SET_ORDER)
        elif method.attr in _MUTATORS and self._is_kept_container(method.value, scope):
            self._note(scope, call, ast.unparse(call.func), _GLOBAL)

    def _reference(self, node: ast.Name | ast.Attribute, scope: Scope, call: ast.Call | None) -> None:
        full = scope.full_name(node)
        if full is not None:
            advice = self._advice(full, call)
            if advice is not None:
                self._note(scope, node, full, advice)
                return
            if self._kept(full, node, scope) or self._follow_own(full, scope):
                return
        if not isinstance(node, ast.Attribute):
            return
        if full is None:
            self._object(node, scope, call)
        self._visit(node.value, scope)

    def _advice(self, full: str, call: ast.Call | None) -> Advice | None:
        """A class is only told when it is called: it may stand in a hint or an `except`."""
        if call is None and full.rpartition(".")[2][:1].isupper():
            return None
        if full in HARMLESS_WITH_ARGUMENTS and (call is None or len(call.args) + len(call.keywords) >= HARMLESS_WITH_ARGUMENTS[full]):
            return None
        return advice_for(full)

    def _object(self, node: ast.Attribute, scope: Scope, call: ast.Call | None) -> None:
        """A method of an object whose class can be read, or one that is told by its name."""
        kind = scope.kind_of(node.value)
        advice = METHODS.get(node.attr) if kind is None else advice_for_method(kind, node.attr)
        if advice is not None and call is not None:
            self._note(scope, node, ast.unparse(node), advice)
        elif kind is not None:
            self._follow_own(f"{kind}.{node.attr}", scope)

    # ── what modules keep ────────────────────────────────────────────────────────────────────────────────────────────

    def _kept(self, full: str, node: ast.Name | ast.Attribute, scope: Scope) -> bool:
        """Whether it is an object that a module of the user's keeps, or its method; then what is wrong with that was noted."""
        found = self._modules.split(full, scope.module)
        if found is None:
            return False
        module, rest = found
        first, _, method = rest.partition(".")
        if first not in module.names.values:
            return False
        kind = scope.kept_kind(f"{module.name}.{first}") or ""
        advice = SHARED.get(kind) or advice_for_method(kind, method)
        if advice is None and first in module.changed_globals:
            advice = _CHANGED_GLOBAL
        if advice is not None:
            self._note(scope, node, ast.unparse(node), advice)
        elif method and kind:
            self._follow_own(f"{kind}.{method}", scope)
        return True

    def _is_kept_container(self, node: ast.expr, scope: Scope) -> bool:
        found = self._modules.split(scope.full_name(node) or "", scope.module)
        if found is None or found[1] not in found[0].names.values:
            return False
        value = found[0].names.values[found[1]]
        is_display = isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        return is_display or scope.kept_kind(f"{found[0].name}.{found[1]}") in _CONTAINERS

    def _refuse_shared(self, target: ast.expr, scope: Scope) -> None:
        """`x[…] = …` and `x.y = …` where x belongs to a module."""
        if not isinstance(target, ast.Subscript | ast.Attribute):
            return
        root = target.value
        while isinstance(root, ast.Subscript):
            root = root.value
        full = scope.full_name(root)
        if full is not None and not full.startswith("builtins."):
            self._note(scope, target, ast.unparse(target), _GLOBAL)

    def _refuse_set(self, node: ast.expr, scope: Scope) -> None:
        if scope.is_set(node):
            self._note(scope, node, ast.unparse(node), _SET_ORDER)

    # ── noting ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, scope: Scope, node: ast.stmt | ast.expr, name: str, advice: Advice) -> None:
        if self._is_allowed(scope.module, range(node.lineno, (node.end_lineno or node.lineno) + 1), node):
            return
        key = (scope.module.path, node.lineno, node.col_offset + 1)
        name = name.removeprefix("builtins.")
        where = "" if self._in == self._workflow else f" (in {self._in}, which workflow {self._workflow} calls)"
        text = f"{name if len(name) < 60 else name[:59] + '…'} {advice.does}: {advice.instead}{where}"
        self.findings.setdefault(key, CodeFinding(*key, name, text, self._workflow))

    def _is_allowed(self, module: Module, lines: Iterable[int], node: ast.stmt | ast.expr) -> bool:
        reason = next((module.allowed[line] for line in lines if line in module.allowed), None)
        if reason == "":
            key = (module.path, node.lineno, node.col_offset + 1)
            text = "this allowance gives no reason: write `# perdure: allow REASON`"
            self.findings.setdefault(key, CodeFinding(*key, "perdure: allow", text, self._workflow))
        return reason is not None

"""The rules of style that a program can check: each takes a file and yields what breaks it, as `path:line what`."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator

from tests.tidy.project import Source

Rule = Callable[[Source], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef

FILE_LINES_MOST = 400
FUNCTION_LINES_MOST = 60
SAYS_NOTHING = {"base", "common", "core", "general", "helper", "helpers", "misc", "shared", "util", "utilities", "utils"}
ONLY_IMPORTED_BY_OTHERS = {("src/perdure/testing/pytest_plugin.py", "pytest"): "pytest imports it, and nothing else does"}
EXTRAS = {
    "src/perdure/store/postgresql/": "asyncpg",
    "src/perdure/store/postgresql/drivers/of_psycopg.py": "psycopg",
    "src/perdure/store/postgresql/drivers/of_sqlalchemy.py": "sqlalchemy",
}
"""Rooms that are entered only by those who have installed the extra, and what it brings."""
INSTALLED_WITH_CORE = {"apsw", "click", "perdure", "pydantic", "pydantic_core", "typing_extensions"}
RUNS_STORED_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


def has_docstring(source: Source) -> Iterator[str]:
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield f"{source.path}:1 has no docstring: one sentence that says its subject"


def is_short(source: Source) -> Iterator[str]:
    if len(source.lines) > FILE_LINES_MOST:
        yield f"{source.path}:1 has {len(source.lines)} lines, more than {FILE_LINES_MOST}: it has two subjects"
    for function in functions(source.tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES_MOST:
            yield f"{source.path}:{function.lineno} {function.name} has {length} lines, more than {FUNCTION_LINES_MOST}"


def is_named_for_its_subject(source: Source) -> Iterator[str]:
    for part in source.path.removesuffix(".py").split("/"):
        if SAYS_NOTHING & set(part.split("_")):
            yield f"{source.path}:1 the name {part!r} does not say a subject"


def swallows_nothing_silently(source: Source) -> Iterator[str]:
    """An `except` that only passes, goes on or logs, and `suppress`, need a comment that gives the reason."""
    reasons = comment_lines(source.text)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and all(does_nothing(statement) for statement in node.body):
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            what = "swallows"
        elif isinstance(node, ast.With | ast.AsyncWith) and any("suppress" in ast.unparse(item) for item in node.items):
            span = range(node.lineno - 1, node.body[0].lineno + 1)
            what = "suppresses"
        else:
            continue
        if not reasons & set(span):
            yield f"{source.path}:{node.lineno} {what} an exception without a comment that says why"


def does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass | ast.Continue):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) or "log" in ast.unparse(statement.value).split(".")[0].lower()
    return False


def needs_the_core_only(source: Source) -> Iterator[str]:
    """At the top of a module only what a plain `pip install perdure` brings; extras are imported where they are used."""
    for node in source.tree.body:
        for module in imported_modules(node):
            if (source.path, module) in ONLY_IMPORTED_BY_OTHERS or is_of_an_extra(source.path, module):
                continue
            if module not in INSTALLED_WITH_CORE and module not in sys.stdlib_module_names:
                yield f"{source.path}:{node.lineno} imports {module}, which is not installed with the core, at the top"


def is_of_an_extra(path: str, module: str) -> bool:
    return any(module == brought and path.startswith(room) for room, brought in EXTRAS.items())


def never_runs_stored_code(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        for module in RUNS_STORED_CODE.intersection(imported_modules(node)):
            yield f"{source.path}:{node.lineno} imports {module}: what is stored is data, never code"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
            yield f"{source.path}:{node.lineno} calls {node.func.id}"


def switches_no_check_off(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.lines, 1):
        if re.search(r"#\s*type:\s*ignore|#\s*mypy:|pragma: no cover", line):
            yield f"{source.path}:{number} switches the type checker or the coverage off"


def gives_reasons_for_lint_exceptions(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.lines, 1):
        exception = re.search(r"#\s*(?:ruff:\s*)?noqa(?P<rest>.*)", line)
        if exception and not re.match(r":\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*\s+\S*\s*\w+ \w+", exception["rest"]):
            yield f"{source.path}:{number} a noqa names its rule and then its reason"


def does_not_sleep_to_wait(source: Source) -> Iterator[str]:
    """Inside tests and fixtures. A sleep in a sample workflow is durable and meant."""
    called = dict(outside_names(source.tree))
    for function in functions(source.tree):
        if not function.name.startswith("test_") and not any("fixture" in ast.unparse(mark) for mark in function.decorator_list):
            continue
        for node in own_nodes(function):
            if isinstance(node, ast.Call) and called.get(node.func) in {"time.sleep", "asyncio.sleep"} and not is_zero(node):
                yield f"{source.path}:{node.lineno} {function.name} sleeps: advance the clock or await what you wait for"


def is_zero(call: ast.Call) -> bool:
    return len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


# ── reading Python ───────────────────────────────────────────────────────────────────────────────────────────────────


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module.split(".")[0]]
    return []


def comment_lines(text: str) -> set[int]:
    """The lines with a comment of at least three words."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT and len(token.string.split()) > 3}


def outside_names(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every use of an imported name, spelt in full: after `from asyncio import sleep as nap`, `nap` is `asyncio.sleep`."""
    full = {bound: name for node in ast.walk(tree) for bound, name in imported_names(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (spelt := dotted(node)):
            first, _, rest = spelt.partition(".")
            if first in full:
                yield node, f"{full[first]}.{rest}" if rest else full[first]


def imported_names(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What an import statement binds, and what that is in full."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.split(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return before and f"{before}.{node.attr}"
    return None

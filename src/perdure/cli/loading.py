"""From APP on the command line to the workflows in it."""

import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.authoring.workflow import Workflow
from perdure.cli.complaints import Complaint
from perdure.cli.exits import Exit

Found = Workflow[..., Any]


def load_apps(apps: Sequence[str]) -> list[Found]:
    """The workflows of several APPs; one that two of them bring is one."""
    return _unique(" and ".join(apps), [one for app in apps for one in load_workflows(app)])


def load_workflows(app: str) -> list[Found]:
    """APP is file.py, package.module, or either with `:name` of a workflow or a list of them. Complains of whatever is wrong with it."""
    place, _, attribute = app.rpartition(":") if _names_attribute(app) else (app, "", "")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    found = _listed(module, attribute) if attribute else [one for one in vars(module).values() if isinstance(one, Workflow)]
    if not found:
        raise Complaint(f"{app} has no workflows", _what_was_meant(module))
    return _unique(app, found)


def _names_attribute(app: str) -> bool:
    return ":" in app and app.rpartition(":")[2].isidentifier()


# ── importing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise Complaint(f"there is no file {path}", f"you are in {Path.cwd()}; give the file's path, or a package.module", Exit.USAGE)
    name = path.stem
    if name in sys.modules:
        if getattr(sys.modules[name], "__file__", None) == str(path.resolve()):
            return sys.modules[name]
        raise Complaint(f"{path} has the name of a module that is loaded already, {name!r}", "rename it, or give it as package.module")
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise Complaint(f"{path} cannot be loaded as Python", "give a .py file or a package.module")
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours can be imported, as under `python file.py`
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise _import_failed(str(path), error) from error
    return module


def _load_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise Complaint(f"{name!r} is neither a .py file nor the name of a module", "APP is file.py, package.module or package.module:list")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            remedy = f"you are in {Path.cwd()}; go to the folder that holds it, or give a file: {name.replace('.', '/')}.py"
            raise Complaint(f"there is no module {error.name!r}", remedy) from error
        raise _import_failed(name, error) from error
    except BaseException as error:
        raise _import_failed(name, error) from error


def _import_failed(app: str, error: BaseException) -> BaseException:
    """The user's own traceback goes before the two lines; what only the loading did is left out of it."""
    if isinstance(error, KeyboardInterrupt):
        return error
    trace = traceback.TracebackException.from_exception(error)
    own = [frame for frame in trace.stack if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")]
    trace.stack = traceback.StackSummary.from_list(own)
    if own or isinstance(error, SyntaxError):
        sys.stderr.write("".join(trace.format(chain=True)))
    remedy = "the last frame above is where to look"
    if isinstance(error, ImportError) and "relative import" in str(error):
        remedy = "this file belongs to a package: give it as package.module, from the folder that holds the package"
    return Complaint(f"{app} could not be imported: {type(error).__name__}: {error}", remedy)


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _listed(module: ModuleType, attribute: str) -> list[Found]:
    value = getattr(module, attribute, None)
    if value is None:
        raise Complaint(f"module {module.__name__!r} has no {attribute!r}", "name a workflow or a list of workflows that it defines")
    members: Iterable[Any] = [value] if isinstance(value, Workflow) or not isinstance(value, list | tuple | set | frozenset) else value
    found = list(members)
    for one in found:
        if not isinstance(one, Workflow):
            raise Complaint(f"{module.__name__}:{attribute} holds {one!r}, which is no workflow", "decorate the function with @workflow")
    return found


def _what_was_meant(module: ModuleType) -> str:
    plain = [name for name, one in vars(module).items() if iscoroutinefunction(one) and one.__module__ == module.__name__]
    if plain:
        return f"decorate it: @workflow above `async def {plain[0]}`"
    return "a workflow is an `async def` with @workflow above it, defined in or imported into this module"


def _unique(app: str, found: list[Found]) -> list[Found]:
    """Each once; two of one name are refused, for runs know their workflow by name."""
    named: dict[str, Found] = {}
    for one in found:
        other = named.setdefault(one.name, one)
        if other is not one:
            raise Complaint(
                f"{app} has two workflows of the name {one.name!r}: {_place_of(other)} and {_place_of(one)}",
                "give one of them another name: @workflow(name=…)",
            )
    return list(named.values())


def _place_of(one: Found) -> str:
    code = getattr(one.function, "__code__", None)
    return f"{one.function.__qualname__} ({code.co_filename}:{code.co_firstlineno})" if code else one.function.__qualname__

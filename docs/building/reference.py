"""Public names as pages show them: Markdown with the directives of Sphinx's Python domain, from sources and docstrings."""

import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass

import perdure.errors
from building import sources
from building.names import error_names, linked


class NotDocumented(ValueError):
    """A name that a page asks for does not exist, or says nothing of itself."""


def described(full_name: str, members: list[str]) -> str:
    """One public name: a function, a class with these of its members, or an exception."""
    try:
        thing = sources.public(full_name)
    except (AttributeError, ImportError) as error:
        raise NotDocumented(f"there is no {full_name}") from error
    if isinstance(thing, type) and thing.__name__ != full_name.rpartition(".")[2]:
        return "\n".join(_alias(full_name, thing))
    if isinstance(thing, type):
        return "\n".join(_class(full_name, thing, members))
    return "\n".join(_function("function", full_name, thing, inspect.getmodule(thing), is_method=False))


def errors() -> str:
    """The tree of errors, and each of them."""
    tree = (inspect.getdoc(perdure.errors) or "").partition("\n\n")[2]
    return "\n".join(["```text", tree, "```", "", *(described(f"perdure.errors.{name}", []) for name in error_names())])


def _class(full_name: str, thing: type, members: list[str]) -> Iterator[str]:
    kind = "exception" if issubclass(thing, BaseException) else "class"
    yield f":::::{{py:{kind}}} {full_name}{_constructor(thing)}"
    yield ""
    yield from _docstring(full_name, thing)
    construction = vars(thing).get("__init__")
    if not is_dataclass(thing) and getattr(construction, "__doc__", None):
        yield from _docstring(f"{full_name}.__init__", construction)
    code = vars(thing).get("code")
    if isinstance(code, str):
        yield f"Code: `{code}`"
        yield ""
    if is_dataclass(thing):
        for one in sources.fields_of(thing):
            yield from _attribute(full_name, one)
    for member in members:
        yield from _member(full_name, thing, member)
    yield ":::::"


def _alias(full_name: str, thing: type) -> Iterator[str]:
    """A second name of a class, in lower case because it reads as a word."""
    yield from [
        f"::::{{py:data}} {full_name}",
        f"`{thing.__name__}` by another name.",
        "",
        linked(sources.alias_note(full_name)),
        "::::",
        "",
    ]


def _constructor(thing: type) -> str:
    if "__init__" not in vars(thing) or is_dataclass(thing):
        return ""
    definitions = sources.functions_of(thing, "__init__")
    return sources.signature(definitions[0], is_method=True) if definitions else ""


def _attribute(owner: str, field: sources.Field) -> Iterator[str]:
    yield f"::::{{py:attribute}} {owner}.{field.name}"
    yield f":type: {field.type}"
    yield ""
    yield linked(field.note)
    yield "::::"
    yield ""


def _member(owner: str, thing: type, name: str) -> Iterator[str]:
    definer = next((one for one in thing.__mro__ if name in vars(one)), None)
    if definer is None:
        raise NotDocumented(f"there is no {owner}.{name}")
    if isinstance(vars(definer)[name], property):
        yield f"::::{{py:property}} {owner}.{name}"
        yield f":type: {sources.written(sources.functions_of(definer, name)[0].returns)}"
        yield ""
        yield from _docstring(f"{owner}.{name}", getattr(definer, name))
        yield "::::"
        yield ""
        return
    yield from _function("method", f"{owner}.{name}", getattr(definer, name), definer, is_method=True)


def _function(kind: str, full_name: str, thing: object, home: object, *, is_method: bool) -> Iterator[str]:
    """Each way to call it, and under the last one what it says of itself."""
    name = full_name.rpartition(".")[2]
    ways = sources.functions_of(home, name)
    for number, way in enumerate(ways):
        is_last = number == len(ways) - 1
        yield f"::::{{py:{kind}}} {full_name}{sources.signature(way, is_method=is_method)}"
        if isinstance(vars(home).get(name), classmethod):
            yield ":classmethod:"
        if inspect.iscoroutinefunction(thing):
            yield ":async:"
        if not is_last:
            yield ":no-index:"
        yield ""
        if is_last:
            yield from _docstring(full_name, thing)
        yield "::::"
        yield ""


def _docstring(full_name: str, thing: object) -> Iterator[str]:
    text = inspect.getdoc(thing)
    if not text:
        raise NotDocumented(f"{full_name} has no docstring")
    yield linked(text)
    yield ""

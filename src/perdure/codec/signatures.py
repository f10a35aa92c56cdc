"""The parameters of a function: what a call gives them, and what its stored arguments are called with."""

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from inspect import Parameter
from typing import Any

import typing_extensions

from perdure.codec.hints import hints_of
from perdure.codec.typed_dicts import modern
from perdure.codec.values import Codec
from perdure.errors import BadInput

POSITIONAL = "*"  # the name under which arguments without a name are stored

REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Shape:
    """What is known about the parameters of a function once it is first called."""

    def __init__(self, function: Callable[..., object], namespace: Mapping[str, Any], skipped: int = 0) -> None:
        parameters = list(inspect.signature(function).parameters.values())[skipped:]
        self.signature = inspect.Signature([parameter.replace(annotation=Parameter.empty) for parameter in parameters])
        self.names = tuple(p.name for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD))
        self.nameless = tuple(p.name for p in parameters if p.kind is Parameter.POSITIONAL_ONLY)
        self.required = [p.name for p in parameters if p.kind not in REST and p.default is Parameter.empty]
        self.namespace = namespace
        hints, problems = hints_of(function, namespace)
        self.codecs: dict[str, Codec] = {}
        self.others: Codec | None = None  # for what **kwargs takes
        for p in parameters:
            hint: Any = hints.get(p.name, Any)
            problem = problems.get(p.name, "")
            if p.kind is Parameter.VAR_POSITIONAL:
                self.codecs[POSITIONAL] = Codec(list.__class_getitem__(hint), namespace, problem)
            elif p.kind is Parameter.VAR_KEYWORD:
                self.others = Codec(hint, namespace, problem)
            else:
                self.codecs[p.name] = Codec(hint, namespace, problem)
        self.is_open = bool(self.nameless) or self.others is not None or POSITIONAL in self.codecs

    @cached_property
    def whole(self) -> Codec | None:
        """One codec for all parameters at once, faster than one for each; None for a shape it cannot express."""
        if self.is_open or any(codec.problem for codec in self.codecs.values()):
            return None
        fields: dict[str, Any] = {}
        for name, codec in self.codecs.items():
            mark: Any = typing_extensions.Required if name in self.required else typing_extensions.NotRequired
            fields[name] = mark[modern(codec.hint)]
        create: Any = typing_extensions.TypedDict
        whole = Codec(create("Arguments", fields), self.namespace, is_closed=True)
        return whole if whole.schema is not None else None

    def codec_of(self, name: str) -> Codec:
        codec = self.codecs.get(name, self.others)
        assert codec is not None, "check_names comes first"
        return codec

    def named_arguments(self, args: tuple[object, ...], kwargs: Mapping[str, object], what: str) -> dict[str, object]:
        """What a call gives, by parameter name. Which names are missing or unknown is left to the codec and to `check_names`."""
        if self.is_open:
            return self.bound(args, kwargs, what)
        given = dict(zip(self.names, args, strict=False))
        if len(given) < len(args) or (kwargs and not given.keys().isdisjoint(kwargs)):
            return self.bound(args, kwargs, what)
        return self.in_order({**given, **kwargs}) if kwargs else given

    def in_order(self, given: dict[str, object]) -> dict[str, object]:
        """By the order of the signature, so that one call is one payload in whatever order its names are written."""
        ordered = {name: given[name] for name in self.codecs if name in given}
        return ordered if len(ordered) == len(given) else ordered | given

    def bound(self, args: tuple[object, ...], kwargs: Mapping[str, object], what: str) -> dict[str, object]:
        try:
            arguments = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise BadInput(f"{what}: {error}; it is called as {self.call_shown}") from None
        given: dict[str, object] = {}
        others: dict[str, object] = {}
        for name, value in arguments.items():
            match self.signature.parameters[name].kind:
                case Parameter.VAR_POSITIONAL:
                    given[POSITIONAL] = list(value)
                case Parameter.VAR_KEYWORD:
                    others = value
                case _:
                    given[name] = value
        if clash := next((name for name in others if name in given or name in self.codecs), None):
            raise BadInput(f"{what}: '{clash}' is given twice, once by position; stored arguments need names of their own")
        return self.in_order(given | others)

    def check_names(self, given: Mapping[str, object], what: str) -> None:
        for name in given:
            if name not in self.codecs and (self.others is None or name == POSITIONAL):
                raise BadInput(f"{what}: there is no parameter '{name}'; it is called as {self.call_shown}")
        for name in self.required:
            if name not in given:
                raise BadInput(f"{what}: argument '{name}' is missing; it is called as {self.call_shown}")

    def with_names(self, stored: dict[str, Any], what: str) -> dict[str, Any]:
        """Stored arguments in which those without a name have found their parameters."""
        if POSITIONAL not in stored:
            return stored
        given = {name: value for name, value in stored.items() if name != POSITIONAL}
        nameless = stored[POSITIONAL]
        if not isinstance(nameless, list):
            raise BadInput(f"{what}: '{POSITIONAL}' holds the arguments without a name and must be a list")
        free = [name for name in self.names if name not in given][: len(nameless)]
        given = dict(zip(free, nameless, strict=False)) | given
        if left := nameless[len(free) :]:
            if POSITIONAL not in self.codecs:
                raise BadInput(f"{what}: {len(left)} more arguments than it takes; it is called as {self.call_shown}")
            given[POSITIONAL] = left
        return given

    def ready(self, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments for the call; consumes `given`."""
        if not self.is_open:
            return (), given
        rest = given.pop(POSITIONAL, [])
        positional = self.names if rest else self.nameless
        while positional and not rest and positional[-1] not in given:
            positional = positional[:-1]
        defaults = self.signature.parameters
        args = [given.pop(name) if name in given else defaults[name].default for name in positional]
        return (*args, *rest), given

    @property
    def call_shown(self) -> str:
        text = str(self.signature)
        return text if len(text) <= 200 else f"{text[:199]}…"

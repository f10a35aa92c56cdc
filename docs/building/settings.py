"""Settings as a table: each with its default, its unit in its name, and what is said of it."""

from building import sources


def table(full_name: str) -> str:
    thing = sources.public(full_name)
    assert isinstance(thing, type)
    rows = [f"| `{one.name}` | `{_value(thing, one)}` | {one.note} |" for one in sources.fields_of(thing)]
    return "\n".join(["| name | default | |", "|---|---|---|", *rows])


def _value(thing: type, field: sources.Field) -> str:
    value = getattr(thing(), field.name)
    if type(value) is int:
        return f"{value:_}"
    return str(value) if value is None or isinstance(value, float | bool) else field.default or ""

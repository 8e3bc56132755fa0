"""Values as TOML, and the lines of the keys in a TOML file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress

from lading.adapters.codec.sizes import Bytes, exact_text

__all__ = ["key_lines", "key_text", "value_text"]


def key_text(key: str) -> str:
    """A key, in quotes where it needs them.

    >>> key_text("ca_file"), key_text("registry.example:5000")
    ('ca_file', '"registry.example:5000"')
    """
    is_bare = key.isascii() and bool(key) and all(each.isalnum() or each in "_-" for each in key)
    return key if is_bare else value_text(key)


def value_text(value: object) -> str:
    """A value on one line.

    >>> value_text({"a": ["b", 1, True]}), value_text("C:\\\\vms")
    ('{ a = ["b", 1, true] }', '"C:\\\\\\\\vms"')
    """
    match value:
        case bool():
            return str(value).lower()
        case Bytes():
            return value_text(exact_text(value))
        case int() | float():
            return repr(value)
        case Mapping():
            return (
                "{}"
                if not value
                else f"{{ {', '.join(f'{key_text(key)} = {value_text(each)}' for key, each in value.items())} }}"
            )
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def key_lines(text: str) -> Mapping[Sequence[str], int]:
    """The numbers of the lines where keys and tables are set, by their dotted name.

    A name that seems to be set twice is left out: one of them is in a text of several lines.

    >>> key_lines("[landing]\\nmode = '0640'\\n")
    {('landing',): 1, ('landing', 'mode'): 2}
    """
    lines: dict[tuple[str, ...], int] = {}
    twice = set()
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        is_table = line.lstrip().startswith("[")
        with suppress(ValueError):
            name = _name(line) if is_table else (*table, *_name(f"{line.partition('=')[0]} = 0"))
            table = name if is_table else table
            twice |= {name} & lines.keys()
            lines[name] = number
    return {name: number for name, number in lines.items() if name not in twice}


def _name(line: str) -> tuple[str, ...]:
    """The dotted name that a line of TOML sets. Raises ValueError."""
    found: object = tomllib.loads(line)
    name = []
    while isinstance(found, Mapping) and found:
        key, found = next(iter(found.items()))
        name.append(key)
    if not name:
        raise ValueError(line)
    return tuple(name)

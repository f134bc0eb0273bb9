"""`[map.NAME]` tables: a variable whose value is looked up in a table by the value of another template.

What the table's keys may be, in the order in which they are tried (nginx's ngx_http_map_module with `hostnames`):

    gold             that very value, whatever its case
    *.example.com    any name that ends in .example.com       the longest first
    www.example.*    any name that begins with www.example.   the longest first
    ~ ^v\\d+$         a regex, searched; ~* ignores case        in the order of the table

What none of them fits takes the default. Pure; compiled once, one dict lookup where no pattern is needed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from edgestack.http.messages import Exchange
from edgestack.http.templates import Template
from edgestack.http.variable_table import Read

__all__ = ["compile_pattern", "map_read"]

_named_group = re.compile(r"\(\?<(?=[A-Za-z_])")


def compile_pattern(text: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A regex as people write it; PCRE's `(?<name>…)` is understood as well as Python's `(?P<name>…)`.

    :raises re.error: it is none, or one that a later Python reads in another way.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return re.compile(_named_group.sub("(?P<", text), re.IGNORECASE if ignore_case else 0)
        except Warning as warning:
            words = str(warning)
            raise re.error(words[:1].lower() + words[1:]) from None
        except OverflowError:
            raise re.error("a number in it is too large") from None
        except RecursionError:
            raise re.error("it is nested too deeply") from None


def map_read(source: Template, table: Iterable[tuple[str, str]], default: str = "") -> Read:
    """The function of the variable: `source`'s value, looked up.

    :param table: pairs of key and value, in order.
    :raises re.error: a key is a regex that is none.
    """
    exact: dict[str, str] = {}
    endings: list[tuple[str, str]] = []
    beginnings: list[tuple[str, str]] = []
    patterns: list[tuple[re.Pattern[str], str]] = []
    for key, value in table:
        if key.startswith("~"):
            ignore_case = key.startswith("~*")
            patterns.append((compile_pattern(key[1 + ignore_case :].lstrip(), ignore_case=ignore_case), value))
        elif key.startswith("*."):
            endings.append((key[1:].lower(), value))
        elif key.endswith(".*"):
            beginnings.append((key[:-1].lower(), value))
        else:
            exact[key.lower()] = value
    for globs in (endings, beginnings):
        globs.sort(key=lambda pair: len(pair[0]), reverse=True)

    def search(text: str, lower: str) -> str:
        for ending, value in endings:
            if lower.endswith(ending):
                return value
        for beginning, value in beginnings:
            if lower.startswith(beginning):
                return value
        for pattern, value in patterns:
            if pattern.search(text):
                return value
        return default

    def read(exchange: Exchange) -> str:
        text = source(exchange)
        lower = text.lower()
        value = exact.get(lower)
        return search(text, lower) if value is None else value

    return read

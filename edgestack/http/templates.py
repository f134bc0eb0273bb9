"""Text with `$variables` in it, compiled once into a function over the Exchange.

    compile_template("$scheme://$host$request_uri", "request", scope)  ->  Template: Exchange -> str

    $name  ${name}   a variable; the braces part it from a letter that follows
    $1 … $9          what the route's regex (or a rewrite's) caught; a named group is a variable by its name
    $$               a dollar sign (nginx has no way to write one)

Everything that can go wrong goes wrong here and not at a request: a name that nobody knows, a variable that is not yet
known at the moment when the template is evaluated, a group that the regex does not have. A `TemplateError` says where
in the text. Without a variable the template is a `Constant`; with nothing but one variable that needs no care it is
that variable's own function. Pure; source of the language: nginx's ngx_http_script.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Literal, TypeAlias, cast
from urllib.parse import quote

from edgestack.errors import ConfigError
from edgestack.http.messages import Exchange
from edgestack.http.variable_table import (
    FAMILIES,
    MOMENTS,
    TIMED,
    VARIABLES,
    Clock,
    Read,
    Variable,
    escaped,
)

__all__ = ["Constant", "Scope", "Template", "TemplateError", "Use", "compile_template", "variable_names"]

Template: TypeAlias = "Callable[[Exchange], str]"
Use: TypeAlias = Literal["text", "url", "query", "log"]
"""What the text becomes, and so what must not stand in it bare: anything (a key, a body, a file's path); a URL or a
field's value, where what was decoded is percent-encoded again (RFC 3986 §2.1); a query, where "&" and "=" are too; a
log line."""

URL_SAFE = "/:@!$&'()*+,;=~-._"
"""What a path may hold as it is (RFC 3986 §3.3)."""

WHEN = {
    "request": "the request has come",
    "content": "the checks have let the request pass",
    "upstream": "the content has answered",
    "response": "the whole answer has been sent",
}

NGINX_ALONE = {"binary_remote_addr": "remote_addr"}
"""Names that nginx has for the sake of its own memory."""

_reference = re.compile(r"\$(?:(\$)|\{(\w+)\}|([1-9])|([A-Za-z_]\w*))?", re.ASCII)


class TemplateError(ConfigError):
    """A template that cannot be compiled; `span` is where in its text: start and end, in characters."""

    def __init__(self, why: str, span: tuple[int, int], *, hint: str = "") -> None:
        super().__init__(why, hint=hint)
        self.span = span


class Scope:
    """What a template may see beside the exchange."""

    __slots__ = ("clock", "groups", "maps", "match", "server_name", "wall")

    def __init__(
        self,
        pattern: re.Pattern[str] | None = None,
        maps: Mapping[str, Variable] | None = None,
        server_name: str = "",
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        """
        :param pattern: the regex whose groups are $1 … $9 and names; it is searched in $uri, once for all templates
            that share this scope.
        :param maps: the variables that `[map.NAME]` tables make.
        :param server_name: the site's first host.
        :param clock: the serving clock, the one that `Exchange.started` was read from, in seconds.
        :param wall: seconds since the epoch.
        """
        self.groups: Mapping[str, int] = _groups(pattern)
        self.match = _remembering(pattern)
        self.maps = maps or {}
        self.server_name = server_name
        self.clock = clock
        self.wall = wall


class Constant:
    """A template without variables: always the same text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, exchange: Exchange) -> str:
        """The text."""
        return self.text


def compile_template(text: str, moment: str = "request", scope: Scope | None = None, *, use: Use = "text") -> Template:
    """The function that puts the variables into `text`; one that has no value leaves nothing, or "-" in a log line.

    :param moment: when it will be evaluated, one of `MOMENTS`.
    :param use: what the text is for.
    :raises TemplateError: with the place in `text`.
    """
    scope = scope or Scope()
    literals, reads = [""], []
    at = 0
    for found in _reference.finditer(text):
        literals[-1] += text[at : found.start()]
        at = found.end()
        if found[1]:
            literals[-1] += "$"
        elif (found[2] or found[4]) == "server_name":
            literals[-1] += scope.server_name
        else:
            reads.append(_reader(found, moment, scope, use))
            literals.append("")
    literals[-1] += text[at:]
    return _assembled(literals, reads)


def _assembled(literals: list[str], reads: list[Template]) -> Template:
    """The function that puts together what stands between the variables and what they give."""
    if not reads:
        return Constant(literals[0])
    if len(reads) == 1:
        read, (before, after) = reads[0], literals
        return (lambda exchange: before + read(exchange) + after) if before or after else read
    shape = "%s".join(literal.replace("%", "%%") for literal in literals)
    parts = tuple(reads)
    return lambda exchange: shape % tuple([read(exchange) for read in parts])


def variable_names(scope: Scope | None = None) -> list[str]:
    """Every name that can be listed: the tables', the maps', the groups'. The families are endless."""
    scope = scope or Scope()
    groups = [name for name in scope.groups if not name.isdigit()]
    return sorted({*VARIABLES, *TIMED, "server_name", *scope.maps, *groups})


def find_variable(name: str, scope: Scope) -> Variable | None:
    """The variable of that name; None when nobody knows it."""
    if name in scope.maps:
        return scope.maps[name]
    if name in VARIABLES:
        return VARIABLES[name]
    if name in TIMED:
        make, doc = TIMED[name]
        return Variable("request", make(scope.clock, scope.wall), doc, certain=True)
    if name in scope.groups:
        return Variable("request", _group(scope.match, scope.groups[name]), "", decoded=True)
    for prefix, (make_read, doc, moment) in FAMILIES.items():
        if name.startswith(prefix) and len(name) > len(prefix):
            return Variable(moment, make_read(name[len(prefix) :]), doc)
    return None


def _reader(found: re.Match[str], moment: str, scope: Scope, use: Use) -> Template:
    """One reference's function, checked."""
    name = found[2] or found[3] or found[4]
    if not name:
        if found.string.startswith("{", found.end()):
            raise TemplateError("a brace is missing", found.span(), hint="for instance `${host}`")
        raise TemplateError("no name follows this `$`", found.span(), hint="write `$$` for a dollar sign")
    variable = find_variable(name, scope)
    if variable is None:
        raise TemplateError(_unknown(name, scope), found.span(), hint=_closest(name, scope))
    if MOMENTS.index(variable.moment) > MOMENTS.index(moment):
        why = f"`${name}` is known only when {WHEN[variable.moment]}, which is too late here"
        raise TemplateError(why, found.span())
    return _careful(variable, use)


def _careful(variable: Variable, use: Use) -> Template:
    """A variable's function with what its use demands."""
    read = variable.read
    if use == "log":
        return lambda exchange: escaped(read(exchange) or "-")
    if variable.certain:
        return cast("Template", read)
    if use == "url" and variable.decoded:
        return lambda exchange: quote(read(exchange) or "", URL_SAFE, errors="surrogateescape")
    if use == "query" and variable.decoded:
        return lambda exchange: quote(read(exchange) or "", "/", errors="surrogateescape")
    return lambda exchange: read(exchange) or ""


def _unknown(name: str, scope: Scope) -> str:
    if not name.isdigit():
        return f"there is no variable `${name}`"
    groups = sum(1 for group in scope.groups if group.isdigit())
    if not groups:
        return f"`${name}` is what a regex caught, and there is no regex with groups here"
    return f"there is no group {name}: the regex has {groups}"


def _closest(name: str, scope: Scope) -> str:
    if name in NGINX_ALONE:
        return f"`${NGINX_ALONE[name]}` does the same here"
    near = get_close_matches(name, _candidates(name, scope), n=1)
    return f"did you mean `${near[0]}`?" if near else ""


def _candidates(name: str, scope: Scope) -> Iterable[str]:
    """Names that might have been meant; a misspelt family (`$htp_accept`) with the rest put back."""
    yield from variable_names(scope)
    rest = name.partition("_")[2]
    if rest:
        yield from (prefix + rest for prefix in FAMILIES)


# --- what a regex caught ----------------------------------------------------------------------------------------------


def _groups(pattern: re.Pattern[str] | None) -> Mapping[str, int]:
    """The groups by the names under which they can be asked for."""
    if pattern is None:
        return {}
    return {str(number): number for number in range(1, min(pattern.groups, 9) + 1)} | dict(pattern.groupindex)


def _remembering(pattern: re.Pattern[str] | None) -> Callable[[Exchange], re.Match[str] | None]:
    """The search of $uri, done once for as long as the same path is asked about."""
    last: tuple[str, re.Match[str] | None] = ("", None)  # replaced whole, see `variable_table`

    def match(exchange: Exchange) -> re.Match[str] | None:
        nonlocal last
        if pattern is None or not exchange.request:
            return None
        path = exchange.request.path.normal
        at, found = last
        if at is not path:
            found = pattern.search(path)
            last = (path, found)
        return found

    return match


def _group(match: Callable[[Exchange], re.Match[str] | None], number: int) -> Read:
    def read(exchange: Exchange) -> str | None:
        found = match(exchange)
        return found[number] if found else None

    return read

"""Kinds of values that HTTP defines: methods, statuses, fields, matches, and templates.

    METHOD STATUS STATUSES FIELD_NAME MATCH PATTERN PATH PAGE REQUEST …     values
    Template(moment, use)                                                                    text with $variables

A template is kept as it was written: it is compiled here only to be checked (`Reading.check_templates`), and again by
whoever runs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgestack.config.field_kinds import NO_FIELD
from edgestack.config.host_kinds import parts_of
from edgestack.config.kinds import Kind
from edgestack.config.matching import Condition, Match, compiled, parse_match
from edgestack.config.problems import did_you_mean
from edgestack.config.slow_regexes import warn_slow
from edgestack.errors import ConfigError
from edgestack.http.fields import is_field_value, is_token
from edgestack.http.forwarding import tells_of_forwarding
from edgestack.http.target import is_authority
from edgestack.http.variables import Use

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = [
    "COPIED_FIELD", "FIELD_CONDITION", "FIELD_NAME", "MAP_NAME", "MATCH", "METHOD", "PAGE", "PATH",
    "PATTERN", "QUERY_CONDITION", "REQUEST", "REQUEST_FIELD", "STATUS", "STATUSES", "TRY", "WIRE_FIELDS",
    "Status", "Template",
]  # fmt: skip

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
"""Those that people mean; any token is a method (RFC 9110 §9.1), so others are taken too."""

WIRE_FIELDS = frozenset(
    ("connection", "content-length", "date", "keep-alive", "server", "trailer", "transfer-encoding", "upgrade",
     "x-request-id")
)  # fmt: skip
"""Response fields that the wire writes: a rule for them would do nothing."""

FRAMING_FIELDS = frozenset(
    ("connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
"""Request fields that belong to the message as it came."""


class Method(Kind):
    """A request method; methods are case-sensitive."""

    words = "a method"

    def read(self, value: Any, spot: Spot) -> str:
        """A token in capitals."""
        if not is_token(value) or value != value.upper():
            raise ConfigError(f"{value!r} is not a method", hint=did_you_mean(value, METHODS, quote='"'))
        if value in ("CONNECT", "TRACE"):
            raise ConfigError(f"{value} is always answered with 405, so no route is for it")
        return str(value)


class Status(Kind):
    """A status that a final answer may have."""

    words = "a status"
    takes = (int,)

    def __init__(self, *allowed: int) -> None:
        self.allowed = allowed

    def read(self, value: Any, spot: Spot) -> int:
        """Within 200 and 599, or one of those that are allowed here."""
        if self.allowed and value not in self.allowed:
            said = ", ".join(map(str, self.allowed[:-1])) + f" or {self.allowed[-1]}"
            raise ConfigError(f"`{spot.name}` cannot be {value} here", hint=f"it is {said}")
        if not 200 <= value <= 599:
            raise ConfigError(f"{value} is not the status of an answer", hint="it is between 200 and 599")
        return int(value)

    def schema(self) -> dict[str, Any]:
        """An integer of that range."""
        return {"enum": list(self.allowed)} if self.allowed else {"type": "integer", "minimum": 200, "maximum": 599}


class Statuses(Kind):
    """Statuses of errors in one text: "502 504", "5xx"; gives a tuple of numbers, 5 for the whole class."""

    words = "statuses"

    def read(self, value: Any, spot: Spot) -> tuple[int, ...]:
        """Every status that is meant."""
        found: list[int] = []
        for word in value.split():
            if word in ("4xx", "5xx"):
                found.append(int(word[0]))
            elif word.isascii() and word.isdigit() and 400 <= int(word) <= 599:
                found.append(int(word))
            else:
                hint = 'statuses are numbers between 400 and 599: "404", "502 504", "5xx"'
                raise ConfigError(f"{word!r} is not the status of an error", hint=hint)
        if not found:
            raise ConfigError("no status is named", hint='for instance "404" or "502 504"')
        return tuple(found)


class FieldName(Kind):
    """The name of a field; what the wire writes itself is refused."""

    words = "a field name"

    def read(self, value: Any, spot: Spot) -> str:
        """A token (RFC 9110 §5.1)."""
        if not is_token(value):
            hint = f'without the colon: "{value.rstrip(": ")}"' if value.rstrip().endswith(":") else ""
            raise ConfigError(f"{value!r} is not the name of a field", hint=hint)
        if value.lower() in WIRE_FIELDS:
            raise ConfigError(f"{value} is written by the server itself, so a rule for it would do nothing")
        return str(value)


class AnyFieldName(Kind):
    """The name of a request's field."""

    words = "a field name"

    def read(self, value: Any, spot: Spot) -> str:
        """In lower case, as requests have them here."""
        if not is_token(value):
            raise ConfigError(f"{value!r} is not the name of a field")
        return str(value).lower()


class CopiedField(AnyFieldName):
    """The name of a field that a request is given: not of its framing, nor one that applications never see."""

    def read(self, value: Any, spot: Spot) -> str:
        """In lower case."""
        name = super().read(value, spot)
        if name in FRAMING_FIELDS:
            raise ConfigError(f"{value} says how the request itself was sent, so no other value would be true")
        if "_" in name or name == "proxy" or tells_of_forwarding(name):
            hint = "`set` makes a variable of it"
            raise ConfigError(f"no application sees the field {value}: clients lie by such names", hint=hint)
        return name


class Template(Kind):
    """Text with $variables."""

    words = "text"

    def __init__(self, moment: str = "request", use: Use = "text") -> None:
        """
        :param moment: when it is evaluated.
        :param use: what it becomes: a URL or a field's value must not have control characters.
        """
        self.moment = moment
        self.use: Use = use

    def any_text(self) -> bool:
        """As far as its type tells."""
        return True

    def read(self, value: Any, spot: Spot) -> Any:
        """The text itself; what is in it is checked at the end."""
        if self.use == "url" and not is_field_value(value):
            raise ConfigError(NO_FIELD)
        spot.reading.template(value, self.moment, self.use, spot)
        return value


class InsidePath(Template):
    """A path of this site, or the name of a route, to which a request is led inside the server."""

    words = "a path"

    def read(self, value: Any, spot: Spot) -> Any:
        """One that begins with a slash, or `@name`."""
        if not value.startswith(("/", "@", "$")):
            raise ConfigError(f"{value!r} is neither a path nor a named route", hint=f'did you mean "/{value}"?')
        return super().read(value, spot)


class AskedPath(InsidePath):
    """A path of this site that a request of the server's own asks."""

    def read(self, value: Any, spot: Spot) -> Any:
        """One that begins with a slash: a subrequest has no name to go by."""
        if value.startswith("@"):
            raise ConfigError(f"{value!r} is the name of a route, and only a path can be asked", hint='such as "/auth"')
        if "$" in value:
            raise ConfigError("there are no variables here", hint="X-Original-URI tells whom is asked what was wanted")
        return super().read(value, spot)


class Page(InsidePath):
    """Where an error leads: a path, a named route, or another site; `=200 /x` gives the page another status."""

    words = "a path"

    def read(self, value: Any, spot: Spot) -> Any:
        """The same, or a URL."""
        if re.match(r"=[2-5]\d\d [/@$]", value):
            return Template.read(self, value, spot)
        return (
            Template.read(self, value, spot) if value.startswith(("http://", "https://")) else super().read(value, spot)
        )


class Try(Template):
    """One of the things that `try` tries: a file, a folder with a slash, a named route, a status."""

    words = "a path"

    def read(self, value: Any, spot: Spot) -> Any:
        """One of its forms; which may stand where is checked with the whole array."""
        if value.startswith("=") and not re.fullmatch(r"=[2-5]\d\d", value):
            raise ConfigError(f"{value!r} is not a status", hint='for instance "=404"')
        if not value.startswith(("/", "$", "@", "=")):
            raise ConfigError(f"{value!r} is no path", hint=f'did you mean "/{value}"?')
        return super().read(value, spot)


class Pattern(Kind):
    """A regex; its groups are $1 … $9 for the templates beside it."""

    words = "a regex"

    def read(self, value: Any, spot: Spot) -> str:
        """The text, when it compiles."""
        spot.reading.cell.pattern = pattern = compiled(value, False)
        warn_slow(pattern, spot.reading, spot.mark, spot.name)
        return str(value)


class MatchText(Kind):
    """Which paths a route is for."""

    words = "a path"

    def read(self, value: Any, spot: Spot) -> Match:
        """The Match; a regex's groups are $1 … $9 for the whole route."""
        match = parse_match(value)
        spot.reading.cell.pattern = match.regex
        if match.regex is not None:
            warn_slow(match.regex, spot.reading, spot.mark, spot.name)
        return match


class ConditionKind(Kind):
    """What a field or a parameter must be: true (there), false (not there), a text, "~ regex"."""

    words = "text, or true, or false"
    takes = (str, bool)

    def __init__(self, *, fields: bool) -> None:
        """
        :param fields: whether names are fields', which have no case.
        """
        self.fields = fields

    def read(self, value: Any, spot: Spot) -> Condition:
        """The condition."""
        name = spot.name.lower() if self.fields else spot.name
        if isinstance(value, bool):
            return Condition(name, value)
        if not value.startswith("~"):
            return Condition(name, value=value)
        ignore_case = value.startswith("~*")
        pattern = value[1 + ignore_case :].lstrip()
        try:
            warn_slow(compiled(pattern, ignore_case), spot.reading, spot.mark, spot.name)
        except re.error as error:
            error.pos = None if error.pos is None else error.pos + value.index(pattern)
            raise
        return Condition(name, pattern=pattern, ignore_case=ignore_case)

    def schema(self) -> dict[str, Any]:
        """A text or a boolean."""
        return {"type": ["string", "boolean"]}


class RequestLine(Kind):
    """The request of a test: `GET https://example.com/path?query`."""

    words = "a request"

    def read(self, value: Any, spot: Spot) -> tuple[str, str]:
        """Method and URL."""
        method, _, url = value.strip().partition(" ")
        example = 'for instance "GET https://example.com/x"'
        if not url.strip() and "/" in method:
            raise ConfigError("the method is missing", hint=f'did you mean "GET {method}"?')
        if not is_token(method) or method != method.upper():
            raise ConfigError(f"{method!r} is not a method", hint=did_you_mean(method, METHODS, quote='"') or example)
        if url.strip().startswith("/"):
            return method, url.strip()
        parts = parts_of(url.strip())
        if parts is None or parts.scheme not in ("http", "https") or not is_authority(parts.netloc):
            raise ConfigError(f"{url.strip()!r} is neither a URL nor a path", hint=example)
        return method, url.strip()


class MapName(Kind):
    """The name of a map or a log format."""

    words = "a name"

    def read(self, value: Any, spot: Spot) -> Any:
        """Letters, digits and underscores, as variables have them."""
        if not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII):
            raise ConfigError(f"{value!r} is no name", hint="letters, digits and underscores")
        return value


METHOD = Method()
STATUS = Status()
STATUSES = Statuses()
FIELD_NAME = FieldName()
REQUEST_FIELD = AnyFieldName()
COPIED_FIELD = CopiedField()
FIELD_CONDITION = ConditionKind(fields=True)
QUERY_CONDITION = ConditionKind(fields=False)
PATH = AskedPath()
PAGE = Page("request", "url")
TRY = Try()
PATTERN = Pattern()
MATCH = MatchText()
REQUEST = RequestLine()
MAP_NAME = MapName()

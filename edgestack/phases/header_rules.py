"""What is done to the fields of an answer: `headers = { remove, set, add }`, and Strict-Transport-Security (nginx:
add_header, proxy_hide_header).

    answer -> (fixed rules, remembered on the answer) -> (rules with variables, each time) -> answer with its fields

Rules come outermost first (B9); each holds for the statuses of B10 unless `always`. Without a variable a rule gives the
same for the same answer: the changed answer stands on the one it was made from, so that a static entry's head is still
encoded once. From the first rule with a variable on, rules are applied to each answer. A variable without a value gives
no field, and where it is `set` takes the field away (B9). Pure, on any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from edgestack.config.model import HeaderRules
from edgestack.http.messages import Exchange, FieldPairs, Filter, Response, change_once
from edgestack.http.variables import Constant, Scope, Template, compile_template

__all__ = ["STATUSES", "HeaderFilter", "StrictTransport", "header_rules", "strict_transport"]

STATUSES = frozenset((200, 201, 204, 206, 301, 302, 303, 304, 307, 308))
"""Those that rules without `always` apply to (B10; nginx: ngx_http_headers_module)."""

Valued: TypeAlias = "tuple[str, str, Template]"


class Step(NamedTuple):
    """One rule, compiled."""

    remove: frozenset[str]
    set: tuple[Valued, ...]
    """Name in lower case, name, value."""
    add: tuple[Valued, ...]
    always: bool

    @property
    def fixed(self) -> bool:
        """Whether it has no variable."""
        return all(isinstance(template, Constant) for _, _, template in (*self.set, *self.add))

    def apply(self, exchange: Exchange, fields: FieldPairs) -> FieldPairs:
        """The fields after it: remove, set, add."""
        if self.remove:
            fields = tuple(pair for pair in fields if pair[0].lower() not in self.remove)
        for lower, name, template in self.set:
            fields = with_field(fields, lower, name, template(exchange))
        if self.add:
            added = ((name, template(exchange)) for _, name, template in self.add)
            fields = (*fields, *(pair for pair in added if pair[1]))
        return fields

    def __str__(self) -> str:
        parts = (
            f"remove {', '.join(sorted(self.remove))}" if self.remove else "",
            f"set {', '.join(name for _, name, _ in self.set)}" if self.set else "",
            f"add {', '.join(name for _, name, _ in self.add)}" if self.add else "",
        )
        return "; ".join(part for part in parts if part) + (" (always)" if self.always else "")


class HeaderFilter:
    """The filter for all header rules of a route."""

    __slots__ = ("_fixed", "_steps", "_varying")

    def __init__(self, rules: Iterable[HeaderRules], scope: Scope) -> None:
        self._steps = [_compiled(rule, scope) for rule in rules]
        first = next((at for at, step in enumerate(self._steps) if not step.fixed), len(self._steps))
        self._fixed, self._varying = self._steps[:first], self._steps[first:]

    def __call__(self, exchange: Exchange, response: Response) -> Response:
        """The answer with its fields."""
        if self._fixed:
            response = change_once(response, self, lambda one: _applied(self._fixed, exchange, one))
        if self._varying:
            response = _applied(self._varying, exchange, response)
        return response

    def describe(self, exchange: Exchange) -> str:
        """The rules."""
        return "; ".join(map(str, self._steps))


class StrictTransport:
    """Adds Strict-Transport-Security to every answer over TLS, and to none over plain HTTP (RFC 6797 §7.2)."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __call__(self, exchange: Exchange, response: Response) -> Response:
        """The answer with the field."""
        if exchange.facts.scheme != "https":
            return response
        return change_once(response, self, self._with_it)

    def _with_it(self, response: Response) -> Response:
        name = "Strict-Transport-Security"
        return response.with_(fields=with_field(response.fields, name.lower(), name, self.value))

    def describe(self, exchange: Exchange) -> str:
        """The field, or why there is none."""
        if exchange.facts.scheme != "https":
            return "no Strict-Transport-Security over plain HTTP"
        return f"set Strict-Transport-Security: {self.value}"


def header_rules(rules: Sequence[HeaderRules], scope: Scope | None = None) -> HeaderFilter | None:
    """The filter for header rules, outermost first; None where they change nothing.

    :raises TemplateError: a value that cannot be compiled.
    """
    doing = [rule for rule in rules if rule.set or rule.add or rule.remove]
    return HeaderFilter(doing, scope or Scope()) if doing else None


def strict_transport(value: str) -> Filter | None:
    """The filter for a site's `hsts`; None for ""."""
    return StrictTransport(value) if value else None


def with_field(fields: FieldPairs, lower: str, name: str, value: str) -> FieldPairs:
    """`fields` with one field of that name, where the first stood or at the end; with none when `value` is empty.

    :param lower: the name in lower case.
    """
    found: list[tuple[str, str]] = []
    for pair in fields:
        if pair[0].lower() != lower:
            found.append(pair)
        elif value:
            found.append((name, value))
            value = ""
    if value:
        found.append((name, value))
    return tuple(found)


def _applied(steps: Sequence[Step], exchange: Exchange, response: Response) -> Response:
    usual = response.status in STATUSES
    fields = response.fields
    for step in steps:
        if usual or step.always:
            fields = step.apply(exchange, fields)
    return response.with_(fields=fields) if fields is not response.fields else response


def _compiled(rule: HeaderRules, scope: Scope) -> Step:
    def valued(pairs: Iterable[tuple[str, str]]) -> tuple[Valued, ...]:
        compiled = partial(compile_template, moment="upstream", scope=scope, use="url")
        return tuple((name.lower(), name, compiled(value)) for name, value in pairs)

    return Step(frozenset(map(str.lower, rule.remove)), valued(rule.set), valued(rule.add), rule.always)

"""What tomllib says of a document that is no TOML, in words that help: where, why, and what was probably meant.

tomllib stops at the first error and gives its place in the message ("at line 3, column 7"). The line there tells more
than the message: a text without quotes, `:` for `=`, `True` for `true`.
"""

from __future__ import annotations

import re

from edgestack.config.positions import Source
from edgestack.config.problems import Problem

__all__ = ["deepest", "explain_syntax", "longest_number"]

_place = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")
_pair = re.compile(r"""\s*(?P<key>[\w."'-]+)\s*(?P<sign>[:=])?\s*(?P<value>[^#]*)""")

_word = re.compile(r"(?=.*[^\d.])[^\s\"'\[\]{},]+")
"""One word without quotes that is no number."""

WORDS = {
    "Cannot overwrite a value": "this key is said twice",
    "Cannot declare": "this table is said twice",
    "Cannot mutate immutable namespace": "this table is complete where it was written, in braces",
    "Unescaped '\\' in a string": "a backslash begins an escape here",
    "Expected ']' at the end of a table declaration": "a bracket is missing",
    "Expected ']]' at the end of an array declaration": "a bracket is missing",
    "Unclosed array": "a bracket is missing",
    "Unclosed inline table": "a brace is missing",
    'Expected "\'"': "the quote that ends this text is missing",
    "Unterminated string": "the quotes that end this text are missing",
    "Invalid initial character for a key part": "a key is missing, or has letters that need quotes",
    "Invalid statement": "a key is missing, or has letters that need quotes",
    "Expected newline or end of document after a statement": "there is more on this line than one key and its value",
    "Illegal character": "the quote that ends this text is missing",
}
"""The beginnings of tomllib's messages, and what they mean."""


def explain_syntax(message: str, source: Source) -> Problem:
    """The problem that tomllib stumbled over.

    :param message: of its TOMLDecodeError.
    """
    found = _place.search(message)
    text = message[: found.start()] if found else message
    starts = source.starts()
    if found and found[1]:
        at = starts[min(int(found[1]), len(starts)) - 1] + int(found[2]) - 1
    else:
        at = len(source.text)
    at = min(at, max(len(source.text) - 1, 0))
    number = source.place(at).line
    why, hint, span = _meaning(text, source.line(number), at, starts[number - 1])
    return Problem(why, source, span, hint=hint)


def deepest(text: str) -> tuple[int, int]:
    """The span of the bracket that stands deepest inside of others."""
    depth = most = place = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth += 1 if found[0] in "[{" else -1
        if depth > most:
            most, place = depth, found.start()
    return place, place + 1


def longest_number(text: str) -> tuple[int, int]:
    """The span of the number with the most digits."""
    found = max(re.finditer(r"[+-]?[\d_]+", text), key=lambda one: len(one[0]))
    return found.span()


def _meaning(text: str, line: str, at: int, start: int) -> tuple[str, str, tuple[int, int]]:
    """Why, what to do, and the span of the culprit.

    :param start: the offset of the line.
    """
    pair = _pair.match(line)
    key, sign, value = (pair["key"], pair["sign"], pair["value"].strip()) if pair else ("", "", "")
    whole = (start + pair.start("value"), start + pair.start("value") + max(len(value), 1)) if pair else (at, at + 1)
    if text.startswith("Expected '=' after a key") and sign == ":":
        colon = start + line.index(":")
        return "a key and its value are joined by `=`", f"did you mean `{key} = {value}`?", (colon, colon + 1)
    if text.startswith("Expected '=' after a key"):
        return "a key needs `=` and a value", "", (at, at + 1)
    if text.startswith("Invalid value") and sign == "=" and whole[0] <= at <= whole[1]:
        return _value(key, value, whole)
    if text.startswith("Expected newline") and sign == "=" and _word.fullmatch(value):
        return _value(key, value, whole)
    if "Unescaped" in text:
        return "a backslash begins an escape in double quotes", "write it in single quotes, as it is", (at - 1, at + 1)
    if text.startswith("Cannot overwrite a value") and pair:
        return "this key is said twice", "", (start + pair.start("key"), start + pair.end("key"))
    why = next((why for words, why in WORDS.items() if text.startswith(words)), "")
    if text.startswith("Cannot declare"):
        return why, "", (start, start + len(line.rstrip()))
    return why or text[:1].lower() + text[1:], "", (at, at + 1)


def _value(key: str, value: str, span: tuple[int, int]) -> tuple[str, str, tuple[int, int]]:
    """What is wrong with a value that is none."""
    if not value:
        return f"`{key}` has no value", "", span
    if value.lower() in ("true", "yes", "on", "false", "no", "off"):
        meant = "true" if value.lower() in ("true", "yes", "on") else "false"
        return f"`{value}` is no value", f"did you mean `{key} = {meant}`?", span
    if re.fullmatch(r"[\w./:@*~^$+-][^\"']*", value):
        return "a text stands in quotes", f'did you mean `{key} = "{value}"`?', span
    return f"`{value}` is no value", "", span

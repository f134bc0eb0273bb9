"""gunicorn's access log format in our own words: `%(h)s "%(r)s" %(D)s` -> `$remote_addr "$request" $request_usec`.

Atoms that are not known give `-`, as they do there, and are named. Source: gunicorn's documentation, access_log_format.
"""

from __future__ import annotations

import re

__all__ = ["template_of"]

ATOMS = {
    "h": "$remote_addr", "l": "-", "u": "$remote_user", "t": "[$time_local]", "r": "$request", "m": "$request_method",
    "U": "$uri", "q": "$args", "H": "$server_protocol", "s": "$status", "B": "$body_bytes_sent",
    "b": "$body_bytes_sent", "f": "$http_referer", "a": "$http_user_agent", "T": "$request_sec", "M": "$request_msec",
    "D": "$request_usec", "L": "$request_time", "p": "<$pid>",
}  # fmt: skip

ENVIRON = {
    "remote_addr": "$remote_addr", "remote_port": "$remote_port", "remote_user": "$remote_user",
    "request_method": "$request_method", "path_info": "$uri", "query_string": "$args", "raw_uri": "$request_uri",
    "request_uri": "$request_uri", "server_protocol": "$server_protocol", "server_port": "$server_port",
    "server_name": "$server_addr", "content_type": "$content_type", "content_length": "$content_length",
    "wsgi.url_scheme": "$scheme",
}  # fmt: skip
"""Of `%({name}e)s`: names of the WSGI environ, in lower case, which edgestack knows before there is an environ."""

_atom = re.compile(r"%\(([^)]*)\)([#0\- +]*\d*(?:\.\d+)?)([sdr])|(%%)|(%)|(\$)")
_family = re.compile(r"\{([^}]*)\}([ioe])")


def template_of(form: str) -> tuple[str, list[str]]:
    """The template that makes the same line, and what of the format is not known."""
    unknown: list[str] = []

    def put(found: re.Match[str]) -> str:
        if found[4] or found[5]:
            return "%"
        if found[6]:
            return "$$"
        variable = _variable(found[1])
        if found[2] or variable is None:  # widths are printf's business, and nobody's here
            unknown.append(found[0])
        return variable or "-"

    return _atom.sub(put, form), unknown


def _variable(atom: str) -> str | None:
    """The variable of an atom; None when there is none."""
    family = _family.fullmatch(atom)
    if family is None:
        return _braced(ATOMS.get(atom))
    name, kind = family[1].lower(), family[2]
    if kind == "e" and not name.startswith("http_"):
        return _braced(ENVIRON.get(name))
    word = name.removeprefix("http_").replace("-", "_") if kind == "e" else name.replace("-", "_")
    if not re.fullmatch(r"\w+", word, re.ASCII):
        return None
    return f"${{sent_http_{word}}}" if kind == "o" else f"${{http_{word}}}"


def _braced(variable: str | None) -> str | None:
    """`$name` as `${name}`: a letter may follow."""
    return None if variable is None else re.sub(r"\$(\w+)", r"${\1}", variable)

"""The commented starter file of `edgestack config init`: what one needs first, and what one will look for next.

Prose begins with "# ", a key that is switched off with "#". Every key's words and example come from its metadata; which
keys stand here, and in which order, is the table below. Uncommented as a whole it is a valid file, given the folders
and files that it names; a test holds it to that.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edgestack.config.keys import Key, section_of
from edgestack.config.model import Limits, Route, Server, Test, Timeouts, TlsTable, Upstream

__all__ = ["starter"]

WIDTH = 100

TOP = """\
# edgestack.toml: what is served, where, and how.
#
# A line that begins with "#" and a word is switched off: take the "#" away to switch it on.
# `edgestack check` tells whether all is well, `edgestack config show` what holds, and
# `edgestack explain GET https://localhost:8443/` what becomes of a request.
"""


class Part(NamedTuple):
    """A table of the starter file."""

    header: str
    """As it is written."""
    cls: type
    keys: tuple[str, ...]
    """A name, or `name = value` where the example is another one here."""
    prose: str = ""
    live: bool = False
    """Whether it is switched on."""


PARTS = (
    Part(
        "[server]", Server,
        ("bind", "threads", "max_body", "access_log = \"-\"", "log_format", "error_log = \"-\"", "trusted_proxies",
         "keepalive", "graceful_timeout"),
        "The process.", live=True,
    ),
    Part("[server.timeouts]", Timeouts, ("head", "body_gap", "send_gap"), "How long clients may take."),
    Part("[server.limits]", Limits, ("head", "fields"), "What requests may weigh."),
    Part(
        "[tls]", TlsTable,
        ('cert = "certs/chain.pem"', 'key = "certs/key.pem"', "redirect_http", "minimum"),
        "Without a certificate, one for development is made; `edgestack certs trust` makes browsers accept it.",
    ),
    Part(
        "[[route]]", Route,
        ('match = "/"', "{content}", 'preset = "security-headers"', "errors = { \"404\" = \"/404.html\" }"),
        "What answers: files, an application, or both (the file first, the application for the rest).", live=True,
    ),
    Part(
        "[[route]]", Route,
        ('match = "/assets/"', 'static = "site/assets/"', 'preset = "immutable-assets"'),
        "Files whose names change with their content.",
    ),
    Part(
        "[[route]]", Route,
        ('match = "/api/"', 'app = "src.main:app"', "limit", 'cache_control = "no-store"'),
        "An application under a prefix, and no more than ten requests a second from one address.",
    ),
    Part(
        "[upstream.backend]", Upstream, ('servers = ["127.0.0.1:8001", "127.0.0.1:8002"]', "balance", "health"),
        "Servers that requests are passed on to.",
    ),
    Part(
        "[[route]]", Route, ('match = "/service/"', 'proxy = "http://backend/"'),
        "They answer under a prefix; the slash at the end of the URL takes the prefix away.",
    ),
    Part(
        "[[route]]", Route, ('match = "= /health"', 'respond = "ok"', 'log = "off"'),
        "The same answer to everybody.",
    ),
    Part(
        "[[route]]", Route, ('match = "~ ^/blog/(\\\\d+)$"', 'redirect = "/articles/$1"'),
        "A regex, and what it caught.",
    ),
    Part(
        "[[test]]", Test, ('request = "GET /health"', "expect = { status = 200 }"),
        "What `edgestack check` tries, without a network.",
    ),
)  # fmt: skip


def starter(static: str = "site/", app: str = "") -> str:
    """The text of the file.

    :param static: the folder to serve; "" for none.
    :param app: the application to call, as `module:name`; "" for none.
    """
    content = [f'static = "{static}"'] if static else []
    content += [f'app = "{app}"'] if app else []
    blocks = [TOP]
    for part in PARTS:
        keys = [
            one for name in part.keys for one in (content or ['static = "site/"'] if name == "{content}" else [name])
        ]
        said = {f'static = "{static}"', f'app = "{app}"'} if part.live else set()
        blocks.append("\n".join(_part(part, keys, said, bool(content))) + "\n")
    return "\n".join(blocks)


def _part(part: Part, keys: Iterable[str], said: set[str], content: bool) -> Iterator[str]:
    """The lines of one table."""
    yield from _prose(part.prose)
    live = part.live and (content or part.cls is Server)
    yield part.header if live else f"#{part.header}"
    for line in keys:
        name = line.partition(" = ")[0]
        key = section_of(part.cls).keys[name].key
        mark = "" if line in said else "#"
        yield from _prose(_words(key), indent="  ") if part.cls is not Route else ()
        yield f"{mark}{line if ' = ' in line else f'{name} = {key.example}'}"


def _words(key: Key) -> str:
    return key.doc + (f" Default: {key.shown}." if key.shown else "")


def _prose(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"# {indent}", subsequent_indent=f"# {indent}")

"""The banner: where to go, what is served, what to do about the certificate (issue 2, §6)."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edgestack import __version__
from edgestack.process.banner import Scene, banner, friendly, wants_colour

EVERYTHING = Scene(
    version="1.2.3",
    urls=("https://127.0.0.1:8443", "https://[::1]:8443", "https://192.0.2.7:8443", "unix:/run/a.sock"),
    static="site/",
    hidden=("certs/", "*.toml"),
    app="src.main:app",
    threads=8,
    certificate="certs/edgestack-ca.pem",
    redirects=("8080",),
    dev=True,
    notes=("Neither was given.",),
)

GOLDEN = """\
edgestack 1.2.3

  → https://localhost:8443
  → https://192.0.2.7:8443
  → unix:/run/a.sock

  files        site/  (hidden: certs/, *.toml)
  application  src.main:app  (after the files, 8 threads)
  redirect     port 8080 to https
  certificate  for development, signed by certs/edgestack-ca.pem
  Neither was given.
  Browsers warn until you run, once: edgestack certs trust
  Development: tracebacks in the browser (on this machine only), nothing is cached.

  Ctrl-C stops.
"""


def test_everything() -> None:
    assert banner(EVERYTHING) == GOLDEN


def test_an_application_alone_on_plain_http() -> None:
    text = banner(Scene("1", ("http://127.0.0.1:8000",), app="a:b", threads=2))
    assert "  application  a:b  (2 threads)\n" in text
    assert "certificate" not in text
    assert "files" not in text


def test_what_is_proxied_where() -> None:
    """Of very many routes the first are named."""
    lines = tuple(f"/{at} → http://h{at}" for at in range(9))
    text = banner(Scene("1", ("http://127.0.0.1:8000",), proxies=lines, dev=True))
    assert text.splitlines()[3:11] == [
        "",
        "  proxy        /0 → http://h0",
        *(f"               /{at} → http://h{at}" for at in range(1, 5)),
        "               and 4 more",
        "  Development: what goes wrong is told in the browser (on this machine only), nothing is cached.",
    ]
    assert "tracebacks" in banner(Scene("1", (), proxies=lines, app="a:b", dev=True))


def test_a_configuration_file_and_its_sites() -> None:
    """Labels that are longer make room for themselves; of very many sites the first are named."""
    hosts = tuple(f"{at}.example.com" for at in range(7))
    scene = Scene(
        "1", (), file="edgestack.toml", found=True, sites=hosts, static="a/, b/", app="a:b", files_first=False
    )
    assert banner(scene).splitlines()[3:12] == [
        "  configuration  edgestack.toml  (found here)",
        "  site           0.example.com",
        "                 1.example.com",
        "                 2.example.com",
        "                 3.example.com",
        "                 4.example.com",
        "                 and 2 more",
        "  files          a/, b/",
        "  application    a:b  (0 threads)",
    ]
    named = banner(Scene("1", (), file="edgestack.toml", sites=hosts[:6]))
    assert "5.example.com" in named
    assert "found here" not in named


def test_a_trusted_authority_needs_no_advice() -> None:
    text = banner(Scene("1", ("https://127.0.0.1:8443",), certificate="ca.pem", trusted=True))
    assert "signed by ca.pem" in text
    assert "certs trust" not in text


def test_colour_changes_no_word() -> None:
    painted = banner(EVERYTHING, colour=True)
    assert "\x1b[" in painted
    for code in ("0", "1", "2", "32", "33", "36"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == GOLDEN


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_where_it_is_wanted(stream: io.StringIO, environ: dict[str, str], expected: bool) -> None:
    """no-color.org: set and not empty."""
    assert wants_colour(stream, environ) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://127.0.0.1:1", "https://localhost:1"),
        ("https://[::1]:1", "https://localhost:1"),
        ("https://127.0.0.11:1", "https://127.0.0.11:1"),
        ("unix:/127.0.0.1:1", "unix:/127.0.0.1:1"),
    ],
)
def test_friendly_names(url: str, expected: str) -> None:
    assert friendly(url) == expected


def test_the_version_is_the_package_s() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__

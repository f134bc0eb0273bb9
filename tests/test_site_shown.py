"""What the site shows can be copied: each piece of configuration is good, each printed answer is what is printed today.

Pieces of configuration are `<pre class="toml">`; what a command prints is of the piece that stands before it.
"""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner

SITE = Path(__file__).resolve().parent.parent / "site"
PAGES = sorted(SITE.rglob("*.html"))


def toml_blocks() -> list[tuple[str, str]]:
    """The pieces of edgestack.toml that pages show, by page."""
    return [
        (page.name, unescape(re.sub(r"<[^>]*>", "", block)))
        for page in PAGES
        for block in re.findall(r'<pre class="toml"><code>(.*?)</code></pre>', page.read_text("utf-8"), re.DOTALL)
    ]


def test_no_piece_of_configuration_is_shown_without_its_class() -> None:
    for page in PAGES:
        for code in re.findall(r"<pre><code>(.*?)</code>", page.read_text("utf-8"), re.DOTALL):
            assert not re.search(r"^\[\[?[a-z]", code, re.MULTILINE), f"{page.name}: {code}"


EMPTY = ["site/sorry.html", "site/index.html", "site/assets/app.js", "users.htpasswd", "internal-ca.pem"]
WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
"""The application of every module that pages name."""


def in_a_project(folder: Path, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    """Go to a folder that has this edgestack.toml, and whatever pages name."""
    monkeypatch.chdir(folder)
    texts = dict.fromkeys(EMPTY, "")
    texts |= {"src/main.py": WSGI, "shop/web.py": WSGI, "edgestack.toml": block}
    for name, text in texts.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, "utf-8")


@pytest.mark.parametrize("block", [block for _, block in toml_blocks()])
def test_every_piece_of_configuration_shown_holds(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that has what it names: `edgestack check` has nothing to say, and its own tests pass."""
    from edgestack.cli import main

    in_a_project(tmp_path, monkeypatch, block)
    checked = CliRunner().invoke(main, ["check"])
    assert checked.output.startswith("edgestack.toml is good.\n"), checked.output
    assert "warning" not in checked.output
    assert checked.exit_code == 0


def transcripts() -> list[tuple[str, str]]:
    """Commands that are shown with what they print: the piece of configuration before them, and the transcript."""
    found = []
    for page in PAGES:
        before = ""
        for kind, block in re.findall(r"<pre([^>]*)><code>(.*?)</code></pre>", page.read_text("utf-8"), re.DOTALL):
            text = unescape(re.sub(r"<[^>]*>", "", block))
            if "toml" in kind:
                before = text
            elif re.match(r"\$ edgestack (explain|config show) .*\n[^$]", text):
                found.append((before, text))
    return found


def test_there_are_transcripts_to_test() -> None:
    assert len(transcripts()) == 4


@pytest.mark.parametrize(("block", "shown"), transcripts())
def test_what_a_command_is_shown_to_print_is_what_it_prints(
    block: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line, up to an ellipsis, of the configuration that stands before it; columns may stand closer."""
    from edgestack.cli import main

    in_a_project(tmp_path, monkeypatch, block)
    whole, *more = re.split(r"\n *…", shown)
    command, *lines = [closer(line) for line in whole.rstrip().splitlines()]
    told = [closer(line) for line in CliRunner().invoke(main, shlex.split(command)[2:]).stdout.splitlines()]
    assert lines == told[: len(lines)]
    assert more or len(lines) == len(told)


def closer(line: str) -> str:
    """A line whose columns stand one space apart."""
    return re.sub(r"(?<=\S) +", " ", line)

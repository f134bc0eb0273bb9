"""The project's own site: every link leads somewhere, nothing comes from elsewhere, every command it shows is one.

The commands are read by the real command line, as far as that goes without serving: each option and each value. What
else is shown is tried in test_site_shown.py.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

import edgestack.testing

SITE = Path(__file__).resolve().parent.parent / "site"
PAGES = sorted(SITE.rglob("*.html"))
GUIDE = [page for page in PAGES if page.parent.name == "guide"]
VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADING = {("link", "href"), ("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("use", "href")}
"""Attributes that make a browser fetch something by itself; a plain link only leads there."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SITE)))


class Document(HTMLParser):
    """A page as tests want it: balanced or refused, with its ids, links and headings."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.missing_alt = 0
        self.lang = self.title = ""
        self.stack: list[str] = []
        text = page.read_text("utf-8")
        assert text.startswith("<!doctype html>\n")
        self.feed(text)
        self.close()
        assert self.stack == [], f"{page.name}: left open: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.read(tag, attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.read(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"line {self.getpos()[0]}: </{tag}> closes nothing"
        assert self.stack.pop() == tag, f"line {self.getpos()[0]}: </{tag}> is crossed with another"

    def handle_data(self, data: str) -> None:
        if self.stack[-2:] == ["head", "title"]:
            self.title += data

    def read(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        assert len(values) == len(attrs), f"line {self.getpos()[0]}: an attribute stands twice"
        assert not any(name.startswith("on") for name in values), "no script, not even a small one"
        if tag == "html":
            self.lang = values["lang"]
        if tag == "img" and "alt" not in values:
            self.missing_alt += 1
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        self.loaded += [value for name, value in values.items() if (tag, name) in LOADING]


DOCUMENTS = {page: Document(page) for page in PAGES}


def resolved(page: Path, path: str) -> Path:
    """The file that a link's path means, as the server would find it."""
    found = (SITE / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()
    return found / "index.html" if path.endswith("/") else found


def test_the_site_has_its_rooms() -> None:
    names = {str(page.relative_to(SITE)) for page in PAGES}
    assert {"index.html", "quickstart.html", "404.html", "50x.html", "guide/index.html"} <= names
    assert len(GUIDE) >= 8


@every_page
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    from src.main import ROUTES

    for link in DOCUMENTS[page].links + DOCUMENTS[page].loaded:
        url = urlsplit(link)
        if url.scheme or (url.path in ROUTES and url.path != "/"):
            continue  # the world's, or the sample application's
        target = resolved(page, url.path) if url.path else page
        assert target.is_file(), f"{link} leads nowhere"
        assert target.is_relative_to(SITE)
        if url.fragment:
            assert url.fragment in DOCUMENTS[target].ids, f"{link}: no such place on that page"


@every_page
def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    document = DOCUMENTS[page]
    assert "script" not in document.tags
    for url in document.loaded:
        assert not urlsplit(url).netloc, url


@every_page
def test_everyone_can_read_it(page: Path) -> None:
    document = DOCUMENTS[page]
    assert document.lang == "en"
    assert document.title
    assert document.missing_alt == 0
    assert document.tags.count("h1") == 1
    assert document.tags.count("main") == 1
    assert {"header", "nav", "footer"} <= set(document.tags)
    assert len(document.ids) == len(set(document.ids))
    assert document.links[0] == "#main"  # the way past the navigation comes first
    assert "main" in document.ids


def test_titles_tell_pages_apart() -> None:
    titles = [document.title for document in DOCUMENTS.values()]
    assert len(titles) == len(set(titles))


def test_error_pages_work_from_any_address() -> None:
    for name in ("404.html", "50x.html"):
        document = DOCUMENTS[SITE / name]
        for url in document.loaded + document.links:
            assert url.startswith(("/", "#")), f"{name} names {url} relative to where it happens to be shown"


def test_the_guides_pages_have_the_same_contents() -> None:
    def contents(page: Path) -> list[str]:
        nav = re.search(r'<nav class="contents".*?</nav>', page.read_text("utf-8"), re.DOTALL)
        assert nav is not None
        return re.findall(r'href="(.*?)"', nav[0])

    assert {name for page in GUIDE for name in contents(page)} == {page.name for page in GUIDE}
    assert len({tuple(contents(page)) for page in GUIDE}) == 1


def test_the_style_sheet_is_small_and_needs_nothing() -> None:
    style = (SITE / "style.css").read_text("utf-8")
    assert len(style.encode()) <= 12 * 1024
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert style.count("{") == style.count("}")


def test_pages_are_light() -> None:
    for page in PAGES:
        most = {"configuration-reference.html": 112, "gunicorn.html": 32}.get(page.name, 24)  # every key, every setting
        assert page.stat().st_size <= most * 1024, page.name


# --- commands --------------------------------------------------------------------------------------------------------


def shown_code(page: Path) -> list[str]:
    """The text of every code element of a page, commands that go over several lines joined."""
    found = re.findall(r"<code>(.*?)</code>", page.read_text("utf-8"), re.DOTALL)
    return [unescape(re.sub(r"<[^>]*>", "", code)).replace("\\\n", " ") for code in found]


def commands(page: Path) -> list[str]:
    """The `edgestack …` command lines of a page, prompts and settings of the environment before them included."""
    lines = [line.strip().removeprefix("$ ") for code in shown_code(page) for line in code.splitlines()]
    lines = [line.partition("  #")[0].rstrip() for line in lines]
    lines = [re.sub("^Exec(Start|Reload)=/srv/shop/.venv/bin/", "", line) for line in lines]
    lines = [command for line in lines for command in line.split(" && ")]
    return [line for line in lines if re.match(r"(EDGESTACK_\w+=\S+ )*edgestack( |$)", line)]


README = SITE.parent / "README.md"

SHOWN = sorted(
    {command for page in PAGES for command in commands(page)}
    | {
        line[2:].partition(" #")[0].strip()
        for line in README.read_text("utf-8").splitlines()
        if line[:11] == "$ edgestack"
    }
)


def test_what_the_readme_points_at_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README.read_text("utf-8"))
    assert links
    for link in links:
        assert urlsplit(link).scheme or (README.parent / link).exists(), link


def test_there_are_commands_to_test() -> None:
    assert len(SHOWN) > 25


def parsed(line: str, monkeypatch: pytest.MonkeyPatch) -> click.Context:
    """What click makes of a command line: the innermost command's context. Nothing is run.

    :raises click.UsageError: for an option or a value that the command does not know.
    """
    from edgestack.cli import main

    words = shlex.split(line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    context = main.make_context("edgestack", words[1:])
    while isinstance(context.command, click.Group) and (left := [*context._protected_args, *context.args]):
        name, command, rest = context.command.resolve_command(context, left)
        assert command is not None
        context = command.make_context(name, rest, context)
    return context


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_shown_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = line.partition(" >")[0]
    if line.endswith(("--help", "--version")):
        with pytest.raises(click.exceptions.Exit) as left:
            parsed(line, monkeypatch)
        assert left.value.exit_code == 0
        return
    parsed(line, monkeypatch)


def test_the_environment_says_the_same_as_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    by_option, by_environment = [line for line in SHOWN if "--threads 16" in line or "EDGESTACK_THREADS=16" in line][
        ::-1
    ]
    assert parsed(by_option, monkeypatch).params == parsed(by_environment, monkeypatch).params


def test_python_that_is_shown_stands_in_tests_that_run() -> None:
    """The tests of the example project: whoever copies a block has what was run."""
    sources = [path.read_text("utf-8") for path in (SITE.parent / "tests" / "examples" / "shop").glob("*.py")]
    page = (SITE / "guide" / "testing.html").read_text("utf-8")
    blocks = [unescape(block) for block in re.findall(r'<pre class="python"><code>(.*?)</code></pre>', page, re.DOTALL)]
    pieces = [piece for block in blocks for piece in re.split(r"\n\n(?=@|def |async def |class )", block)]
    assert len(pieces) > 15
    for piece in pieces:
        assert any(f"{piece}\n" in source for source in sources), piece


WITHIN = {"leave", "last_words", "within", "connecting", "serve"}
"""What the files of `edgestack.testing` say to each other."""


def test_every_name_of_testing_is_documented() -> None:
    """Under "Every name" of its page, and in a docstring; classes with all that they have."""
    page = (SITE / "guide" / "testing.html").read_text("utf-8")
    told = set(re.findall(r"\w+", page.partition('<h2 id="names">')[2].partition("<h2")[0]))
    for name in edgestack.testing.__all__:
        one = getattr(edgestack.testing, name)
        assert name in told
        if not inspect.isclass(one) or issubclass(one, Exception):
            assert not callable(one) or one.__doc__, name
            continue
        members = {member for member in dir(one) if not member.startswith("_")} | set(one.__annotations__)
        verbs = set(edgestack.testing.__all__) | {"sequence"}
        assert members - WITHIN - told - verbs == set(), name
        assert all(inspect.getdoc(getattr(one, member, one)) for member in members), name


def every_command() -> Iterator[click.Command]:
    """The program, its commands, and theirs."""
    from edgestack.cli import main

    waiting: list[click.Command] = [main]
    while waiting:
        command = waiting.pop()
        yield command
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += [one for name in command.list_commands(context) if (one := command.get_command(context, name))]


def reference() -> str:
    return (SITE / "guide" / "command-line.html").read_text("utf-8")


def test_the_reference_tells_every_option_and_no_other() -> None:
    known = {"--help", "-h"}
    for command in every_command():
        options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
        known |= {name for param in options for name in (*param.opts, *param.secondary_opts)}
    told = re.findall(r"(?<![\w-])--?[a-zA-Z][a-z_-]*", unescape(re.sub(r"<[^>]*>", " ", reference())))
    assert set(told) == known


def test_the_reference_tells_every_command() -> None:
    text = unescape(re.sub(r"<[^>]*>", "", reference()))
    told = {word for words in re.findall(r"edgestack ((?:[a-z]+ ?)+)", text) for word in words.split()}
    for command in every_command():
        if command.name != "main":
            assert f"edgestack {command.name}" in text or command.name in told


def test_the_reference_tells_every_environment_variable() -> None:
    from edgestack.cli import serve

    told = set(re.findall(r"<small>(EDGESTACK_\w+)</small>", reference()))
    options = [param for param in serve.params if isinstance(param, click.Option) and param.allow_from_autoenv]
    assert told == {f"EDGESTACK_{param.name.upper()}" for param in options if param.name}


def test_every_setting_of_gunicorn_is_told() -> None:
    """Settings in one table, with their flags, hooks in another; each with its fate."""
    from edgestack.process.gunicorn.settings import SETTINGS

    page = (SITE / "guide" / "gunicorn.html").read_text("utf-8")
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', page, re.DOTALL)
    told = {
        re.findall(r"<code>(.*?)</code>", first)[0].partition("(")[0]: (first, text)
        for first, text in rows
        if "<code>" in first
    }
    for name, setting in SETTINGS.items():
        first, text = told[name]
        assert all(f"<code>{flag}</code>" in first for flag in setting.flags), name
        assert ("told in a warning" in text) is bool(setting.lost), name

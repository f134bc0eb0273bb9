"""`edgestack explain`: the words it takes, and how the steps are laid out (issue 3). What the steps are is tested with
the chains."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgestack import cli
from edgestack.compose import Step
from edgestack.config.positions import Origin
from edgestack.process import explain_command
from edgestack.process.banner import painter
from edgestack.process.explain_command import WIDEST, laid_out

FILE = """\
[[site]]
hosts = "example.com"
headers = { set = { X-One = "a, b", X-Two = "2" } }

[[site.route]]
static = "site/"

[[site.route]]
match = "/admin/"
respond = "the tools"
allow = "10.0.0.0/8"

[[site.route]]
match = { path = "/plan/", header = { X-Plan = "gold" } }
respond = 204
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["explain", *words])


@pytest.fixture(autouse=True)
def _in_a_small_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()
    Path("site/index.html").write_text("home")
    Path("edgestack.toml").write_text(FILE)


def told(*words: str) -> list[list[str]]:
    """The steps: name, what it says, place."""
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()[2:]
    assert all(line.startswith("  ") and line == line.rstrip() for line in lines)
    return [[part.strip() for part in line.split("  ") if part.strip()] for line in lines]


def test_each_step_with_its_place() -> None:
    steps = told("GET", "https://example.com/")
    assert steps[0][0] == "site"
    assert steps[0][-1] == "edgestack.toml:1"
    assert ["route", "/", "edgestack.toml:5"] in steps
    assert ["content", f"the file {Path('site/index.html').resolve()}", "edgestack.toml:6"] in steps
    assert ["headers", "+ X-One: a, b", "edgestack.toml:3"] in steps
    assert ["+ X-Two: 2"] in steps
    assert steps[-2:] == [["answer", "200"], ["log", "combined to standard output"]]


def test_what_was_asked_stands_above() -> None:
    assert run("POST", "/admin/").stdout.startswith("POST /admin/\n\n  ")
    assert run("/admin/").stdout.startswith("GET /admin/\n\n  ")


@pytest.mark.parametrize(("address", "status"), [("10.1.2.3", "200"), ("192.0.2.1", "403")])
def test_the_client_s_address(address: str, status: str) -> None:
    assert told("/admin/", "--from", address)[-2] == ["answer", status]


@pytest.mark.parametrize("option", ["-H", "--header"])
@pytest.mark.parametrize(
    ("field", "route"), [("X-Plan: gold", "/plan/"), ("x-plan:gold", "/plan/"), ("X-Plan: x", "/")]
)
def test_fields_of_the_request(option: str, field: str, route: str) -> None:
    (found,) = [step[1] for step in told("/plan/", option, field) if step[0] == "route"]
    assert found.split()[0] == route


def test_a_named_file_and_none_at_all() -> None:
    Path("edgestack.toml").rename("other.toml")
    assert told("/admin/", "-c", "other.toml", "--from", "10.0.0.1")[-2] == ["answer", "200"]
    assert told("/")[-2] == ["answer", "200"]  # ./site, as `serve` would have it


BAD = [
    (["GET", "/a", "/b"], "a request is a method and a URL, not 'GET /a /b'"),
    ([], "which request? for instance: edgestack explain GET https://localhost/"),
    (["GET"], "the URL is missing: GET what?"),
    (["G(T", "/"], "'G(T' is not a method"),
    (["example.com/x"], "'example.com/x' is neither a URL nor a path (did you mean https://example.com/x or"),
    (["/", "-H", "X-Plan gold"], "'X-Plan gold' is not a field"),
    (["/", "-H", ": gold"], "': gold' is not a field"),
    (["/", "-H", "X: a\nb"], "is not a field"),
    (["TRACE", "/"], "no client could ask this: 405"),
    (["/%00"], "no client could ask this: 400"),
]


@pytest.mark.parametrize(("words", "expected"), BAD)
def test_what_cannot_be_asked(words: list[str], expected: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_address_that_is_none() -> None:
    result = run("/admin/", "--from", "here")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'here' is not an address" in result.stderr


STEPS = [
    Step("route", "/", Origin("edgestack.toml", 7, 1)),
    Step("headers", "+ A: 1, 2, - B-c: x, + D: 3", Origin("edgestack.toml", 9, 1)),
    Step("content", "x" * (WIDEST + 1), Origin("edgestack.toml", 10, 1)),
    Step("answer", "200"),
]


def test_columns() -> None:
    """A field of the answer a line; a step that is very long moves only its own place on."""
    assert list(laid_out(STEPS, painter(False))) == [
        "  route    /          edgestack.toml:7",
        "  headers  + A: 1, 2  edgestack.toml:9",
        "           - B-c: x",
        "           + D: 3",
        f"  content  {'x' * (WIDEST + 1)}  edgestack.toml:10",
        "  answer   200",
    ]


def test_colour_changes_no_word() -> None:
    painted = "\n".join(laid_out([*STEPS, Step("error", "500: x"), Step("refused", "403: y")], painter(True)))
    for code in ("1", "2", "31", "32", "33", "0"):
        assert f"\x1b[{code}m" in painted
        painted = painted.replace(f"\x1b[{code}m", "")
    plain = laid_out([*STEPS, Step("error", "500: x"), Step("refused", "403: y")], painter(False))
    assert painted == "\n".join(plain)


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in run("/").stdout
    monkeypatch.setattr(explain_command, "wants_colour", lambda stream, environ: True)
    assert "\x1b[" in CliRunner().invoke(cli.main, ["explain", "/"], color=True).stdout

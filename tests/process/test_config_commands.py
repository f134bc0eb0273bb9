"""`edgestack check`, `config` and `hash-password`, and how errors of a file are told (issue 3, "Its commands")."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgestack import cli
from edgestack.config.load import load
from edgestack.phases.passwords import verify
from edgestack.process import config_commands, password_command


def run(*words: str, env: dict[str, str] | None = None, typed: str = "") -> Result:
    return CliRunner().invoke(cli.main, list(words), env=env, input=typed)


def write(text: str, name: str = "edgestack.toml") -> None:
    Path(name).write_text(text)


@pytest.fixture(autouse=True)
def _in_a_small_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()
    Path("site/index.html").write_text("home")
    Path("web.py").write_text("raise RuntimeError('nobody imports this')\n")


GOOD = """\
[server]
bind = ["127.0.0.1:8443", ":9000"]
threads = 3

[[site]]
hosts = ["example.com", "www.example.com"]
canonical = "apex"

[[site.route]]
static = "site/"
app = "web:app"

[[site.route]]
match = "= /health"
respond = 204

[[site.route]]
match = "/old/"
redirect = "/new$request_uri"

[[site]]

[[site.route]]
deny = "all"
"""


# --- check ------------------------------------------------------------------------------------------------------------


def test_a_good_file_is_told_in_a_few_lines() -> None:
    write(GOOD)
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "edgestack.toml is good.\n"
        "\n"
        "  listens  https://127.0.0.1:8443\n"
        "           https://*:9000\n"
        "  site example.com\n"
        "           www.example.com redirects to example.com\n"
        "           /          site/, then web:app\n"
        "           = /health  always 204\n"
        "           /old/      → /new$request_uri\n"
        "  site of every other host\n"
        "           /  no content\n"
    )


def test_routes_without_a_site_and_several_files() -> None:
    write('include = "more.toml"\n[server]\ntls = false\nbind = ["[::1]:1", "unix:a.sock"]')
    write('[[route]]\nstatic = "site/"\n[map.x]\nfrom = "$host"\nto = {}\n', "more.toml")
    result = run("check")
    assert result.stdout == (
        "edgestack.toml and more.toml are good.\n"
        "\n"
        "  listens  http://[::1]:1\n"
        "           unix:a.sock\n"
        "  routes   /  site/\n"
        "  maps     $x\n"
    )


BALANCED = """\
[server]
tls = false
[upstream.backend]
balance = "least_conn"
servers = [
    "127.0.0.1:1", { to = "https://b.example", backup = true }, "unix:/run/c.sock", { to = "127.0.0.1:4", down = true },
]
[upstream.cache]
hash = "$uri"
servers = ["127.0.0.1:5", { to = "127.0.0.1:6", down = true }]
[[route]]
proxy = "http://backend"
[[route]]
match = "/c/"
proxy = { to = "https://cache/x/" }
"""


def test_routes_that_proxy_and_groups_of_servers() -> None:
    write(BALANCED)
    result = run("check")
    assert result.stdout == (
        "edgestack.toml is good.\n"
        "\n"
        "  listens  http://127.0.0.1:8000\n"
        "  routes   /    → http://backend\n"
        "           /c/  → https://cache/x/\n"
        "  upstream backend  least_conn: 127.0.0.1:1, https://b.example backup, unix:/run/c.sock, and 1 more\n"
        "           cache  hash: 127.0.0.1:5, 127.0.0.1:6 down\n"
    )


@pytest.mark.parametrize(("count", "listed", "last"), [(12, 12, "= /11"), (13, 12, "and 2 more")])
def test_very_many_routes_are_not_all_listed(count: int, listed: int, last: str) -> None:
    write("".join(f'[[route]]\nmatch = "= /{at}"\nrespond = 204\n' for at in range(count)))
    lines = run("check").stdout.splitlines()[3:]
    assert len(lines) == listed
    assert lines[-1].strip().startswith(last)


def test_all_errors_at_once_each_with_its_place() -> None:
    write('[server]\nthread = 16\n\n[[route]]\nstatic = "sight/"\nlimit = { rate = "10" }\n')
    for command in ("check", "serve", "config show"):
        result = run(*command.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "edgestack.toml:2:1: there is no key `thread` in [server]\n"
            "2 | thread = 16\n"
            "  | ^^^^^^ did you mean `threads`?\n"
            "\n"
            "edgestack.toml:5:10: the folder sight/ does not exist\n"
            "5 | static = \"sight/\"\n"
            "  |          ^^^^^^^^ did you mean \"site/\"?\n"
            "\n"
            "edgestack.toml:6:18: the rate 10 has no unit\n"
            "6 | limit = { rate = \"10\" }\n"
            "  |                  ^^^^ did you mean \"10/s\"? or \"10/m\", \"10/h\"\n"
            "\n"
            "edgestack: 3 errors\n"
        )  # fmt: skip


def test_a_warning_is_no_error() -> None:
    write('include = "conf.d/*.toml"\n[[route]]\nstatic = "site/"')
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("edgestack.toml is good, with 1 warning.\n")
    assert result.stderr == (
        'edgestack.toml:1:11: no file is like this\n1 | include = "conf.d/*.toml"\n  |           ^^^^^^^^^^^^^^^\n\n'
    )


def test_a_certificate_that_is_none() -> None:
    for name in ("a.pem", "a.key"):
        Path(name).write_text("no PEM")
    write('[tls]\ncert = "a.pem"\nkey = "a.key"\n[[route]]\nstatic = "site/"')
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr == (
        "edgestack.toml:2:8: the certificate a.pem is not in PEM form: no BEGIN CERTIFICATE in it\n"
        '2 | cert = "a.pem"\n'
        "  |        ^^^^^^^\n\n"
        "edgestack: 1 error\n"
    )


@pytest.mark.parametrize(
    ("words", "env"),
    [(["-c", "other.toml"], {}), (["--config", "other.toml"], {}), ([], {"EDGESTACK_CONFIG": "other.toml"})],
)
def test_which_file(words: list[str], env: dict[str, str]) -> None:
    """Named by an option or a variable; else found in the current folder."""
    write('[[route]]\nstatic = "site/"')
    write("[[route]]\nrespond = 204", "other.toml")
    assert run("check", *words, env=env).stdout.startswith("other.toml is good.")
    assert run("check").stdout.startswith("edgestack.toml is good.")


def test_an_environment_variable_can_be_wrong_too() -> None:
    write('[[route]]\nstatic = "site/"')
    result = run("check", env={"EDGESTACK_THREADS": "many"})
    assert result.exit_code == 2
    assert result.stderr.startswith("edgestack: EDGESTACK_THREADS: `threads` is a whole number, not text (")


# --- the file's own tests ---------------------------------------------------------------------------------------------

TESTED = """\
[[route]]
static = "site/"

[[test]]
request = "GET /"
expect = { status = 200, body = "home" }

[[test]]
request = "GET /missing"
expect = { status = 200, route = "/", header = { X-There = true } }
"""


def test_a_test_that_fails_names_what_was_expected_and_what_came() -> None:
    write(TESTED)
    result = run("check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "edgestack.toml:8: GET /missing\n"
        "    expected status 200, and 404 came\n"
        "    expected the field x-there to be there, and there is none\n"
        "\n"
        "edgestack: 1 test of 2 failed\n"
    )


def test_tests_that_pass_are_counted() -> None:
    write(TESTED.replace("/missing", "/").replace(", header = { X-There = true }", ""))
    assert run("check").stdout.endswith("  tests    2 passed\n")


def test_an_application_beside_a_file_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder comes first on sys.path, wherever one stands."""
    monkeypatch.setattr("sys.path", sys.path[:])
    Path("shop").mkdir()
    module = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'beside']\n"
    Path("shop/beside_the_file.py").write_text(module)
    test = '[[test]]\nrequest = "GET /"\nexpect = { body = "beside" }\n'
    write(f'[[route]]\napp = "beside_the_file:app"\n{test}', "shop/shop.toml")
    assert run("check", "-c", "shop/shop.toml").exit_code == 0


def test_an_application_that_cannot_be_imported() -> None:
    """Told at the line that names it, after its own traceback."""
    write('[[route]]\napp = "web:app"\n[[test]]\nrequest = "GET /"\nexpect = { status = 200 }\n')
    result = run("check")
    assert result.exit_code == 2
    assert "nobody imports this" in result.stderr
    assert "edgestack.toml:2:7: " in result.stderr


# --- config show ------------------------------------------------------------------------------------------------------


def shown(*words: str, env: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Key -> value and origin."""
    result = run("config", "show", *words, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    found = {}
    for line in result.stdout.splitlines():
        if " = " in line:
            key, _, rest = line.partition(" = ")
            value, _, origin = rest.rpartition("  # ")
            found[key.strip()] = (value.strip(), origin)
    return found


def test_show_says_who_said_it() -> None:
    """flag > environment > file > default."""
    write('[server]\nthreads = 3\nkeepalive = "5s"\nmax_body = "1MB"\n\n[[route]]\nstatic = "site/"')
    found = shown("--threads", "4", env={"EDGESTACK_THREADS": "5", "EDGESTACK_KEEPALIVE": "6s"})
    assert found["server.threads"] == ("4", "--threads")
    assert found["server.keepalive"] == ('"6s"', "EDGESTACK_KEEPALIVE")
    assert found["server.max_body"] == ('"1MB"', "edgestack.toml:4")
    assert found["server.graceful_timeout"] == ('"30s"', "default")
    assert found["route[0].static"] == ('"site/"', "edgestack.toml:7")


def test_show_without_a_file() -> None:
    assert shown()["route[0].static"] == ('"site"', "default")
    assert run("config", "show").stdout.startswith("# no edgestack.toml here")
    assert shown("--static", "site")["route[0].static"] == ('"site"', "--static")


def test_a_shorthand_takes_the_place_of_the_file_s_route() -> None:
    write('[[route]]\nredirect = "https://example.com"')
    found = shown("--static", "site", env={"EDGESTACK_LISTING": "1"})
    assert found == found | {"route[0].static": ('{ root = "site", listing = true }', "--static")}
    assert "route[0].redirect" not in found


def test_columns_stay_in_place_where_a_value_is_long() -> None:
    write('[[route]]\nrespond = "' + "x" * 60 + '"')
    lines = [line for line in run("config", "show").stdout.splitlines() if line.endswith("# default")]
    assert len({line.index(" = ") for line in lines if line.index(" = ") < config_commands.WIDEST_KEY}) == 1
    assert len({line.index("  # ") for line in lines if len(line.partition(" = ")[2].partition("  # ")[0]) < 50}) == 1


# --- config schema and init -------------------------------------------------------------------------------------------


def test_the_schema_is_json() -> None:
    schema = json.loads(run("config", "schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "route" in schema["properties"]


def test_init_writes_a_file_that_holds() -> None:
    result = run("config", "init")
    assert result.exit_code == 0
    assert result.stdout.startswith("edgestack.toml is written.")
    assert load("edgestack.toml").config.routes[0].static is not None
    assert run("check").exit_code == 0


def test_init_takes_what_is_said() -> None:
    assert run("config", "init", "--static", "site", "--app", "web:app", "mine.toml").exit_code == 0
    (route,) = load("mine.toml").config.routes
    assert route.static is not None
    assert route.app is not None
    assert not Path("edgestack.toml").exists()


def test_init_in_an_empty_folder() -> None:
    Path("site/index.html").unlink()
    Path("site").rmdir()
    assert run("config", "init").exit_code == 0
    assert tomllib.loads(Path("edgestack.toml").read_text()).keys() == {"server"}


def test_init_overwrites_nothing() -> None:
    write("# mine")
    result = run("config", "init")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("edgestack: edgestack.toml is there already (it stays as it is;")
    assert Path("edgestack.toml").read_text() == "# mine"


def test_init_can_print() -> None:
    write("# mine")
    assert run("config", "init", "-").stdout.startswith("# edgestack.toml: what is served")
    assert Path("edgestack.toml").read_text() == "# mine"


def test_init_where_nothing_can_be_written() -> None:
    result = run("config", "init", "missing/edgestack.toml")
    assert result.exit_code == 2
    assert "missing/edgestack.toml cannot be written: no such file or directory" in result.stderr


# --- hash-password ----------------------------------------------------------------------------------------------------


def test_a_password_from_standard_input() -> None:
    result = run("hash-password", typed="wonderland\nsomething else\n")
    assert result.exit_code == 0
    assert verify(b"wonderland", result.stdout.removesuffix("\n"))


def test_a_line_for_a_password_file() -> None:
    name, _, stored = run("hash-password", "alice", typed="wonderland").stdout.removesuffix("\n").partition(":")
    assert name == "alice"
    assert verify(b"wonderland", stored)


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        (["hash-password"], "\n", "an empty password lets everybody in"),
        (["hash-password"], "", "an empty password lets everybody in"),
        (["hash-password", "a:b"], "x", "the name 'a:b' cannot stand in a password file"),
        (["hash-password", "a\nb"], "x", "cannot stand in a password file"),
        (["hash-password", "#a"], "x", "cannot stand in a password file"),
        (["hash-password"], "a\0b\n", "a password has at most 1024 bytes, and no NUL"),
        (["hash-password"], "x" * 1025, "a password has at most 1024 bytes, and no NUL"),
    ],
)
def test_what_cannot_be_hashed(words: list[str], typed: str, expected: str) -> None:
    result = run(*words, typed=typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr


def test_on_a_terminal_it_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_command, "on_a_terminal", lambda: True)
    result = run("hash-password", "alice", typed="one\ntwo\nwonderland\nwonderland\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("alice:$")
    assert result.stdout.count("\n") == 1
    assert "wonderland" not in result.output
    assert result.stderr.count("Password") == 2

"""From words to a configuration: where it comes from, what is completed, and where later errors are told (issue 3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgestack.config.model import Static
from edgestack.config.overrides import from_flags
from edgestack.config.problems import Problem
from edgestack.errors import ConfigError
from edgestack.process.configuring import configure, placed


@pytest.fixture(autouse=True)
def _in_a_small_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("site", "other"):
        Path(name).mkdir()
    Path("web.py").touch()


def file(text: str) -> Path:
    Path("edgestack.toml").write_text(text)
    return Path("edgestack.toml")


def test_process_keys_of_the_file_are_options() -> None:
    options = configure(file('[server]\npid = "p"\nready_file = "r"\nopen = true\n[[route]]\nstatic = "site"')).options
    assert (options.pid_file, options.ready_file, options.open_browser) == (Path("p"), Path("r"), True)
    assert (options.file, options.found, options.notes) == (Path("edgestack.toml"), False, ())


def test_a_file_without_a_route_serves_what_no_file_would() -> None:
    configured = configure(file("[server]\nthreads = 3"))
    assert configured.config.routes[0].static == Static(Path("site"))
    assert configured.options.notes == ("edgestack.toml has no route: serving ./site.",)
    assert configured.config.server.threads == 3


def test_what_is_needed_to_read_it_again() -> None:
    overrides = from_flags({"threads": 4})
    again = configure(file('[[route]]\nstatic = "site"'), overrides, found=True).options
    assert (again.file, again.found, again.overrides) == (Path("edgestack.toml"), True, tuple(overrides))


LISTENERS = [
    ("", True, True),
    ('bind = "127.0.0.1:1"', False, True),
    ("tls = false", True, False),
    ("[[listen]]\nat = ':1'", False, True),
    ("[[listen]]\nat = ':1'\nredirect = true", True, True),
    ("[[listen]]\nat = ':1'\ntls = false", False, False),
]


@pytest.mark.parametrize(("text", "inherit", "certificate"), LISTENERS)
def test_sockets_that_are_passed_and_the_development_certificate(text: str, inherit: bool, certificate: bool) -> None:
    """systemd's sockets are taken where the user names no address; a redirect is none."""
    options = configure(file(f'[server]\n{text}\n[[route]]\nstatic = "site"')).options
    assert (options.inherit, options.development_certificate) == (inherit, certificate)


def test_developers_get_fresh_files() -> None:
    text = '[server]\ndev = true\n[[site]]\n[[site.route]]\nstatic = "site"\npreset = "immutable-assets"'
    (site,) = configure(file(text)).config.sites
    assert site.routes[0].static == Static(Path("site"), cache_control="no-store")
    assert site.routes[0].cache_control == ()


# --- errors of later steps --------------------------------------------------------------------------------------------

LATER = [
    ('[server]\naccess_log = "a.log"', {}, "access-log", "edgestack.toml:2:14: it is full"),
    ("", {"access_log": "a.log"}, "access-log", "--access-log: it is full"),
    ("", {}, "access-log", "it is full"),
    ('[tls]\ncert = "web.py"\nkey = "web.py"', {}, "cert", "edgestack.toml:2:8: it is full"),
    ('[[route]]\napp = "web:a"', {}, "app", "edgestack.toml:2:7: it is full"),
    ("", {"app": "web:a"}, "app", "--app: it is full"),
    ('[[route]]\napp = "web:a"\n[[route]]\nmatch = "/b"\napp = "web:b"', {}, "app", "it is full"),
    ('[[site]]\n[[site.route]]\nstatic = "other"', {}, "static", "edgestack.toml:3:10: it is full"),
    ("", {}, "", "it is full"),
]


@pytest.mark.parametrize(("text", "flags", "key", "expected"), LATER)
def test_errors_of_later_steps_are_told_where_the_key_is_said(
    text: str, flags: dict[str, str], key: str, expected: str
) -> None:
    """Where several routes say it, nobody knows which; it is told as it is."""
    loaded = configure(file(text or "[server]"), from_flags(flags)).loaded
    error = placed(ConfigError("it is full", key=key), loaded)
    shown = error.shown() if isinstance(error, Problem) else str(error)
    assert shown.splitlines()[0] == expected


def test_an_applications_traceback_is_kept() -> None:
    error = ConfigError("it failed", key="app")
    error.traceback_text = "Traceback …"  # type: ignore[attr-defined]
    loaded = configure(file('[[route]]\napp = "web:a"')).loaded
    assert placed(error, loaded).traceback_text == "Traceback …"  # type: ignore[attr-defined]

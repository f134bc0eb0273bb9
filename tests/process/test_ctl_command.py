"""`edgestack ctl` and `edgestack systemd`, as they are typed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor_kit import PATIENCE, Supervised, get

from edgestack.config.model import Config, Listener
from edgestack.process.systemd_command import socket_unit, unit


def typed(server: Supervised, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", *words], cwd=server.folder, env=server.environ, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_supervisor_is_told(tmp_path: Path) -> None:
    """The control socket is this user's alone; a number that makes no sense is told, and nothing is done."""
    with Supervised(tmp_path, "workers = 2").ready() as server:
        status, out, _ = typed(server, "ctl", "status")
        assert status == 0
        assert "2 workers wanted" in out
        assert "0 connections, 0 requests" in out
        assert all(f"{pid}  serving" in out for pid in server.workers())
        assert typed(server, "ctl", "scale", "0")[0] == 2
        assert server.order(verb="scale", workers="many")["ok"] is False
        assert typed(server, "ctl", "scale", "1") == (0, "1 worker instead of 2\n", "")
        server.until_serving(1)
        assert "1 worker wanted" in typed(server, "ctl", "status")[1]
        assert typed(server, "ctl", "reload") == (0, "reloaded\n", "")
        assert len(json.loads(typed(server, "ctl", "status", "--json")[1])["workers"]) in (2, 3)
        assert server.order(verb="dance")["errors"] == [
            "there is no such verb; there are cache, reload, scale, status, stop, upstreams"
        ]
        assert typed(server, "ctl", "stop", "--now") == (0, "it stops\n", "")
        assert server.process.wait(PATIENCE) == 130


def test_one_process_is_told(tmp_path: Path) -> None:
    with Supervised(tmp_path, 'pid = "edgestack.pid"').ready() as server:
        status, out, _ = typed(server, "ctl", "--pid", "edgestack.pid", "status")
        assert status == 0
        assert f"process {server.process.pid}" in out
        assert "one process, 0 connections, 0 requests" in out
        status, _, err = typed(server, "ctl", "scale", "2")
        assert status == 2
        assert "without a supervisor" in err
        assert typed(server, "ctl", "stop")[0] == 0
        assert server.process.wait(PATIENCE) == 0
        assert typed(server, "ctl", "--pid", "edgestack.pid", "status")[0] == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_the_servers_behind_are_told_of(tmp_path: Path, workers: int) -> None:
    """Who is asked, and who is not and why; of every worker, since each finds that out by itself."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    routes = (
        f'[upstream.behind]\nservers = [{{ to = "127.0.0.1:{dead}", fail_timeout = "1h" }}, '
        f'{{ to = "127.0.0.2:{dead}", down = true }}]\n[[route]]\nmatch = "/behind"\nproxy = "http://behind"\n'
    )
    with Supervised(tmp_path, f"workers = {workers}", routes=routes).ready() as server:
        assert get(server.port, "/behind")[0] == 502
        status, out, _ = typed(server, "ctl", "upstreams")
        assert status == 0
        assert out.count("behind\n") == workers
        assert out.count("out: failed 1 time, next try in 3") == 1, "the other worker has not found out"
        assert out.count("out: down") == workers
        assert out.count("process ") == (workers if workers > 1 else 0)
        known = json.loads(typed(server, "ctl", "upstreams", "--json")[1])
        assert sorted(peer["failures"] for groups in known.values() for peer in groups[0]["peers"])[-1] == 1


def test_the_socket_is_private(tmp_path: Path) -> None:
    from edgestack.process.control import sockets_here

    with Supervised(tmp_path, "workers = 2").ready() as server:
        path = next(path for path in sockets_here(server.environ) if path.stem == str(server.process.pid))
        assert path.stat().st_mode & 0o777 == 0o600
        server.stop(signal.SIGTERM)
        assert not path.exists()


def test_a_unit_for_what_is_typed(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "systemd", "--static", "site", "-b", ":443"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert {"Type=notify", "WatchdogSec=30", "TimeoutStopSec=45", "ExecReload=/bin/kill -HUP $MAINPID"} <= set(lines)
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines
    assert any(line.startswith("ExecStart=/") and line.endswith(" serve --static site -b :443") for line in lines)


@pytest.mark.parametrize(("before", "line"), [((), "ExecStart=/"), (("--socket",), "ListenStream=127.0.0.1:8000")])
def test_a_unit_for_gunicorns_words(before: tuple[str, ...], line: str, tmp_path: Path) -> None:
    """`systemd` before what is typed; the file that `run` finds it finds there too."""
    (tmp_path / "gunicorn.conf.py").write_text("graceful_timeout = 7\n")
    (tmp_path / "web.py").write_text("def app(environ, start_response): ...\n")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "systemd", *before, "run", "-w", "2", "--access-logfile", "-", "web:app"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    (found,) = (one for one in done.stdout.splitlines() if one.startswith(line))
    if not before:
        assert found.endswith(" run -w 2 --access-logfile - web:app")
        assert {"TimeoutStopSec=22", "KillMode=mixed", f"WorkingDirectory={tmp_path}"} <= set(done.stdout.splitlines())


def test_words_are_written_as_systemd_reads_them() -> None:
    """systemd.service(5), Command lines: specifiers and variables are doubled, blanks are quoted."""
    text = unit(Config(), ["serve", "-c", "/etc/a b.toml", "--log-format", '100% $x "y"'])
    assert ' serve -c "/etc/a b.toml" --log-format "100%% $$x \\"y\\""\n' in text


@pytest.mark.parametrize(
    ("listener", "line"),
    [
        (Listener(host="", port=443), "ListenStream=443"),
        (Listener(host="127.0.0.1", port=80), "ListenStream=127.0.0.1:80"),
        (Listener(host="::1", port=80), "ListenStream=[::1]:80"),
        (Listener(path="/run/shop.sock"), "ListenStream=/run/shop.sock"),
    ],
)
def test_sockets_for_systemd(listener: Listener, line: str) -> None:
    assert line in socket_unit(Config(listeners=(listener, Listener(fd=3)))).splitlines()
    assert socket_unit(Config(listeners=(listener, Listener(fd=3)))).count("ListenStream") == 1

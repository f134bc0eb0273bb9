"""Hosting processes: how long the next one waits, and what must be installed."""

from __future__ import annotations

import pytest

from edgestack.config.model import Config, Server
from edgestack.config.processes import Processes
from edgestack.errors import ConfigError
from edgestack.hosting.order import Order
from edgestack.process import host_needs
from edgestack.process.host_group import delay_after
from edgestack.process.host_needs import environment, require


@pytest.mark.parametrize(("deaths", "delay"), [(1, 0), (2, 0.5), (3, 1), (4, 2), (7, 16), (8, 30), (100_000, 30)])
def test_back_off(deaths: int, delay: float) -> None:
    assert delay_after(deaths) == delay


def test_an_order_crosses_as_text() -> None:
    order = Order("process", "shop:café()", "/srv", 5, 6, "/tmp/0.sock", "abc", dev=True)
    assert Order.read(order.dump()) == order


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_needs, "find_spec", lambda name: None)
    require("process")
    with pytest.raises(ConfigError, match="gevent, which is not installed") as refused:
        require("gevent")
    assert refused.value.hint == "pip install gevent"
    assert refused.value.key == "worker_class"


@pytest.mark.parametrize(("reload", "compiled"), [(False, None), (True, "1")])
def test_environment(reload: bool, compiled: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    found = environment(Config(server=Server(processes=Processes(reload=reload, env=(("SHOP", "open"),)))))
    assert (found.get("PYTHONDONTWRITEBYTECODE"), found["SHOP"]) == (compiled, "open")


@pytest.mark.parametrize(
    ("processes", "hosting"),
    [
        (Processes(), ""),
        (Processes(worker_class="sync"), ""),
        (Processes(worker_class="asgi"), ""),
        (Processes(worker_class="process"), "process"),
        (Processes(worker_class="tornado"), "tornado"),
        (Processes(reload=True), "process"),
        (Processes(worker_class="gevent", reload=True), "gevent"),
    ],
)
def test_who_hosts(processes: Processes, hosting: str) -> None:
    assert processes.hosting == hosting

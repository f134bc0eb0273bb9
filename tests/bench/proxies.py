"""The servers that are compared where another one answers: edgestack and nginx, before the same upstream.

Starts nothing. The upstream belongs to the load: it runs on the load's core and is not counted. For files it is an
nginx; for WebSocket it is the load itself (`tunnels.py`), which needs no program of its own.
"""

from __future__ import annotations

from dataclasses import replace

from servers import EDGESTACK, NGINX_LOCATION, Command, Launch, Place, Server, nginx_launch

__all__ = ["edgestack_proxy", "edgestack_tunnel", "nginx_proxy", "nginx_tunnel"]

EDGE = """\
[server]
tls = false
access_log = "off"
bind = ["127.0.0.1:{port}"]

[upstream.application]
servers = ["127.0.0.1:{behind}"]
keepalive = 32

[[route]]
match = "/"
proxy = "http://application"
"""
NGINX_TUNNELS = NGINX_LOCATION.replace(
    'proxy_set_header Connection "";', "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
)
"""As nginx's own guide to WebSocket has it."""


def edge_launch(place: Place) -> Launch:
    """edgestack before whatever listens at the port behind."""
    conf = place.folder / "edge.toml"
    argv = (str(EDGESTACK), "serve", "-c", str(conf), "--ready-file", str(place.folder / "ready.json"))
    return Launch((Command(argv, place.address),), {conf: EDGE.format(port=place.port, behind=place.behind)})


def before(place: Place, *, location: str = NGINX_LOCATION) -> Launch:
    """nginx before it."""
    return nginx_launch(place, tls=False, log=False, upstream=f"127.0.0.1:{place.behind}", location=location)


def with_files_behind(place: Place, front: Launch) -> Launch:
    """The files of the site behind `front`, from an nginx on the load's core."""
    files = replace(place, folder=place.folder / "behind", port=place.behind)
    behind = nginx_launch(files, tls=False, log=False, aside=True)
    return Launch((*behind.commands, *front.commands), behind.files | front.files)


def edgestack_proxy() -> Server:
    """edgestack before files."""
    return Server(
        "edgestack (proxy, log off)",
        (str(EDGESTACK), "nginx"),
        lambda place: with_files_behind(place, edge_launch(place)),
    )


def nginx_proxy() -> Server:
    """nginx before files, with kept connections to the upstream, which are not its default in this version."""
    return Server("nginx (proxy, log off)", ("nginx",), lambda place: with_files_behind(place, before(place)))


def edgestack_tunnel() -> Server:
    """edgestack before an echo."""
    return Server("edgestack (tunnels, log off)", (str(EDGESTACK),), edge_launch)


def nginx_tunnel() -> Server:
    """nginx before an echo."""
    return Server("nginx (tunnels, log off)", ("nginx",), lambda place: before(place, location=NGINX_TUNNELS))

"""From what a test asks for to what is served: production's configuration, and what stands in the way replaced.

    laid_out(Wanted(file, options, replaced, upstreams), places)  ->  Layout(config, plan, applications, …)

What is production's stays: sites, routes, rules, limits, timeouts, caches. What belongs to its machine goes: addresses
to listen on become free ports of the loopback, certificates become the test authority's (for the same names), log, pid
and ready files are not written. Upstreams that the test scripts are put where the configuration names them. Errors are
those of `edgestack check`. Pure but for reading files and importing applications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from edgestack.compose import Plan, compose
from edgestack.config.documents import Document, read_documents, read_text
from edgestack.config.load import load as load_document
from edgestack.config.load import opened
from edgestack.config.model import App, Config, Listener, Tls, Upstream, UpstreamServer
from edgestack.config.overrides import from_flags, put
from edgestack.config.peer_addresses import PeerAddress, ServerAddress, parse_server
from edgestack.content.loading import load
from edgestack.errors import ConfigError
from edgestack.testing.authority import the_authority
from edgestack.testing.scripted import ScriptedUpstream

__all__ = ["Layout", "Places", "Wanted", "laid_out"]

Application: TypeAlias = "Callable[..., Any]"
Standing: TypeAlias = "ScriptedUpstream | str"
"""What takes a server's place: a script, or the address of something that runs."""

SELF = "edgestack.testing"
"""What errors about the test's own words begin with; and the module that applications without a name are said to be
of, since a configuration names each."""
LOCAL = ("pid", "ready_file", "error_log", "access_log", "open")
"""Keys of `[server]` that are about production's machine."""


@dataclass(frozen=True)
class Wanted:
    """What a test asks for."""

    file: Path | None = None
    text: str = ""
    """A configuration that stands in the test; relative paths begin in the current folder."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As on the command line of `edgestack serve`, with underscores."""
    replaced: Mapping[str, Any] = field(default_factory=dict)
    """See `Edge`."""
    upstreams: Mapping[str, ScriptedUpstream] = field(default_factory=dict)
    """By name."""
    memory: bool = False
    """No name is looked up, and nobody but scripted upstreams is asked."""
    portable: bool | None = None
    """Whether the portable driver serves; without a word, where the system has no epoll."""


@dataclass(frozen=True)
class Layout:
    """What is served."""

    config: Config
    plan: Plan
    applications: dict[App, Application]
    upstreams: dict[PeerAddress, ScriptedUpstream]
    hosts: tuple[str, ...]
    """Names of sites, wildcards too."""


class Places:
    """Addresses for scripted upstreams and names for applications: the same ones whenever the edge is laid out."""

    def __init__(self) -> None:
        self._servers: dict[ScriptedUpstream, PeerAddress] = {}
        self._targets: dict[int, tuple[str, Application]] = {}
        self._unasked: dict[str, PeerAddress] = {}

    def address(self, upstream: ScriptedUpstream) -> PeerAddress:
        """The one that stands for it."""
        number = len(self._servers) + 1
        host = f"198.18.{number // 250}.{number % 250}"
        return self._servers.setdefault(upstream, PeerAddress(host, 80, called=upstream.name))

    def unasked(self, to: ServerAddress) -> PeerAddress:
        """The one that stands for a server whose name is not looked up: RFC 5737 keeps 192.0.2.0/24 for examples."""
        number = len(self._unasked) + 1
        return self._unasked.setdefault(to.text, PeerAddress(f"192.0.2.{number % 250}", to.port, called=to.text))

    def target(self, app: Application) -> str:
        """A name for it."""
        return self._targets.setdefault(id(app), (f"{SELF}:app_{len(self._targets) + 1}", app))[0]


def laid_out(wanted: Wanted, places: Places) -> Layout:
    """Make ready for serving.

    :raises ConfigErrors: the configuration makes no sense.
    :raises ConfigError: an application cannot be loaded; a replacement replaces nothing.
    """
    given: dict[str, Application] = {}
    options = dict(wanted.options)
    app = options.get("app")
    if app is not None and not isinstance(app, str):
        if not callable(app):
            raise ConfigError(f"app={app!r} is no application", hint='a callable, or "module:name"')
        options["app"] = places.target(app)
        given[options["app"]] = app
    document = _document(wanted)
    replaced = dict(wanted.replaced)
    servers = {name.removeprefix("upstream."): replaced.pop(name) for name in list(replaced) if _is_group(name)}
    apps = {name.removeprefix("app."): replaced.pop(name) for name in list(replaced) if name.startswith("app.")}
    for name, value in replaced.items():
        put(document, name, value, f'replace["{name}"]')
    _put_own(document)
    config = load_document(document, _overrides(options)).config
    config = _with_listeners(config, options)
    config, upstreams = _with_upstreams(config, servers, wanted, places)
    plan = compose(config)
    applications = _applications(plan, {**given, **apps})
    return Layout(config, plan, applications, upstreams, _hosts(config))


def _is_group(name: str) -> bool:
    return name.startswith("upstream.") and name.count(".") == 1


def _document(wanted: Wanted) -> Document:
    if wanted.file is not None:
        return read_documents(wanted.file)
    return read_text(wanted.text, Path.cwd(), SELF) if wanted.text else opened(None)


def _put_own(document: Document) -> None:
    """Take out what is about the machine that production runs on."""
    server = document.values.get("server")
    if isinstance(server, dict):
        for name in LOCAL:
            server.pop(name, None)
    tls = document.values.get("tls")
    if isinstance(tls, dict) and tls.keys() & {"cert", "key"}:
        cert, key = the_authority().files()
        put(document, "tls.cert", [str(cert)], SELF)
        put(document, "tls.key", [str(key)], SELF)


def _overrides(options: Mapping[str, Any]) -> Any:
    said = {name: _said(name, value) for name, value in options.items()}
    known = from_flags(said)
    strange = said.keys() - {one.name for one in known} - {name for name, value in said.items() if value is None}
    if strange:
        why = f"there is no option {sorted(strange)[0]!r}"
        raise ConfigError(why, hint="options are those of `edgestack serve`, with underscores")
    return known


def _said(name: str, value: Any) -> Any:
    if name == "proxy":
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
        return [f"{prefix}={_target(to)}" if prefix else _target(to) for prefix, to in pairs]
    return str(value) if isinstance(value, Path) else value


def _target(to: Standing) -> str:
    return f"http://{to.name}" if isinstance(to, ScriptedUpstream) else to


def _hosts(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host for site in config.all_sites() for host in site.hosts))


def _with_listeners(config: Config, options: Mapping[str, Any]) -> Config:
    """The same listeners, on free ports of the loopback."""
    found = config.listeners or (Listener(tls=options.get("tls") is not False),)
    places = tuple(
        replace(one, host="127.0.0.1", port=0, path="", fd=-1, proxy_protocol=()) for one in found
    )  # fmt: skip
    names = (*_hosts(config), *(host for site in config.all_sites() for host, _ in site.moved))
    pair = the_authority().files(
        tuple(name.strip("[]") for name in names if "_" not in name)
    )  # no certificate may: IDNA
    tls = Tls((pair,), config.tls.minimum, config.tls.client_ca)
    return replace(config, listeners=places, tls=tls)


# --- upstreams --------------------------------------------------------------------------------------------------------


def _with_upstreams(
    config: Config, replaced: dict[str, Any], wanted: Wanted, places: Places
) -> tuple[Config, dict[PeerAddress, ScriptedUpstream]]:
    """Scripted upstreams where the configuration names them."""
    scripted = dict(wanted.upstreams)
    for stands in (one for said in replaced.values() for one in _listed(said)):
        if isinstance(stands, ScriptedUpstream):
            scripted.setdefault(stands.name, stands)
    groups = []
    for group in config.upstreams:
        said = replaced.pop(group.name, None)
        if said is None and group.name in scripted:
            said = scripted[group.name]
        servers = _replaced(group, _listed(said), places) if said is not None else _named(group, scripted, places)
        groups.append(replace(group, servers=_unasked(servers, places) if wanted.memory else servers))
    if replaced:
        why = f"there is no [upstream.{next(iter(replaced))}] to be replaced"
        names = ", ".join(group.name for group in config.upstreams) or "none"
        raise ConfigError(why, hint=f"upstreams here: {names}")
    here = {server.to.host for group in groups for server in group.servers} | {group.name for group in groups}
    groups += [
        Upstream((UpstreamServer(_server(one, "", places)),), name=name)
        for name, one in scripted.items() if name not in here and places.address(one).host not in here
    ]  # fmt: skip
    config = replace(config, upstreams=tuple(groups))
    return config, {places.address(one): one for one in scripted.values()}


def _listed(said: Any) -> Sequence[Standing]:
    return [said] if isinstance(said, ScriptedUpstream | str) else list(said)


def _replaced(group: Upstream, stands: Sequence[Standing], places: Places) -> tuple[UpstreamServer, ...]:
    """Other servers; what is said of one (weight, failures) holds for the one in its place."""
    before = [*group.servers, *[None] * len(stands)]
    return tuple(
        replace(was, to=_server(one, was.to.text, places))
        if was is not None
        else UpstreamServer(_server(one, "", places))
        for one, was in zip(stands, before, strict=False)
    )


def _named(
    group: Upstream, scripted: Mapping[str, ScriptedUpstream], places: Places
) -> tuple[UpstreamServer, ...]:  # fmt: skip
    """Servers whose host is the name of a scripted one."""
    return tuple(
        replace(one, to=_server(scripted[one.to.host], one.to.text, places)) if one.to.host in scripted else one
        for one in group.servers
    )


def _server(one: Standing, text: str, places: Places) -> ServerAddress:
    """:param text: as the configuration has it: consistent hashing goes by it."""
    if isinstance(one, str):
        return parse_server(one)
    address = places.address(one)
    return ServerAddress(address.host, address.port, text=text or one.name, called=address.called)


def _unasked(servers: Iterable[UpstreamServer], places: Places) -> tuple[UpstreamServer, ...]:
    """Servers of which no name is looked up."""

    def standing(to: ServerAddress) -> ServerAddress:
        return replace(to, host=places.unasked(to).host, called=to.text)

    return tuple(replace(one, to=standing(one.to)) if one.to.is_name else one for one in servers)


# --- applications -----------------------------------------------------------------------------------------------------


def _applications(plan: Plan, given: Mapping[str, Application]) -> dict[App, Application]:
    """Those that the test gives, and the rest loaded by name."""
    wanted = {app.target for app in plan.applications}
    for name in given:
        if name not in wanted:
            hint = f"applications here: {', '.join(sorted(wanted)) or 'none'}"
            raise ConfigError(f"no route has the application {name!r}", hint=hint)
    return {
        app: given[app.target] if app.target in given else load(app.target, app.folder) for app in plan.applications
    }

"""The counterpart of Django's LiveServerTestCase: the edge before the project, over HTTPS, as in production.

    class Login(EdgeLiveServerTestCase):
        edge_config = "edgestack.toml"          without it, every route is the project's

        def test_it(self):
            httpx2.get(self.live_server_url + "/login/", verify=self.site.ssl_context)

Django's own thread runs the edge in the place of its development server. What that one does for tests is done here too:
static files of the apps are served where the configuration has none of its own, and an in-memory SQLite database is
shared by all threads; connections to other databases are closed after each request, so that they can be dropped.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test.testcases import LiveServerTestCase, LiveServerThread
from django.utils.functional import classproperty

from edgestack.testing.edge import Edge
from edgestack.testing.site import Site

__all__ = ["EdgeLiveServerTestCase", "EdgeThread"]


class EdgeThread(LiveServerThread):
    """Serves in an edge."""

    edge: Callable[[Any], Edge]
    """Makes it, around an application of Django's."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._stopped = threading.Event()
        self.site: Site | None = None

    def run(self) -> None:
        """Serve until told to stop (`threading.Thread`)."""
        for alias, connection in self.connections_override.items():
            connections[alias] = connection
        try:
            application = self.static_handler(WSGIHandler())
            with self.edge(application).around(self._sharing) as site:
                self.site = site
                self.port = site.port
                self.is_ready.set()
                self._stopped.wait()
        except Exception as error:  # told by the thread that waits for this one
            self.error = error
            self.is_ready.set()
        finally:
            connections.close_all()

    def terminate(self) -> None:
        """Stop, and wait for that."""
        self._stopped.set()
        self.join()

    def _sharing(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The application, whose threads have the databases that the test has."""
        shared: Mapping[str, Any] = self.connections_override

        def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            for alias, connection in shared.items():
                connections[alias] = connection
            result = application(environ, start_response)
            if hasattr(result, "filelike") or shared.keys() >= set(connections):
                return result
            return _released(result, shared)

        return call


def _released(result: Iterable[bytes], shared: Mapping[str, Any]) -> Iterator[bytes]:
    """A body; after it, connections of this thread that the test does not share are closed."""
    try:
        close = getattr(result, "close", None)
        if close is None:
            yield from result
        else:
            with closing(result):  # type: ignore[type-var] # it has one
                yield from result
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.alias not in shared:
                connection.close()


class EdgeLiveServerTestCase(LiveServerTestCase):
    """A test case whose live server is an edge. `live_server_url` is https."""

    edge_config: ClassVar[str | None] = None
    """A configuration file, whose applications are the project's."""
    edge_options: ClassVar[Mapping[str, Any]] = {}
    """Further arguments of `edgestack.testing.Edge`."""
    server_thread_class = EdgeThread

    @classproperty
    def site(cls) -> Site:
        """The running edge."""
        site: Site = cls.server_thread.site
        return site

    @classproperty
    def live_server_url(cls) -> str:
        """Its URL, without a slash at the end."""
        url: str = cls.site.url("", host=cls.host)
        return url

    @classproperty
    def ssl_context(cls) -> ssl.SSLContext:
        """For clients: trusts the edge."""
        context: ssl.SSLContext = cls.site.ssl_context
        return context

    @classmethod
    def _create_server_thread(cls, connections_override: Mapping[str, Any]) -> EdgeThread:
        thread = EdgeThread(cls.host, cls.static_handler, connections_override=connections_override, port=cls.port)
        thread.edge = cls._edge
        return thread

    @classmethod
    def _edge(cls, application: Any) -> Edge:
        options = dict(cls.edge_options)
        if cls.edge_config is None and "text" not in options:
            options["app"] = application
        return Edge(cls.edge_config, **options)

"""ASGI applications: a task for each request, and one for the application itself (ASGI 3, HTTP 2.5, lifespan 2.0).

    detecting       is this object an ASGI application?
    application     one of them, alive: its loop, its lifespan, the calls that are under way
    loops           where it runs: on this loop of trio's, or
    asyncio_loop    on one of asyncio's, in a thread of its own
    held_loop       what holds a test's clock while that one works
    lifespan        startup and shutdown
    content         a Handler: from an exchange to a call, http or websocket
    scope           what the application is told of a request
    http_call       one request: receive and send, with backpressure both ways
    websocket       one WebSocket connection (RFC 6455)
    frames          its frames, which are read and written by wsproto
    extensions      whether its messages are compressed, and how that is agreed on (RFC 7692)
    deflating       what that does to frames
    messages        what an application sends, looked at

A wing like content/: it knows exchanges and bodies, and of the wire only what a body may be. The stack owns the
applications, since they live longer than a plan.
"""

from __future__ import annotations

from edgestack.asgi.application import AsgiApplication
from edgestack.asgi.content import Asgi
from edgestack.asgi.detecting import is_asgi

__all__ = ["Asgi", "AsgiApplication", "is_asgi"]

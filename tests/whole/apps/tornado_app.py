"""An application of tornado's own: it tells who asks, and waits on tornado's loop."""

from __future__ import annotations

import asyncio

from tornado.web import Application, RequestHandler


class Who(RequestHandler):
    """Who asks, as far as tornado knows."""

    async def get(self) -> None:
        await asyncio.sleep(0)
        request = self.request
        self.write({"ip": request.remote_ip, "scheme": request.protocol, "host": request.host, "uri": request.uri})


class Stuck(RequestHandler):
    """Computes, and never waits."""

    def get(self) -> None:
        stuck()


def stuck() -> None:
    while True:
        sum(range(1000))


app = Application([("/who", Who), ("/own/stuck", Stuck)])

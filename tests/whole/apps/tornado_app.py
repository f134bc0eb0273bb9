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


app = Application([("/who", Who)])

"""An upstream that answers each request in one write, and that may be killed at any moment.

    one_write.py NAME PORT

Requests are framed by Content-Length. The answer says who gave it, and how much came.
"""

from __future__ import annotations

import asyncio
import sys


async def serve(name: str, port: int) -> None:
    """Answer until the process is killed; "ready" on standard output when it listens."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                said = b"%d bytes" % len(body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nX-Name: %b\r\nContent-Length: %d\r\n\r\n%b" % (name.encode(), len(said), said)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))

"""A WebSocket server by the `websockets` library: it echoes, and does what some words of the protocol ask for.

echo.py FD [CERTIFICATE KEY]      a listening socket that it inherits

"count N"     N messages of its own, then the echo goes on
"close CODE"  a close frame with that code
"pieces TEXT" TEXT, in fragments of one letter
"wait"        a message at intervals, whatever the client does
"""

from __future__ import annotations

import socket
import ssl
import sys

from websockets.sync.server import ServerConnection, serve

INTERVAL = 0.5
"""Seconds between the messages of "wait"."""
TIMES = 5


def echo(connection: ServerConnection) -> None:
    """One tunnel."""
    if connection.request is not None and connection.request.path.endswith("/greeting"):
        connection.send("hello")
    for message in connection:
        order, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
        if order == "count":
            for number in range(int(rest)):
                connection.send(str(number))
        elif order == "close":
            connection.close(int(rest), "as asked")
        elif order == "pieces":
            connection.send(iter(rest))
        elif order == "wait":
            for number in range(TIMES):
                send_later(connection, number)
        else:
            connection.send(message)


def send_later(connection: ServerConnection, number: int) -> None:
    """A message after a pause in which the client says nothing."""
    try:
        connection.recv(timeout=INTERVAL)
    except TimeoutError:
        connection.send(str(number))


def main() -> None:
    """Serve on the inherited socket until it is killed."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    context = None
    if sys.argv[2:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[2:])
    # Without compression: what the tests send is what is on the wire.
    with serve(echo, sock=listener, ssl=context, compression=None, max_size=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

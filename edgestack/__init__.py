"""edgestack: one program in one process does the job of nginx and gunicorn together.

The map of the house. Imports go down only; the wings of floor 4 never import each other. `tests/test_floors.py` holds
this table as data and fails when an import climbs.

    8  process/  cli.py  certs/        who starts it      signals, logs, the development CA (click, trustme)
       hosting/                        who hosts it       an application in a process of its own, on the server it needs
       testing/  pytest_plugin.py      the edge in a test Edge, scripted upstreams, guards (pytest)
    7  stack.py  explaining.py         what runs          the nursery, listeners, adopt, drain | [[test]] in memory
    6  compose/                        Config -> Plan     pure; the only room that sees all wings; `explain`
    5  routing/  caching/              which chain        the spine: site, match, checks, content, errors | the cache
    4  content/  upstream/  phases/    what answers       files, applications | servers behind | error pages, access log
       asgi/                           what answers too   ASGI applications: HTTP, WebSocket, lifespan; trio or asyncio
       store/                          what is kept       responses, in memory and in a folder (cache.py is its door)
    3  wire/                           what moves bytes   sockets, TLS, h11, the lot, the portable driver
    2  config/                         what is wanted     frozen dataclasses, addresses, sizes (no trio)
    1  http/                           what it means      RFC 9110 and 9112 as values and pure functions (stdlib only)
    0  errors.py                       what went wrong    one tree

The life of a request, and where to read it:

    wire/accepting.py    a connection is accepted, shakes hands, and stands on
    wire/lot.py          the lot; when it is readable, it is read and
    wire/h1.py           heads come out (wire/h1_head.py: remembered lines, h11 decides);
    routing/             `handle(exchange)` finds the chain (locations.py) and runs it (road.py):
    content/static.py      a Response at once (most of the time), or
    content/wsgi.py        an AppCall, run by content/threads.py, which writes to
    wire/lot_outlet.py     an outlet: straight to the socket, or
    asgi/content.py        an Errand of its own, whose answer a task of the application makes, or
    wire/exchange_task.py  an awaitable, which gets a task (wire/receiving.py brings its request body), or
    wire/waiting.py        an Errand, begun by callbacks: another server answers (wire/pump.py, wire/tunnel.py);
    wire/sending.py      what does not leave at once is left to a Sender (wire/sender.py), and
    phases/access_log.py the ends of the exchange write its line.

`compose(config)` makes a Plan, `Stack(plan).serve()` runs it; the command line, `testing/` and the tests enter there
alone.

Walls that stand elsewhere than the first drawing had them, and why:

- `certs/` is a room of its own on floor 8: the authority, the system's trust stores and the command are three things.
- `codecs.py` stands by itself on floor 2: files and filters are both coded by it, and these wings never meet.
- `applications.py` stands by itself on floor 5: for the stack it loads WSGI and ASGI applications, two wings of floor 4
- `kept.py` stands by itself on floor 1: compose asks it, the stack owns it, and it must not know what it keeps.
- The lot is `wire/lot.py` (the turn, and one connection) over `lot_books.py` (registration, deadlines, closing, links).
- `wire/outbox.py` stands beside `sender.py`: it is the one piece that two threads touch, and it knows no socket.
- `wire/mover.py` is a thread of the lot's own: a large file leaves there once its socket is full, and the loop is woken
  once for it and not for every megabyte.
- The portable driver is `wire/portable.py` with `portable_stream.py` (a connection), `portable_watch.py` (does its
  client leave?), `portable_outlet.py`, `portable_relay.py` and `portable_accepting.py`; what both drivers share
  stands in `outlet.py`, `streaming.py` and `accepting.py`.
- `neighbours.py` stands by itself on floor 5: what a stack must know of other processes is made of pieces of two wings.
- A supervisor (`process/supervisor.py`) stands beside the line from `run.py` to `stack.py`: it never comes to a stack;
  its workers do, by the same `process/serving.py` as a process that serves alone.
- `pytest_plugin.py` stands beside `testing/` and not in it: every pytest of an environment imports it, and must not
  import the rest.
- `process/gunicorn/` is a room inside a room: what gunicorn's users bring ends there in the same document and overrides
  that a file and flags give, and behind it nobody asks whose language was spoken.
- `wire/held_clock.py` holds an autojumping test clock while threads and other loops work: a test's need, kept out of
  both drivers. Its `on_thread` is the only way to a thread of trio's.
"""

__version__ = "0.1.0"

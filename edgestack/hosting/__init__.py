"""A process that hosts one application, on a unix socket that nobody but its edge may enter.

    __main__            python -m edgestack.hosting ORDER: loads the application, and serves until it is told to stop
    order               what it is told at its start
    channel             its line to the edge: what it tells; where that ends, so does the process
    forking             with `preload`: loads the application once, and forks those that host it
    own                 the server of this house: WSGI on threads, ASGI (worker class `process`, and `reload`)
    gevent_server, eventlet_server, tornado_server       those libraries' own servers
    restored, answered  a WSGI application on another library's server: it sees what it would see at the edge, and
                         answers by the rules that hold there
    failing             what fails in here has the edge's own pages
    bounded             on green threads: a call that does not begin its answer is ended
    on_threads, crowd   on threads, beside tornado: one that hangs loses its slot; when all do, the process leaves

Started and watched by `process/hosts.py`. Nobody else may import another library's server.
"""

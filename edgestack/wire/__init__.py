"""The wire: sockets, TLS, and the two halves of HTTP/1. Below the command line nobody else touches them.

`h1_head` and `h1` are sans-I/O: they turn bytes into requests and never see a socket. The lot and the movers
(`receiving`, `sending`) turn events into calls of them, and answers into bytes. Nothing here knows what a request means
to a site, a route or an application: it is given a chain to call. May import `config`, `http` and `errors`.
"""

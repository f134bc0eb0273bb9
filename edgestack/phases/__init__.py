"""What guards an exchange and what finishes it: one file per rule. A phase must not know content, upstream or store.

Checks, wraps, filters and ends are functions over the Exchange (`http/messages.py`); their order is `compose.py`'s.
Each factory takes its section of the configuration, and gives None where that says nothing: then no link stands for it.

    access.py            access(allow, deny)                              -> Check    403
    connection_limit.py  connection_limit(limits, scope, keep, arena)     -> Check    429; given back by an end
    body_limit.py        body_limit(most)                                 -> Check    413; see `most_body(limits)`
    timeouts.py          route_timeouts(section)                          -> Check    send and body gaps of a route
    preflight.py         preflight(presets)                               -> Check    204 for CORS preflights ("cors")
    rate_limit.py        rate_limit(limits, scope, keep, arena)           -> Wrap     429, or the request waits its turn
    basic_auth.py        basic_auth(section, keep)                        -> Wrap     401
    auth_request.py      auth_request(path, handle, threads)              -> Wrap     401, 403, 500
    bandwidth.py         bandwidth(limits)                                -> Wrap     the answer leaves at a rate
    cache_rules.py       cache_rules(rules)                               -> Filter   Cache-Control
    inflating.py         inflating(wanted)                                -> Check    400, 413, 415; coded bodies (D7)
    compression.py       Undoing()                                        -> Check    entity-tags without suffixes (D3)
    compression.py       Compression(coder, forms)                        -> Filter   answers in a coding (D1 to D6)
    header_rules.py      header_rules(rules, scope)                       -> Filter   set, add, remove
    header_rules.py      strict_transport(value)                          -> Filter   HSTS, over TLS only
    access_log.py        AccessLog.end, AccessLog.ending(name, formats, scope) -> End one line per finished exchange
    arena.py             memory that workers share: shared_buckets.py and shared_counts.py are the two limits in it
    log_file.py          where such lines are written: never waits, never raises
    error_pages.py       ErrorPages(folder, dev)                          the page that answers an `EdgeError`
    subrequest.py        a request that the server asks itself (auth_request)
    passwords.py         hash_password(text), verify(password, hash), trouble(hash): what stands in a password file

What a caller must know:

- `scope` is the route's (`http.variables.Scope`: its regex, its maps). `keep` is `Resources.keep`: counters and
  remembered passwords are kept under the value of their section, so that a reload leaves them as they are.
- Checks stand in the order of the table; of the wraps `rate_limit` is outermost (a guess at a password costs a request
  of the rate), then `basic_auth`, `auth_request`, and innermost `bandwidth`. Of the filters `cache_rules` comes first,
  so that header rules have the last word.
- `connection_limit` adds to `exchange.ends`: a jump to another chain must not drop what is there.
- A refusal is raised (`Refused`, `ClientError`), by a wrap's handler before or while it is awaited.
- Each link has `describe(exchange) -> str`: what it would say, without counting, waiting or asking anybody.
- `handle` of `auth_request` is the site's own handler, met anew by the subrequest: its checks and content answer, its
  limits do not count it, and it is not logged. `threads` has `queue(job)` and `go()`: application code runs there.
- `bandwidth` gives answers a body in one tuple and makes application calls awaitable: the wire's shortest roads, which
  are not paced, do not take those.
- Where `most_body(limits)` is larger than the server's, the application must be told too: `Wsgi(limit=…)`.
"""

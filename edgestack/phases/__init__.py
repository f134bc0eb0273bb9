"""What guards an exchange and what finishes it: one file per rule. A phase must not know content, upstream or store.

    access_log.py   an end: one line per finished exchange, formatted and collected
    log_file.py     where such lines are written: never waits, never raises
    error_pages.py  the page that answers an `EdgeError`

Checks, wraps, filters and ends are functions over the Exchange (`http/messages.py`). Their order is `compose.py`'s.
"""

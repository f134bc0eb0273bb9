"""What the user wrote: read, checked and frozen, before anything is opened. It must not know trio, sockets or threads.

    model.py      the tree of frozen sections; each key documented once
    values.py     sizes and durations as people write them: "64KiB", "1m 30s"
    addresses.py  where to listen: "HOST:PORT", ":PORT", "[V6]:PORT", "unix:PATH", "fd://N"

What cannot be understood is a `ConfigError` that says what would be right.
"""

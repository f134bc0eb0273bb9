"""What the user wrote: read, checked and frozen, before anything is opened. It must not know trio, sockets or threads.

    load(path, overrides) -> Loaded(config, warnings, …), or ConfigErrors with all that is wrong          load.py

    what is wanted       model.py: Config, and the door to server.py, sites.py, routes.py, rules.py, listeners.py
                         each key is said once, at its field (keys.py), with what its value may be:
                         kinds.py, nested_, http_, host_, field_, place_, upstream_kinds.py; values.py, addresses.py,
                         peer_addresses.py, matching.py
    files                documents.py (includes), syntax.py (what tomllib stumbles over), positions.py (line and column)
    beside the files     overrides.py: flag > environment > file > default
    reading              reading.py: tables into sections; unknown.py: what was meant by a key that is not there
    checking             assembling.py: listen_, route_, reach_, site_, upstream_ and map_checks.py
    completing           presets.py, inheriting.py
    telling              problems.py: the errors that people like
    from the same keys   schema.py (for editors), show.py, starter.py, reference.py (for the site)

What cannot be understood is a `ConfigError` that says what would be right.
"""

"""Content: what answers an exchange once every check has let it through. One handler a file.

    static      files of a folder           (files: which file a path names; listing: the page of a folder)
    wsgi        a WSGI application, on a thread of its own
    fixed       redirects and answers that the configuration says itself
    trying      files and folders in order, and where to go when none is there (try)

A handler takes an Exchange and gives an Answer: a `Response` at once where nothing has to be waited for, an awaitable
where something has, an `AppCall` where application code must run. What cannot be served is raised as an `EdgeError`,
and the spine makes the page. Content knows neither sockets nor how heads are written, and never imports upstream/,
phases/ or store/.
"""

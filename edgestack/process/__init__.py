"""Keeping one server process alive: everything between the shell and `Stack`. No HTTP, no requests.

    cli.py -> run.serve(config, options) -> exit status
      checks      what the user named exists and is what it should be     ConfigError, told as one line, status 2
      logs        the error log
      markers     the pid file and the ready file
      sockets     bind, inherit, explain why not (holders: who has the port)
      [the application is loaded, the development certificate made]
      trio.run: signals opened, then the Stack serves, then the banner
      signals     stop, stop at once, reopen logs

What is slow comes after what can fail quickly: a port in use is told before the application is imported.
"""

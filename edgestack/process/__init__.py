"""Keeping server processes alive: everything between the shell and `Stack`. No HTTP, no requests.

    words -> commands       how commands differ from click's; errors told
             serve_options  the options, each a key of the file
             configuring    file, environment and options -> Config, Options     ConfigErrors, all at once, status 2

    cli.py -> run.serve(config, options) -> exit status                        one process
              supervisor.supervise(config, options) -> exit status             several: below

      checks      what the user named can be used                        ConfigError, put at its line, status 2
      logs        the error log
      starting    stop orders until the loop runs
      markers     the pid file and the ready file
      generation  one reading of the configuration, ready to be served:
        sockets     bind, inherit, explain why not (holders: who has the port)
        [the application is loaded, the development certificate made]
      serving     trio.run: signals opened, then the Stack serves, then the banner (scene); alone, or for a supervisor
      signals     stop, stop at once, reload, reopen logs
      reload, control_server     another generation in the place of this one; who may ask for it

    supervisor      plain code on a loop; announcing, supervisor_control: who is told, who may ask
      reloading     another generation beside this one         upgrade     another supervisor beside this one
      crew          the workers of one generation              children    one worker, as the supervisor has it
      spec          what a worker is told when it starts       channel     what both say afterwards
      board         a page of memory: signs of life, whose turn it is to accept
    worker          a process that serves for it               preloader   a process that loads, and forks workers
    hooks           what a gunicorn configuration has called, and when
    notify          what systemd is told                       deaths      why a process died, in words
    orphans         whom process 1 of a container reaps        parent      without whom nobody goes on importing
    control_place   where control sockets are, for either loop

    *_command, config_commands      the other commands, each imported when it is asked for
    banner, proxied                 what a person sees at start; routes and groups in words, for `check` too

What is slow comes after what can fail quickly: a port in use is told before the application is imported.
"""

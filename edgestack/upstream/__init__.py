"""Who else may answer: groups of servers, which of them is asked, and how it is asked. It must not know content/ and
phases/.

    which one            group.py: pick, failed, succeeded, release; peers.py: one peer, and what is known of it
                         balancing/: the ways to choose, pure; sticky.py; queueing.py: waiting for one
    who they are         resolving.py: names into addresses, again and again; health.py: active checks
"""

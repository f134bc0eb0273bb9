"""Who else may answer: groups of servers, which of them is asked, and how it is asked. It must not know content/ and
phases/.

    which one            group.py: pick, failed, succeeded, release; peers.py: one peer, and what is known of it
                         balancing/: the ways to choose, pure; sticky.py; queueing.py: waiting for one
    how it is asked      proxy.py: the content of a route; way.py: its section, compiled; errand.py: one exchange on
                         either road; attempting.py, retrying.py: whose fault, and who is next; talk.py: one request
                         over one link; payload.py; backend.py, pool.py: links
    what is said         target.py, request_head.py; answering.py, response_head.py, cookies.py; upgrade.py
    what outlives a plan service.py: groups with their tasks and links, kept under the value of their sections
    without any          telling.py: what would be asked, for `explain`; pretending.py: for a configuration's own tests
    who they are         resolving.py: names into addresses, again and again; health.py: active checks
"""

"""The cache of a route: a wrap that answers from the store, and stores what content answers (RFC 9111).

    cached.py     the wrap: a key, what is stored under it, and by the rules (http/caching.py) a road:
                  hit      a Response at once
                  wait     collapsed with another request for the same
                  lead     content is asked, and its answer stored on its way to the client
                  pass     content answers, and nothing is stored
    keys.py       what an answer is stored under
    asked.py      the exchange in which content is asked
    fetching.py   one fetch: what becomes of what content answers, for the store, the client, and those who wait
    roads.py      the same for each way in which content answers: an errand, an application, later
    tee.py        an application's answer on a thread, on its way to both
    stream.py     a stream made on the loop, on its way to both
    zone.py       one `[cache.NAME]`, alive: its store, what is being fetched, work in the background

Decisions are those of `http/caching*.py`, which is pure; bytes are kept by `store/`. What is stored has not passed the
filters of its route: they run each time, so that what they say of a request is said of each.
"""

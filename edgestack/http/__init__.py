"""HTTP as values and pure functions: RFC 9110 (semantics), RFC 9111 (caching), RFC 9112 (messages).

No socket, no thread, no clock, no configuration, and nothing but the standard library: what is in this room can be
tested with a table and reused anywhere. Text of messages is latin-1 throughout (PEP 3333); field names are lower case.
"""

"""The door to stored responses for application code, in the process that serves it.

    import edgestack.cache

    edgestack.cache.purge(tag="article-17")                       whatever was answered with `Cache-Tag: article-17`
    edgestack.cache.purge(url="https://example.com/articles/17")
    edgestack.cache.purge(prefix="/articles/")                    of every host

From any thread. It holds at once in this process, and within milliseconds in others that share the folder of the cache
(`disk`). Where several processes have each a cache in memory alone, each is purged by itself; `edgestack cache purge`
asks over the control socket.
"""

from __future__ import annotations

from edgestack.store.opening import open_stores

__all__ = ["purge"]


def purge(
    *, url: str | None = None, prefix: str | None = None, tag: str | None = None, store: str | None = None
) -> int:
    """Let go of stored responses; how many that were. Give one of `url`, `prefix` and `tag`.

    :param url: what was asked for, with its query; without scheme and host, of every host.
    :param prefix: the beginning of such URLs.
    :param tag: a word of the response's Cache-Tag or Surrogate-Key.
    :param store: NAME of `[cache.NAME]`; None for all. Where no cache runs, there is nothing to purge: 0.
    :raises ValueError: none of the three is given, or more than one; or no open cache has that name.
    """
    if sum(one is not None for one in (url, prefix, tag)) != 1:
        raise ValueError("edgestack.cache.purge() wants one of url=, prefix= and tag=")
    stores = open_stores()
    meant = [one for one in stores if store is None or one.name == store]
    if store is not None and stores and not meant:
        known = ", ".join(sorted({repr(one.name) for one in stores}))
        raise ValueError(f"there is no cache {store!r}; those that are open: {known}")
    return sum(one.purge(url=url, prefix=prefix, tag=tag) for one in meant)

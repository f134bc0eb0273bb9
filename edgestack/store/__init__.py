"""Stored responses, kept in memory and in a folder, by key and variant. What they mean is the rules' (http/caching.py).

    tiers.py      the Store: both tiers as one; what is asked of it
    draft.py      a body that comes piece by piece; a long one to its file (draft_file.py)
    memory.py     the first tier: least recently used goes first, bounded by bytes
    disk.py       the second: one file for each, written by one thread; what is in the folder is known by heart
    journal.py    what several processes tell each other about a folder that they share
    record.py     such a file: what stands where in it, and how it is known to be whole
    stored.py     the values

Nothing here asks a clock, a request or the network: how long something is fresh is not the store's to judge. It finds,
on the loop, at once; it writes on a thread of its own. What cannot be read, or is not what was written, is not there.
"""

from edgestack.store.draft import Draft
from edgestack.store.opening import open_nothing, open_store
from edgestack.store.stored import Listed, StoredResponse, StoreStatistics
from edgestack.store.tiers import Store

__all__ = ["Draft", "Listed", "Store", "StoreStatistics", "StoredResponse", "open_nothing", "open_store"]

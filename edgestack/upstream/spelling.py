"""Names of fields as people write them: `content-type` -> `Content-Type`.

Heads are read with names in lower case, and field names have no case (RFC 9110 §5.1); but there are programs that look
for the usual spelling, and it is what an origin server would have sent. Worked out once a name, in a bounded table.
"""

from __future__ import annotations

from edgestack.http.remembered import Remembered

__all__ = ["spelled"]

KEPT = 1024
"""Names in one generation; real traffic has some hundred."""
LONGEST = 64
"""Characters of a name worth remembering."""

UNUSUAL = {
    "dnt": "DNT", "etag": "ETag", "nel": "NEL", "te": "TE", "www-authenticate": "WWW-Authenticate", "x-xss-protection":
    "X-XSS-Protection", "x-dns-prefetch-control": "X-DNS-Prefetch-Control", "sec-websocket-key": "Sec-WebSocket-Key",
    "sec-websocket-accept": "Sec-WebSocket-Accept", "sec-websocket-version": "Sec-WebSocket-Version",
    "sec-websocket-protocol": "Sec-WebSocket-Protocol", "sec-websocket-extensions": "Sec-WebSocket-Extensions",
}  # fmt: skip


class _Names(Remembered[str, str]):
    __slots__ = ()

    def make(self, key: str) -> str:
        return UNUSUAL.get(key) or "-".join(part.capitalize() for part in key.split("-"))

    def weigh(self, key: str, value: str) -> int:
        return 1 if len(key) <= LONGEST else 0


spelled = _Names(KEPT).__getitem__
"""`spelled("etag") -> "ETag"`."""

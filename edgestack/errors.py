"""Every error that edgestack raises on purpose: one tree, so that a boundary needs one `except`.

    EdgeError                what went wrong, in terms of HTTP
    ├── ClientError          the request cannot be served as it came    4xx   source "downstream"
    │   └── Disconnected     the client left; nobody is there to answer 499
    ├── Refused              a rule of this server said no              401 403 429 503, `retry_after`
    ├── UpstreamError        a server behind us failed                  502 504
    ├── AppError             the application failed or broke PEP 3333   500   details go to the log only
    └── ConfigError          what the user wrote cannot be served       (exit status 2, never on the wire)

An error knows the status to answer with, who is to blame, whether another try elsewhere may help, and the one
sentence that may be shown to a stranger (`public`). `str(error)` is for the log and may tell more. Errors of libraries
(h11, ssl, OSError) are translated into these at one place per boundary.
"""

from __future__ import annotations

__all__ = ["AppError", "ClientError", "ConfigError", "Disconnected", "EdgeError", "Refused", "UpstreamError"]


class EdgeError(Exception):
    """The root of the tree.

    :param public: one sentence that may be shown to the client.
    :param status: the HTTP status to answer with (RFC 9110 §15).
    :param fields: response fields that this status demands, such as ``Allow`` with 405.
    :param detail: what the log says beyond `public`.
    """

    status = 500
    source = "edge"
    retry = False
    told = False
    """The log has been told of it, by whoever saw it first."""
    traceback_text = ""
    """The application's own traceback, where there is one: for the log, the command line and the development page."""

    def __init__(
        self, public: str = "", status: int | None = None, *, fields: tuple[tuple[str, str], ...] = (), detail: str = ""
    ) -> None:
        super().__init__(detail or public)
        self.public = public
        self.fields = fields
        if status is not None:
            self.status = status


class ClientError(EdgeError):
    """The request is malformed, too large, too slow, or asks for what is not there (4xx; 501 and 505 too)."""

    status = 400
    source = "downstream"


class Disconnected(ClientError):
    """The client left before its answer was ready; logged as 499, as nginx does."""

    status = 499


class Refused(EdgeError):
    """A rule or a limit of this server said no.

    :param retry_after: seconds after which the client may try again (RFC 9110 §10.2.3), or None.
    """

    status = 503

    def __init__(
        self,
        public: str = "",
        status: int | None = None,
        *,
        fields: tuple[tuple[str, str], ...] = (),
        detail: str = "",
        retry_after: int | None = None,
    ) -> None:
        if retry_after is not None:
            fields = (*fields, ("Retry-After", str(retry_after)))
        super().__init__(public, status, fields=fields, detail=detail)
        self.retry_after = retry_after


class UpstreamError(EdgeError):
    """A server behind us refused, broke off, or did not answer in time (502, 504).

    :param condition: which of nginx's `proxy_next_upstream` it meets: "error", "timeout" or "invalid_header".
    """

    status = 502
    source = "upstream"
    retry = True

    def __init__(
        self,
        public: str = "",
        status: int | None = None,
        *,
        fields: tuple[tuple[str, str], ...] = (),
        detail: str = "",
        condition: str = "error",
    ) -> None:
        super().__init__(public, status, fields=fields, detail=detail)
        self.condition = condition


class AppError(EdgeError):
    """The application raised, or gave something that PEP 3333 does not allow."""

    status = 500
    source = "application"


class ConfigError(EdgeError):
    """What the user wrote (a file, a flag, an environment variable) cannot be served.

    :param why: one sentence, in the user's words.
    :param hint: what to do about it, or the closest thing that would be right ("did you mean …").
    :param file, line, column: where it stands, when it stands in a file (line and column count from 1).
    :param key: the option or key at fault.
    """

    source = "configuration"

    def __init__(
        self, why: str, *, hint: str = "", file: str = "", line: int = 0, column: int = 0, key: str = ""
    ) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.file = file
        self.line = line
        self.column = column
        self.key = key

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return (f"{place}: " if place else "") + self.why + (f" ({self.hint})" if self.hint else "")

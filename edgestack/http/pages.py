"""The pages that the server makes itself: how an error looks, and the style that listings share with it.

Pure functions from values to bytes. Nothing here knows an exchange, a file, or which of its pages is wanted when;
`phases/error_pages.py` decides that. A page is one whole UTF-8 document: no script, no outside resource, light and dark
by the reader's own setting, and every text that came from elsewhere is escaped here, once.

    REASONS      status -> reason phrase                            RFC 9110 §15, RFC 4918, 6585, 7725, 8470
    ADVICE       status -> (what happened, what one can do)         the sentences when an error brings none
    page         title and markup -> document
    error_page, traceback_page                                      the two documents an error can become
"""

from __future__ import annotations

from html import escape

__all__ = ["ADVICE", "REASONS", "STYLE", "advice", "error_page", "footer", "page", "reason", "traceback_page"]

REASONS: dict[int, str] = {
    100: "Continue",
    101: "Switching Protocols",
    102: "Processing",
    103: "Early Hints",
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    418: "I'm a Teapot",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    499: "Client Closed Request",  # nginx's own, for the log; never on the wire
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
}
"""The phrases of the IANA registry, which are RFC 9110's (Python 3.11's http.HTTPStatus still has RFC 7231's)."""

ADVICE: dict[int, tuple[str, str]] = {
    400: ("The server could not understand this request.", "Check the address and try again."),
    401: ("This page asks who you are.", "Sign in and try again."),
    403: ("This page is not open to you.", "If you think it should be, ask whoever runs this site."),
    404: ("There is nothing at this address.", "Check its spelling, or begin again at the front page."),
    405: ("This address exists, but not for this kind of request.", "The Allow field says which kinds it takes."),
    406: ("There is no form of this page that your client accepts.", "Ask for another type or language."),
    408: ("The request took too long to arrive.", "Try again, perhaps over a steadier connection."),
    410: ("What was here has been taken away for good.", "Begin again at the front page."),
    411: ("The request does not say how long it is.", "Send it with Content-Length."),
    412: ("The page has changed since you last saw it.", "Load it anew, then try again."),
    413: ("What you sent is larger than this server takes.", "Send something smaller."),
    414: ("The address is longer than this server takes.", "Shorten it, or send the data in a form."),
    415: ("This server does not take data of that type here.", "Send it in another format."),
    416: ("The part you asked for lies beyond the end of the file.", "Ask for the whole of it."),
    417: ("The server cannot do what the Expect field asks.", "Send the request without it."),
    421: ("This server does not answer for that name.", "Check the address and try again."),
    425: ("The request came before the connection was safe.", "Send it again."),
    426: ("This address needs another protocol.", "The Upgrade field says which."),
    428: ("This change needs a condition, so that nothing is overwritten.", "Send it with If-Match."),
    429: ("That was a lot of requests in a short time.", "Wait a moment, then try again."),
    431: ("The request's header fields are larger than this server takes.", "Clearing the site's cookies often helps."),
    451: ("This page cannot be shown for legal reasons.", "Nothing can be done from here."),
    500: ("Something went wrong on this side.", "It has been noted; please try again in a moment."),
    501: ("This server does not know how to do that.", "Try it in another way."),
    502: ("A server behind this one gave no proper answer.", "Please try again in a moment."),
    503: ("The server has more to do than it can manage just now.", "Please try again in a moment."),
    504: ("The answer took too long to make.", "Please try again in a moment."),
    505: ("This server does not speak that version of HTTP.", "Use HTTP/1.1."),
}
"""For each status: what happened, and what one can do about it. `advice` answers for the statuses that are not here."""

FRONT = "the front page"
"""Where advice speaks of it, the page has a link to it."""

STYLE = """\
:root{color-scheme:light dark;--paper:#fbfaf7;--ink:#1f2529;--soft:#5b666d;--line:#dfdcd4;--card:#fff;--accent:#0b6560}
@media(prefers-color-scheme:dark){:root{--paper:#14181a;--ink:#e3e7e8;--soft:#9aa6ac;--line:#2d3539;--card:#1b2124;\
--accent:#6fcdc0}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;border-top:4px solid var(--accent);background:var(--paper);color:var(--ink);\
font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
main{max-width:46rem;margin:0 auto;padding:clamp(2rem,9vh,6rem) 1.25rem 3rem}
h1{margin:0 0 1rem;font-size:clamp(1.5rem,5vw,2.1rem);font-weight:650;line-height:1.2;letter-spacing:-.015em;\
text-wrap:balance}
p{margin:0 0 1rem;text-wrap:pretty}
a{color:var(--accent);text-underline-offset:.18em;text-decoration-thickness:1px}
a:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:2px}
code,pre,.status{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.status{margin:0 0 .25rem;color:var(--accent);font-size:1.05rem;font-weight:600;letter-spacing:.06em}
.soft,footer{color:var(--soft)}
footer{margin-top:2.5rem;padding-top:.9rem;border-top:1px solid var(--line);font-size:.85rem}
pre{margin:0 0 1rem;padding:1rem;overflow:auto;background:var(--card);border:1px solid var(--line);border-radius:8px;\
font-size:.82rem;line-height:1.55;tab-size:4}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.5rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:baseline}
th{color:var(--soft);font-size:.85rem;font-weight:600}
"""
"""The style of every page of this kind, under 2 KiB; a page may add rules of its own and use these variables."""


def reason(status: int) -> str:
    """The reason phrase of `status`; for a status nobody registered, that of its class (RFC 9110 §15)."""
    return REASONS.get(status) or REASONS.get(status // 100 * 100, "Unknown")


def advice(status: int) -> tuple[str, str]:
    """What happened, and what one can do, in two sentences for a stranger."""
    known = ADVICE.get(status)
    if known is not None:
        return known
    return ADVICE[500] if status >= 500 else ADVICE[400]


def page(title: str, body_html: str) -> bytes:
    """A whole HTML document.

    :param title: plain text; escaped here.
    :param body_html: markup for inside ``<main>``; its maker has escaped what needs it.
    """
    document = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body_html}\n</main>\n"
        "</body>\n</html>\n"
    )
    # a path that is not UTF-8 arrives as lone surrogates, which no encoder takes
    return document.encode("utf-8", "backslashreplace")


def error_page(status: int, sentence: str, request_id: str) -> bytes:
    """The built-in page for an error.

    :param sentence: what happened, as plain text; "" for the usual sentence of this status.
    :param request_id: shown, so that whoever runs the site can find the line in the log; "" when there is none.
    """
    happened, remedy = advice(status)
    remedy = escape(remedy).replace(FRONT, f'<a href="/">{FRONT}</a>')
    phrase = reason(status)
    body = (
        f'<p class="status">{status}</p>\n<h1>{escape(phrase)}</h1>\n'
        f'<p>{escape(sentence or happened)}</p>\n<p class="soft">{remedy}</p>'
    )
    return page(f"{status} {phrase}", body + footer(request_id))


def traceback_page(status: int, request_line: str, traceback_text: str, request_id: str, sentence: str = "") -> bytes:
    """The page of development mode: what the application raised (criterion F11).

    :param request_line: method and target of the request that did it.
    :param traceback_text: as the traceback module prints it; its last line is the exception.
    :param sentence: what more there is to say.
    """
    lines = traceback_text.strip().splitlines()
    last = lines[-1] if lines else reason(status)
    said = f"<p>{escape(sentence)}</p>\n" if sentence else ""
    body = (
        f'<p class="status">{status}</p>\n<h1>{escape(last)}</h1>\n{said}<p class="soft">while answering '
        f"<code>{escape(request_line)}</code></p>\n"
        f'<pre tabindex="0">{escape(traceback_text.strip())}</pre>\n'
        '<p class="soft">Only you see this: development mode shows it to clients on this machine alone.</p>'
    )
    return page(last, body + footer(request_id))


def footer(request_id: str) -> str:
    """The foot of a page; "" without a request id."""
    return f"\n<footer>Request id <code>{escape(request_id)}</code></footer>" if request_id else ""

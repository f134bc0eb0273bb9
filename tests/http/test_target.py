"""The request-target and its forms (RFC 9112 §3.2, RFC 3986 §3.2 and §5.2.4; criteria C8, E1, E3, F1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgestack.errors import ClientError
from edgestack.http.target import host_name, is_authority, normalize, read_path, split_absolute

PATHS = [
    # raw, normal, path_info, same, encoded slash
    ("/", "/", "/", True, False),
    ("/a/b.html", "/a/b.html", "/a/b.html", True, False),
    ("/a//b", "/a/b", "/a//b", False, False),
    ("//a", "/a", "//a", False, False),
    ("/a///", "/a/", "/a///", False, False),
    ("/a/./b", "/a/b", "/a/b", True, False),
    ("/a/../b", "/b", "/b", True, False),
    ("/a/b/..", "/a/", "/a/", True, False),
    ("/a/.", "/a/", "/a/", True, False),
    ("/a/..", "/", "/", True, False),
    ("/.", "/", "/", True, False),
    ("/...", "/...", "/...", True, False),
    ("/.a/..b", "/.a/..b", "/.a/..b", True, False),
    ("/a%20b", "/a b", "/a b", True, False),
    ("/%61", "/a", "/a", True, False),
    ("/%2561", "/%61", "/%61", True, False),  # decoded once (C8)
    ("/%2e%2E/a", None, None, None, None),  # dots are resolved after decoding
    ("/a/%2e%2e/b", "/b", "/b", True, False),
    ("/a%2Fb", "/a/b", "/a/b", True, True),
    ("/a%2f..%2fb", "/b", "/b", True, True),
    ("/a%5Cb", "/a\\b", "/a\\b", True, True),
    ("/caf%C3%A9", "/café", "/cafÃ©", True, False),  # UTF-8 for us, latin-1 for PEP 3333
    ("/%FF", "/\udcff", "/ÿ", True, False),
    ("/a;b=c", "/a;b=c", "/a;b=c", True, False),
    ("/a+b", "/a+b", "/a+b", True, False),
]


@pytest.mark.parametrize(("raw", "normal", "path_info", "same", "encoded_slash"), PATHS)
def test_forms_of_a_path(raw: str, normal: str | None, path_info: str, same: bool, encoded_slash: bool) -> None:
    """C8, F1: decoded once, dots resolved; slashes merged in one form and kept in the other."""
    if normal is None:
        with pytest.raises(ClientError):
            read_path(raw)
        return
    path = read_path(raw)
    assert (path.raw, path.normal, path.path_info) == (raw, normal, path_info)
    assert (path.same, path.encoded_slash) == (same, encoded_slash)


@pytest.mark.parametrize(
    "raw",
    ["", "a", "?", "/..", "/../x", "/a/../../x", "/%2e%2e/x", "/..%2fx", "//../../x", "/%00", "/a%00.html", "/%", "/%4",
     "/%zz", "/a%2", "/a#b", "/a//../b", "//.."],
)  # fmt: skip
def test_paths_refused(raw: str) -> None:
    """C8: 400, not a guess. `/a//../b` has two readings: with slashes merged first it is /b, else /a/b."""
    for _ in range(2):  # nothing wrong gets into the table
        with pytest.raises(ClientError) as caught:
            read_path(raw)
        assert caught.value.status == 400


def test_a_known_path_is_the_same_object() -> None:
    assert read_path("/known/path") is read_path("/known/path")
    long = "/" + "x" * 256
    assert read_path(long) is not read_path(long)
    assert read_path(long[:-1]) is read_path(long[:-1])


@given(st.text(alphabet="/.a%2eFfcC3%b", max_size=24))
@settings(max_examples=300)
def test_the_two_forms_differ_in_slashes_only(tail: str) -> None:
    """What is accepted never leaves the root, and merging the slashes of path_info gives normal."""
    try:
        path = read_path("/" + tail)
    except ClientError:
        return
    segments = path.normal.split("/")
    assert path.normal[0] == path.path_info[0] == "/"
    assert "//" not in path.normal
    assert "." not in segments
    assert ".." not in segments
    merged = path.path_info
    while "//" in merged:
        merged = merged.replace("//", "/")
    assert merged.encode("latin-1") == path.normal.encode("utf-8", "surrogateescape")
    assert path.same == (merged == path.path_info)


@pytest.mark.parametrize(
    ("written", "normal"),
    [("/", "/"), ("/a//b/./c/..", "/a/b/"), ("/a%20b", "/a%20b"), ("/café", "/café")],
)
def test_normalize_a_configured_path(written: str, normal: str) -> None:
    assert normalize(written) == normal


def test_normalize_refuses_what_climbs() -> None:
    with pytest.raises(ClientError):
        normalize("/a/../../b")


AUTHORITIES = [
    # RFC 3986 §3.2.2, §3.2.3; RFC 9110 §4.2.1 (never empty), §4.2.4 (no user information)
    ("example.com", True, "example.com"),
    ("Example.COM:8443", True, "example.com"),
    ("example.com.", True, "example.com"),
    ("example.com.:80", True, "example.com"),
    ("example.com:", True, "example.com"),
    ("localhost:65535", True, "localhost"),
    ("localhost:65536", False, ""),
    ("localhost:123456", False, ""),
    ("127.0.0.1:80", True, "127.0.0.1"),
    ("[::1]", True, "[::1]"),
    ("[::1]:8443", True, "[::1]"),
    ("[FE80::1]", True, "[fe80::1]"),
    ("[::ffff:1.2.3.4]", True, "[::ffff:1.2.3.4]"),
    ("a_b-c~d.e", True, "a_b-c~d.e"),
    ("a%2db", True, "a%2db"),
    ("", False, ""),
    (":80", False, ""),
    ("[]", False, ""),
    ("[::1", False, ""),
    ("::1", False, ""),
    ("[::1]x", False, ""),
    ("[fe80::1%25eth0]", False, ""),
    ("[v1.a]", False, ""),
    ("[1.2.3.4]", False, ""),
    ("user@example.com", False, ""),
    ("example.com:80:80", False, ""),
    ("example.com:-1", False, ""),
    ("example.com:8o", False, ""),
    ("example.com/", False, ""),
    ("exa mple.com", False, ""),
    ("example.com\t", False, ""),
    ("a%zz", False, ""),
    ("a\\b", False, ""),
    ("<a>", False, ""),
    ('"a"', False, ""),
    ("exämple.com", False, ""),
    ("a\n", False, ""),
]


@pytest.mark.parametrize(("text", "valid", "host"), AUTHORITIES)
def test_authorities(text: str, valid: bool, host: str) -> None:
    """E1: a malformed Host is refused."""
    assert is_authority(text) is valid
    if valid:
        assert host_name(text) == host


def test_no_authority_has_no_name() -> None:
    assert host_name("") == ""


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("http://example.com/a?b=c", ("http", "example.com", "/a", "b=c")),
        ("HTTPS://Example.com:1/", ("https", "Example.com:1", "/", "")),
        ("http://example.com", ("http", "example.com", "/", "")),
        ("http://example.com?x", ("http", "example.com", "/", "x")),
        ("http://[::1]:80//a/?", ("http", "[::1]:80", "//a/", "")),
    ],
)
def test_absolute_form(target: str, parts: tuple[str, str, str, str]) -> None:
    """E3, RFC 9112 §3.2.2."""
    assert split_absolute(target) == parts


@pytest.mark.parametrize(
    "target",
    ["ftp://a/", "http:/a", "http://", "http:///a", "http://u@a/", "http://u:p@a/", "http://a b/", "http://a:99999/",
     "http://a/#f", "//a/b", "a:80", "http://a\\@b/", "javascript://a/"],
)  # fmt: skip
def test_absolute_form_refused(target: str) -> None:
    """E3: http and https only, a whole authority, no user information, no fragment."""
    with pytest.raises(ClientError) as caught:
        split_absolute(target)
    assert caught.value.status == 400

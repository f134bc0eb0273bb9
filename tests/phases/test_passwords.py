"""What stands in password files. The hashes were made by OpenSSL 3 (`passwd`, `dgst`, `kdf`), not by us."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from edgestack.phases.passwords import LONGEST, hash_password, read_passwords, trouble, verify

LONG = "correct horse battery staple longer than sixteen"

VECTORS = [
    ("a", "$apr1$r31.....$s7OSk4uJoyS8elmZY5Ru40"),
    ("a", "$1$abc$uAXS.Zj1ZDNcW9iX1TVH2/"),
    ("password", "$apr1$r31.....$ARC3pREO82RIm0aQ2zszC0"),
    ("password", "$1$abc$BXBqpb9BZcZhXLgbee.0s/"),
    (LONG, "$apr1$r31.....$VX3AP4MH5DwyvLRfs5GbE."),
    (LONG, "$1$abc$jRW2JIhnuGZckSmjViVQ21"),
    ("pässwörd", "$apr1$r31.....$CnMBtjJHTKsiwi5FN79xp0"),
    ("pässwörd", "$1$abc$va.mDh.xD0xaCpxxh9akd0"),
    ("", "$apr1$x$tMwYqBfQwi3FYAr0aJc8M/"),
    ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ("secret", "{SSHA}8bX4JQDfZqtTfvnQ4ssDmWb17/FTQUxU"),
    ("secret", "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$S7FwBvpu+z8K0PUVUagFRTUAB2dAxIZpzVHvLZir+98"),
]


@pytest.mark.parametrize(("password", "stored"), VECTORS)
def test_known_hashes(password: str, stored: str) -> None:
    assert trouble(stored) == ""
    assert verify(password.encode(), stored)
    assert not verify(password.encode() + b"x", stored)
    assert not verify(password.swapcase().encode() or b"A", stored)


def test_our_own() -> None:
    stored = hash_password("hunter2")
    assert stored.startswith("$scrypt$ln=15,r=8,p=3$")
    assert ":" not in stored, "it stands between colons"
    assert stored != hash_password("hunter2"), "a salt of its own"
    assert verify(b"hunter2", stored)
    assert not verify(b"hunter3", stored)
    assert trouble(stored) == ""


@pytest.mark.parametrize(
    "stored",
    [
        "", "secret", "{PLAIN}secret", "{SHA}", "{SHA}!", "{SSHA}", "$apr1$", "$apr1$x", "$apr1$x$y$z", "$scrypt$",
        "$scrypt$ln=10,r=8,p=1$$", "$scrypt$ln=10,r=8,p=1$MDEy$", "$scrypt$ln=x,r=8,p=1$MDEy$MDEy",
        "$scrypt$ln=30,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "$scrypt$ln=22,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg",
        "$2y$05$x", "$argon2id$x", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA", "$6$salt$hash",
        "$1$salt$h\xe9", "$apr1$s\udcff$h", "{SHA}\xe9", "$scrypt$ln=10,r=8,p=1$MDEy$\u0663",
    ],
)  # fmt: skip
def test_what_cannot_be_read_lets_nobody_in(stored: str) -> None:
    for password in (b"", b"secret", b"x"):
        assert not verify(password, stored)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("secret", "not known"),
        ("$6$salt$hash", "not known"),
        ("$scrypt$ln=30,r=8,p=1$MDEy$MDEy", "out of bounds"),
        ("$scrypt$nonsense", "no scrypt hash"),
        ("$1$salt$h\xe9", "letters that no hash has"),
    ],
)
def test_trouble_is_told(stored: str, words: str) -> None:
    assert words in trouble(stored)


@pytest.mark.parametrize(
    ("stored", "package", "module"),
    [("$2y$05$x", "bcrypt", "bcrypt"), ("$argon2id$x", "argon2-cffi", "argon2")],
)
def test_a_package_that_is_missing_is_named(stored: str, package: str, module: str) -> None:
    assert (package in trouble(stored)) is (find_spec(module) is None)


@pytest.mark.parametrize(("size", "fits"), [(LONGEST - 1, True), (LONGEST, True), (LONGEST + 1, False)])
def test_the_length_of_a_password_is_bounded(size: int, fits: bool) -> None:
    import base64
    import hashlib

    password = b"x" * size
    stored = "{SHA}" + base64.b64encode(hashlib.sha1(password).digest()).decode()
    assert verify(password, stored) is fits


def test_files() -> None:
    text = "# staff\n\nalice:{SHA}a\nbob:$apr1$b:a comment\nalice:second\n:nameless\nbroken\n"
    assert read_passwords(text) == {"alice": "{SHA}a", "bob": "$apr1$b"}

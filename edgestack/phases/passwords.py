"""What stands in a password file: `name:hash` lines, the schemes that are read, and the one that is written.

    $scrypt$ln=15,r=8,p=3$salt$hash    ours (RFC 7914; parameters of OWASP's cheat sheet: 32 MiB, about 0.2 s)
    $apr1$salt$hash  $1$salt$hash      htpasswd -m, and MD5 crypt before it
    {SHA}hash  {SSHA}hash+salt         htpasswd -s, and slappasswd
    $2y$… $2b$… $2a$…                  htpasswd -B; where the package `bcrypt` is installed
    $argon2id$…  $argon2i$…            where the package `argon2-cffi` is installed

Pure but for the salt, and slow on purpose: never on the loop. Hashes are compared in constant time. A hash that cannot
be read matches nothing; `trouble` says why.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["LONGEST", "hash_password", "read_passwords", "trouble", "verify"]

LONGEST = 1024
"""Bytes of a password; a longer one is wrong, and costs nothing."""
LN, R, P = 15, 8, 3
MOST_MEMORY = 256 * 1024 * 1024
"""Bytes that one check by scrypt may take, whatever a file asks for."""
ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NEEDS = {"$2": "bcrypt", "$argon2": "argon2"}
"""Schemes that need a package, by how they begin."""


def hash_password(password: str) -> str:
    """The hash of `password`, with a salt of its own."""
    salt = os.urandom(16)
    digest = _scrypt(password.encode("utf-8", "surrogateescape"), salt, LN, R, P)
    return f"$scrypt$ln={LN},r={R},p={P}${_unpadded(salt)}${_unpadded(digest)}"


def verify(password: bytes, stored: str) -> bool:
    """Whether `stored` is a hash of `password`. Slow: for a thread."""
    check = next((check for begin, check in SCHEMES.items() if stored.startswith(begin)), None)
    if check is None or len(password) > LONGEST or b"\0" in password or not stored.isascii():
        return False
    try:
        return check(password, stored)
    except (ValueError, IndexError, ImportError, binascii.Error):
        return False  # `trouble` has told the log when the file was read


def trouble(stored: str) -> str:
    """Why nobody can log in by this hash; "" when it can be checked."""
    if not stored.isascii():
        return "its hash has letters that no hash has"
    if not any(stored.startswith(begin) for begin in SCHEMES):
        return "its scheme is not known; `edgestack hash-password` makes one that is"
    for begin, package in NEEDS.items():
        if stored.startswith(begin) and find_spec(package) is None:
            return f"it needs the package `{'argon2-cffi' if package == 'argon2' else package}`: pip install it"
    if stored.startswith("$scrypt$"):
        try:
            _scrypt_parts(stored)
        except (ValueError, IndexError, binascii.Error) as error:
            return f"it is no scrypt hash: {error}"
    return ""


def read_passwords(text: str) -> dict[str, str]:
    """Name -> hash of a password file; of a name that stands twice, the first. Blank lines and comments are skipped.

    What follows a second colon is a comment, as in nginx (auth_basic_user_file).
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name and not line.startswith("#"):
            found.setdefault(name, rest.partition(":")[0].strip())
    return found


# --- the schemes ------------------------------------------------------------------------------------------------------


def _scrypt(password: bytes, salt: bytes, ln: int, r: int, p: int, size: int = 32) -> bytes:
    memory = 128 * r * ((1 << ln) + p + 2) + 65536
    return hashlib.scrypt(password, salt=salt, n=1 << ln, r=r, p=p, maxmem=memory, dklen=size)


def _scrypt_parts(stored: str) -> tuple[int, int, int, bytes, bytes]:
    _, _, parameters, salt, digest = stored.split("$")
    said = dict(part.split("=") for part in parameters.split(","))
    ln, r, p = int(said["ln"]) if "ln" in said else 0, int(said.get("r", 0)), int(said.get("p", 0))
    if not (0 < ln <= 24 and 0 < r <= 64 and 0 < p <= 16) or 128 * r << ln > MOST_MEMORY:
        raise ValueError("its parameters are out of bounds")
    return ln, r, p, _padded(salt), _padded(digest)


def _check_scrypt(password: bytes, stored: str) -> bool:
    ln, r, p, salt, digest = _scrypt_parts(stored)
    return len(digest) >= 16 and hmac.compare_digest(_scrypt(password, salt, ln, r, p, len(digest)), digest)


def _check_md5(password: bytes, stored: str) -> bool:
    _, magic, salt, digest = stored.split("$")
    return hmac.compare_digest(_md5_crypt(password, salt.encode()[:8], f"${magic}$".encode()), digest)


def _check_sha(password: bytes, stored: str) -> bool:
    return hmac.compare_digest(hashlib.sha1(password).digest(), b64decode(stored[5:], validate=True))


def _check_salted_sha(password: bytes, stored: str) -> bool:
    held = b64decode(stored[6:], validate=True)
    return hmac.compare_digest(hashlib.sha1(password + held[20:]).digest(), held[:20])


def _check_bcrypt(password: bytes, stored: str) -> bool:
    bcrypt: Any = import_module("bcrypt")
    return bool(bcrypt.checkpw(password[:72], stored.encode()))  # what lies behind was never looked at


def _check_argon2(password: bytes, stored: str) -> bool:
    argon2: Any = import_module("argon2")
    try:
        return bool(argon2.PasswordHasher().verify(stored, password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


SCHEMES: dict[str, Callable[[bytes, str], bool]] = {
    "$scrypt$": _check_scrypt,
    "$apr1$": _check_md5,
    "$1$": _check_md5,
    "{SHA}": _check_sha,
    "{SSHA}": _check_salted_sha,
    "$2a$": _check_bcrypt,
    "$2b$": _check_bcrypt,
    "$2y$": _check_bcrypt,
    "$argon2id$": _check_argon2,
    "$argon2i$": _check_argon2,
}


def _md5_crypt(password: bytes, salt: bytes, magic: bytes) -> str:
    """MD5 crypt of Poul-Henning Kamp, as FreeBSD and Apache have it (apr_md5.c)."""
    inner = hashlib.md5(password + salt + password).digest()
    start = password + magic + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        start += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = hashlib.md5(start).digest()
    for turn in range(1000):
        mixed = password if turn & 1 else digest
        mixed += salt if turn % 3 else b""
        mixed += password if turn % 7 else b""
        digest = hashlib.md5(mixed + (digest if turn & 1 else password)).digest()
    return _md5_text(digest)


def _md5_text(digest: bytes) -> str:
    """Sixteen bytes in the order and the alphabet of crypt."""
    groups = [(digest[at], digest[at + 6], digest[(at + 12) if at < 4 else 5]) for at in range(5)]
    text = "".join(_itoa64(high << 16 | middle << 8 | low, 4) for high, middle, low in groups)
    return text + _itoa64(digest[11], 2)


def _itoa64(value: int, length: int) -> str:
    return "".join(ITOA64[value >> 6 * at & 63] for at in range(length))


def _unpadded(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _padded(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)

"""Basic authentication: who gets in, what is remembered, and what is not (RFC 7617)."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from phases_kit import answer_of, coming, hello

from edgestack.config.model import BasicAuth
from edgestack.errors import EdgeError
from edgestack.http.messages import Exchange, Response
from edgestack.kept import Kept
from edgestack.phases.basic_auth import MOST, REMEMBERED, WAITING, Guard, PasswordFile, Verdicts, basic_auth
from edgestack.phases.passwords import verify
from edgestack.phases.subrequest import Subrequest


def sha(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def knocking(credentials: str, at: float = 0.0) -> Exchange:
    return coming(at=at, authorization="Basic " + base64.b64encode(credentials.encode()).decode())


class Checks:
    """Counts the checks; holds them while `gate` is closed."""

    def __init__(self) -> None:
        self.made: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, password: bytes, stored: str) -> bool:
        self.made.append(password)
        assert self.gate.wait(10)
        return verify(password, stored)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "users.htpasswd"
    file.write_text(f"alice:{sha('open')}\nbob:{sha('pa:ss')}\nzoë:{sha('ünï')}\n")
    return file


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def handler(path: Path, checks: Checks) -> Any:
    return Guard(BasicAuth(path, 'The "inner" circle'), PasswordFile(str(path)), Verdicts(), checks)(hello)


async def status(handler: Any, exchange: Exchange) -> int:
    number: int = (await answer_of(handler, exchange)).status
    return number


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("alice:open", 200), ("alice:Open", 401), ("alice:", 401), ("alice", 401), ("", 401), (":", 401),
        ("bob:pa:ss", 200), ("bob:pa", 401), ("zoë:ünï", 200), ("nobody:open", 401), ("ALICE:open", 401),
        ("alice:open\0", 401),
    ],
)  # fmt: skip
async def test_who_gets_in(handler: Any, credentials: str, expected: int) -> None:
    assert await status(handler, knocking(credentials)) == expected


@pytest.mark.parametrize("field", ["Bearer x", "Basic", "Basic !", "basic YWxpY2U6b3Blbg", "Digest YWxpY2U6b3Blbg=="])
async def test_what_is_no_credentials_is_refused_at_once(handler: Any, checks: Checks, field: str) -> None:
    assert await status(handler, coming(authorization=field)) == 401
    assert checks.made == []


async def test_the_challenge(handler: Any) -> None:
    error = await answer_of(handler, coming())
    assert error.fields == (("WWW-Authenticate", 'Basic realm="The \\"inner\\" circle", charset="UTF-8"'),)


async def test_a_verdict_is_remembered_for_a_minute(handler: Any, checks: Checks) -> None:
    start = trio.current_time()
    for credentials, expected in (("alice:open", 200), ("alice:shut", 401)):
        checks.made.clear()
        assert await status(handler, knocking(credentials, at=start)) == expected
        assert await status(handler, knocking(credentials, at=start + REMEMBERED - 1)) == expected
        assert len(checks.made) == 1
        assert await status(handler, knocking(credentials, at=start + REMEMBERED + 60)) == expected
        assert len(checks.made) == 2


async def test_who_is_remembered_does_not_wait(handler: Any) -> None:
    start = trio.current_time()
    await status(handler, knocking("alice:open", at=start))
    assert isinstance(handler(knocking("alice:open", at=start)), Response)


async def test_a_changed_file_holds_at_once(handler: Any, path: Path) -> None:
    start = trio.current_time()
    assert await status(handler, knocking("alice:open", at=start)) == 200
    path.write_text(f"alice:{sha('other')}\n")
    os.utime(path, ns=(1, 1))
    assert await status(handler, knocking("alice:open", at=start)) == 401
    assert await status(handler, knocking("alice:other", at=start)) == 200
    assert await status(handler, knocking("bob:pa:ss", at=start)) == 401


async def test_a_file_that_begins_with_a_byte_order_mark(handler: Any, path: Path) -> None:
    path.write_bytes(f"alice:{sha('open')}\r\n".encode("utf-8-sig"))
    assert await status(handler, knocking("alice:open", at=trio.current_time())) == 200


async def test_without_the_file_nobody_gets_in(handler: Any, path: Path) -> None:
    start = trio.current_time()
    assert await status(handler, knocking("alice:open", at=start)) == 200
    path.unlink()
    error = await answer_of(handler, knocking("alice:open", at=start))
    assert isinstance(error, EdgeError)
    assert error.status == 500
    assert str(path) not in error.public
    path.write_text(f"alice:{sha('open')}\n")
    assert await status(handler, knocking("alice:open", at=start)) == 200


async def test_the_same_credentials_share_one_check(handler: Any, checks: Checks) -> None:
    checks.gate.clear()
    answers: list[int] = []

    async def one() -> None:
        answers.append(await status(handler, knocking("alice:open", at=trio.current_time())))

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        checks.gate.set()
    assert answers == [200] * 1000
    assert checks.made == [b"open"]


async def test_who_leaves_while_his_check_is_waited_for_leaves_the_others_one(handler: Any, checks: Checks) -> None:
    checks.gate.clear()
    answers: list[int] = []

    async def one(scope: trio.CancelScope) -> None:
        with scope:
            answers.append(await status(handler, knocking("alice:open", at=trio.current_time())))

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(one, scope)
            await trio.testing.wait_all_tasks_blocked()
        scopes[0].cancel()
        checks.gate.set()
    assert answers == [200, 200] or answers == [200] * 3


async def test_only_so_many_checks_are_waited_for(handler: Any, checks: Checks) -> None:
    """n-1 and n wait, n+1 and all others of 1,000 guesses are told to come back."""
    checks.gate.clear()
    answers: list[int] = []

    async def one(number: int) -> None:
        answers.append(await status(handler, knocking(f"alice:{number}", at=trio.current_time())))

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(one, number)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [503] * (1000 - WAITING)
        checks.gate.set()
    assert answers.count(401) == WAITING


async def test_a_name_that_nobody_has_costs_a_check_too(handler: Any, checks: Checks) -> None:
    assert await status(handler, knocking("nobody:open")) == 401
    assert checks.made == [b"open"]


def test_guesses_push_no_good_verdict_out() -> None:
    verdicts = Verdicts()
    good = verdicts.key(b"alice", b"open", "x")
    verdicts.note(good, True, 0.0)
    for number in range(2 * MOST):
        verdicts.note(verdicts.key(b"alice", str(number).encode(), "x"), False, 0.0)
    assert verdicts.known(good, 1.0) is True
    assert len(verdicts._bad) == MOST


def test_nothing_that_is_kept_tells_the_password() -> None:
    one, other = Verdicts(), Verdicts()
    assert one.key(b"alice", b"open", "x") != other.key(b"alice", b"open", "x"), "keyed by process"
    assert one.key(b"ab", b"c", "x") != one.key(b"a", b"bc", "x")
    assert b"open" not in one.key(b"alice", b"open", "x")


async def test_a_hash_that_nobody_can_use_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("alice:plain\n")
    guard = basic_auth(BasicAuth(path))
    assert guard is not None
    handler = guard(hello)
    with caplog.at_level(logging.WARNING, "edgestack.error"):
        assert await status(handler, knocking("alice:plain")) == 401
        assert await status(handler, knocking("alice:plain")) == 401
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: alice cannot log in: its scheme is not known; `edgestack hash-password` makes one that is"
    ]


async def test_what_is_remembered_outlives_a_reload(path: Path) -> None:
    kept, section = Kept(), BasicAuth(path)
    with kept.next() as keep:
        before = basic_auth(section, keep)
    with kept.next() as keep:
        after = basic_auth(BasicAuth(path, "Another realm"), keep)
    assert before is not None
    assert after is not None
    start = trio.current_time()
    assert await status(before(hello), knocking("alice:open", at=start)) == 200
    assert isinstance(after(hello)(knocking("alice:open", at=start)), Response)


async def test_describe_checks_nothing(path: Path, checks: Checks) -> None:
    guard = Guard(BasicAuth(path), PasswordFile(str(path)), Verdicts(), checks)
    assert guard.describe(coming()) == "no credentials: refused with 401"
    assert guard.describe(knocking("alice:open")) == "'alice': the password would be checked"
    assert checks.made == []
    await status(guard(hello), knocking("alice:open", at=trio.current_time()))
    assert guard.describe(knocking("alice:open")) == "'alice': let in"


def test_what_the_server_asks_itself_needs_no_password(handler: Any) -> None:
    assert isinstance(handler(Subrequest(coming(), "/auth")), Response)


def test_without_a_section_there_is_no_link() -> None:
    assert basic_auth(None) is None

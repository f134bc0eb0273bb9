"""The plugin as pytest's users have it: in a pytest of its own, with what is installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import edgestack.certs.issuing
import edgestack.testing.fixtures  # noqa: F401 # pytester forgets what is first imported within: cryptography is, once

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # several interpreters start, beside whatever else this machine does

Run = Callable[..., pytest.RunResult]

APP = """
import threading
import pytest

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

def bad(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    yield b"hello"
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(source, "-x")`: pytest over one file of tests; with words of its own, in a process of its own."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")

    def run(source: str, *words: str) -> pytest.RunResult:
        pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
        pytester.makepyfile(test_it=APP + source)
        start = pytester.runpytest_subprocess if words else pytester.runpytest_inprocess
        return start("-p", "no:cacheprovider", *words)

    return run


def test_the_fixtures(run: Run) -> None:
    result = run("""
async def test_trio(edge_trio, nursery):
    site = await edge_trio(app=app)
    assert (await site.get("/")).text == "hello"

async def test_memory(edge_memory, autojump_clock):
    site = await edge_memory(app=app)
    assert (await site.get("/")).text == "hello"

def test_thread(edge):
    assert edge(app=app).get("/").text == "hello"

@pytest.fixture(scope="session")
def shop(edge_factory):
    return edge_factory(app=app)

@pytest.mark.parametrize("at", range(3))
def test_session(shop, at):
    shop.get("/")
    assert len(shop.log) >= 1
""")
    result.assert_outcomes(passed=6)


def test_what_an_upstream_raises(run: Run) -> None:
    """It fails the test in its call; where something else did, the report tells of it. It is told once."""
    result = run("""
def wrong(request, stream):
    raise LookupError("of the function")

def test_came_through(edge):
    assert edge(proxy=edge.upstream("api").does(wrong)).get("/").status == 502

def test_fell(edge):
    assert edge(proxy=edge.upstream("api").does(wrong)).get("/").status == 200
""")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            ">*raise LookupError(*",
            "*AssertionError: assert 502 == 200",
            "*- edgestack: upstreams -*",
            "a function of a scripted upstream raised:",
            "LookupError: of the function",
            "*- edgestack: last exchanges -*",
        ]
    )


def test_a_guard_fails_the_test(run: Run) -> None:
    """The test fails in its call, with what was found and the bytes that passed."""
    result = run("""
def test_lies(edge):
    site = edge(app=bad)
    with pytest.raises(ConnectionError):
        site.get("/x")

def test_may_lie(edge):
    site = edge(app=bad, guards=False)
    with pytest.raises(ConnectionError):
        site.get("/x")
""")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*GuardError: [[]content-length[]] GET /x: Content-Length said 7 bytes, and 5 came*",
            "*edgestack: last exchanges*",
            "*>> b'GET /x HTTP/1.1\\r\\n'*",
            "*<< b'HTTP/1.1 200 OK\\r\\n'*",
        ]
    )
    result.stdout.no_fnmatch_line("*[[]threads[]]*")


def test_a_guard_fails_an_asynchronous_test(run: Run) -> None:
    result = run("""
async def test_lies(edge_memory):
    site = await edge_memory(app=bad)
    with pytest.raises(ConnectionError):
        await site.get("/x")
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Content-Length said 7 bytes, and 5 came*"])


def test_a_thread_is_told_at_the_end(run: Run) -> None:
    """Whether a thread is left can only be said when the edge has ended: an error of the fixture's."""
    result = run("""
def test_forgets(edge):
    def starts(environ, start_response):
        threading.Thread(target=threading.Event().wait, args=(5,), name="forgotten", daemon=True).start()
        return app(environ, start_response)
    edge(app=starts).get("/")
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the thread 'forgotten' began during the test and is alive at its end*"])


def test_threads_of_a_session_are_nobodys(run: Run) -> None:
    """A site of the session lives while all sorts of tests run: it tells of no thread, unless it is asked to."""
    source = """
ends = threading.Event()

@pytest.fixture(scope="session")
def site(edge_factory):
    return edge_factory(app=app, **WORDS)

def test_starts_what_another_ends(site):
    threading.Thread(target=ends.wait, args=(30,), name="somebody's", daemon=True).start()
    assert site.get("/").status == 200
"""
    run("WORDS = {}\n" + source).assert_outcomes(passed=1)
    result = run('WORDS = {"guards": ["threads"]}\n' + source)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(['*[[]threads[]] the thread "somebody\'s" began*'])


def test_a_failing_test_shows_its_exchanges(run: Run) -> None:
    """Requests and answers as raw bytes; a test that passes shows nothing."""
    result = run("""
def test_fails(edge):
    assert edge(app=app).post("/form", body="a=1").status == 404

def test_passes(edge):
    assert edge(app=app).get("/other").status == 200
""")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*>> b'POST /form HTTP/1.1\\r\\n'*", "*>> b'a=1'*", "*<< b'hello'*"])
    result.stdout.no_fnmatch_line("*GET /other*")


def test_unused_it_imports_nothing(run: Run) -> None:
    """No trio, no ssl context, no h11: the plugin alone."""
    result = run(
        """
import sys

def test_modules():
    mine = sorted(name for name in sys.modules if name.startswith("edgestack"))
    assert mine == ["edgestack", "edgestack.pytest_plugin"]
    assert not {"trio", "h11", "trustme", "cryptography", "click"} & sys.modules.keys()
""",
        "-p", "no:trio", "-p", "no:hypothesispytest", "-p", "no:anyio", "-W", "ignore::pytest.PytestConfigWarning",
    )  # fmt: skip
    result.assert_outcomes(passed=1)


def test_without_pytest_trio(run: Run) -> None:
    """What is missing is said in one line; `edge` works."""
    result = run(
        """
def test_memory(edge_memory):
    pass

def test_trio(edge_trio):
    pass

def test_thread(edge):
    assert edge(app=app).get("/").text == "hello"
""",
        "-p", "no:trio", "-W", "ignore::pytest.PytestConfigWarning",
    )  # fmt: skip
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*edge_memory needs pytest-trio: pip install pytest-trio;*Edge(memory=True, *)*",
            "*edge_trio needs pytest-trio*",
        ],
        consecutive=False,
    )


def test_several_processes(run: Run) -> None:
    """pytest-xdist: each process has its own authority and its own ports; sections reach the report."""
    result = run(
        """
@pytest.mark.parametrize("at", range(4))
def test_one(edge, at):
    one, two = edge(app=app), edge(app=app)
    assert one.get("/").text == two.get("/").text == "hello"
    assert at != 3
""",
        "-n", "2",
    )  # fmt: skip
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*edgestack: last exchanges*", "*<< b'hello'*"])


def test_a_wrong_configuration(run: Run) -> None:
    """Told where it stands, with a caret."""
    result = run("""
def test_wrong(edge):
    edge(text='[server]\\nthreds = 4')
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*edgestack.testing:2:1: there is no key `threds`*", "*did you mean `threads`*"])
    result.stdout.no_fnmatch_line("*layout.py*")


def test_where_pytest_trio_does_not_run_the_test(run: Run) -> None:
    """The fixtures of loops say what is missing, in one line; the tests after it go their way."""
    result = run(
        """
@pytest.fixture
async def site(edge_memory):
    return await edge_memory(app=app)

async def test_unmarked(site):
    pass

def test_not_asynchronous(edge_trio):
    pass

@pytest.mark.trio
async def test_marked(site):
    assert (await site.get("/")).text == "hello"
""",
        "-o", "trio_mode=false",
    )  # fmt: skip
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*edge_memory is for an `async def` test*trio_mode = true*@pytest.mark.trio*"])
    result.stdout.no_fnmatch_line("*fixtures.py*")


def test_a_strange_name(run: Run) -> None:
    result = run("""
def test_strange(edge):
    edge(app=app).get("https://shop.example/")
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the certificate of a test edge is for localhost*"])

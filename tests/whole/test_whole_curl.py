"""curl over real TLS, as people use it to look whether a server is right. Skipped where there is no curl."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, PATIENCE, Server, running

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed")

UPLOAD = 5_000_000


@pytest.fixture(scope="module")
def both(data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A folder with one file, and the bare application."""
    site = tmp_path_factory.mktemp("curled")
    (site / "digits.txt").write_text("0123456789")
    words = ("--static", str(site), "--app", FRAMEWORKS["bare"], "--max-body", "6MB")
    folder = tmp_path_factory.mktemp("curl")
    with running(folder, *words, data=data, env={"EDGE_FILE": str(file)}) as server:
        yield server


def curl(server: Server, *words: str) -> str:
    """Run curl, trusting the development authority; what it writes, once it has succeeded."""
    assert CURL
    command = [
        CURL,
        "--silent",
        "--show-error",
        "--max-time",
        str(PATIENCE),
        "--cacert",
        str(server.ca),
        "--noproxy",
        "*",
    ]
    done = subprocess.run(
        [*command, *words], capture_output=True, check=False,
        timeout=2 * PATIENCE, env={"PATH": os.environ["PATH"], "HOME": str(server.ca.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def head_of(answer: str) -> tuple[str, dict[str, str]]:
    """Status line and fields of what `curl --include` writes."""
    lines = answer.partition("\r\n\r\n")[0].split("\r\n")
    fields = (line.partition(": ") for line in lines[1:])
    return lines[0], {name.lower(): value for name, _, value in fields}


def test_a_file(both: Server) -> None:
    assert curl(both, f"{both.url}/digits.txt") == "0123456789"


def test_a_certificate_nobody_trusts(both: Server) -> None:
    """Without the authority curl refuses (60: the peer cannot be authenticated; 77: no store), so trust is proved."""
    assert CURL
    command = [CURL, "--silent", "--cacert", os.devnull, f"{both.url}/digits.txt"]
    assert subprocess.run(command, check=False, timeout=PATIENCE).returncode in (60, 77)


@pytest.mark.parametrize("host", ["foo.localhost", "a-b.localhost"])
def test_any_name_below_localhost(both: Server, host: str) -> None:
    """Issue 2, §5: the development certificate holds for *.localhost."""
    url = f"https://{host}:{both.port}/environ"
    environ = json.loads(curl(both, "--resolve", f"{host}:{both.port}:127.0.0.1", url))
    assert environ["HTTP_HOST"] == f"{host}:{both.port}"
    assert (environ["wsgi.url_scheme"], environ["REMOTE_ADDR"]) == ("https", "127.0.0.1")


def test_the_address_itself(both: Server) -> None:
    """The development certificate holds for 127.0.0.1, without SNI."""
    assert curl(both, f"https://127.0.0.1:{both.port}/digits.txt") == "0123456789"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_versions(both: Server, version: str) -> None:
    words = (f"--tlsv{version}", "--tls-max", version, "--write-out", "%{http_version} %{ssl_verify_result}")
    assert curl(both, *words, "--output", os.devnull, f"{both.url}/digits.txt") == "1.1 0"


def test_head(both: Server) -> None:
    """C6: curl would wait for a body that is announced and never comes."""
    line, fields = head_of(curl(both, "--head", f"{both.url}/digits.txt"))
    assert line == "HTTP/1.1 200 OK"
    assert fields["content-length"] == "10"


@pytest.mark.parametrize(
    ("wanted", "status", "part"), [("2-4", "206", "234"), ("-2", "206", "89"), ("8-", "206", "89")]
)
def test_ranges(both: Server, wanted: str, status: str, part: str) -> None:
    """C5."""
    answer = curl(both, "--range", wanted, "--write-out", "|%{http_code}", f"{both.url}/digits.txt")
    assert answer == f"{part}|{status}"


def test_a_download_that_goes_on(both: Server, tmp_path: Path) -> None:
    """C4, C5: `curl -C -`."""
    part = tmp_path / "digits.txt"
    part.write_text("0123")
    curl(both, "--continue-at", "-", "--output", str(part), f"{both.url}/digits.txt")
    assert part.read_text() == "0123456789"


def test_only_if_newer(both: Server, tmp_path: Path) -> None:
    """C2: `curl --etag-save`, `--etag-compare`, `-z`."""
    etag = tmp_path / "etag"
    url = f"{both.url}/digits.txt"
    curl(both, "--etag-save", str(etag), url)
    assert curl(both, "--etag-compare", str(etag), "--write-out", "%{http_code}", url) == "304"
    assert curl(both, "--time-cond", "Thu, 31 Dec 2099 00:00:00 GMT", "--write-out", "%{http_code}", url) == "304"


@pytest.mark.parametrize("target", ["/digits.txt", "/page/x", "/large"])
def test_http_1_0(both: Server, target: str) -> None:
    """E3, E5: no chunks, and the close ends the body where its length is not known."""
    head, _, body = curl(both, "--http1.0", "--include", f"{both.url}{target}").partition("\r\n\r\n")
    line, fields = head_of(head)
    assert line == "HTTP/1.1 200 OK"
    assert "transfer-encoding" not in fields
    assert fields["connection"] == "close"
    assert len(body) == {"/digits.txt": 10, "/page/x": len(f"x||{both.url}"), "/large": 20 << 20}[target]


def test_one_connection_for_several_requests(both: Server) -> None:
    """E3: kept alive, over files and application alike."""
    urls = [f"{both.url}{target}" for target in ("/digits.txt", "/page/x", "/absent", "/digits.txt")]
    words = [word for url in urls for word in ("--output", os.devnull, url)]
    assert curl(both, "--write-out", "%{num_connects}", *words) == "1000"


@pytest.mark.parametrize("words", [(), ("--header", "Transfer-Encoding: chunked")], ids=["length", "chunked"])
def test_a_large_upload_that_asks_first(both: Server, tmp_path: Path, words: tuple[str, ...]) -> None:
    """E6: `Expect: 100-continue` is answered once, before the body."""
    content = os.urandom(UPLOAD)
    (tmp_path / "body").write_bytes(content)
    fields = ("--header", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE))
    answer = curl(both, "--include", *fields, *words, "--data-binary", f"@{tmp_path / 'body'}", f"{both.url}/upload")
    first, second, body = answer.split("\r\n\r\n")
    assert first == "HTTP/1.1 100 Continue"
    assert second.startswith("HTTP/1.1 200 OK")
    assert json.loads(body) == {"size": UPLOAD, "sha256": hashlib.sha256(content).hexdigest()}


def test_an_upload_that_is_too_large_and_asks_first(both: Server, tmp_path: Path) -> None:
    """E8, E6: 413 instead of 100, and not a byte of the body is sent."""
    with (tmp_path / "body").open("wb") as body:
        body.truncate(6_000_001)
    answer = curl(
        both, "--header", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE),
        "--upload-file", str(tmp_path / "body"), "--output", os.devnull,
        "--write-out", "%{http_code} %{size_upload}", f"{both.url}/upload",
    )  # fmt: skip
    assert answer == "413 0"


def test_a_form_as_browsers_send_it(both: Server) -> None:
    assert json.loads(curl(both, "--data-urlencode", "name=Jürgen & Söhne", f"{both.url}/form")) == {
        "name": "Jürgen & Söhne"
    }


def test_following_a_redirect(both: Server) -> None:
    assert curl(both, "--location", f"{both.url}/redirect") == f"there|1|{both.url}"


def test_plain_http_on_the_tls_port(both: Server) -> None:
    """E9: readable, and it says where to go."""
    answer = curl(both, "--include", f"http://localhost:{both.port}/")
    line, _ = head_of(answer)
    assert line == "HTTP/1.1 400 Bad Request"
    assert f"https://localhost:{both.port}/" in answer


def test_options_for_the_whole_server(both: Server) -> None:
    """E3: `*` reaches the application for OPTIONS."""
    answer = curl(both, "--request-target", "*", "--request", "OPTIONS", "--write-out", "|%{http_code}", both.url)
    assert answer.endswith("|404")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_never_served(both: Server, method: str) -> None:
    """E3."""
    line, fields = head_of(curl(both, "--include", "--request", method, f"{both.url}/digits.txt"))
    assert line == "HTTP/1.1 405 Method Not Allowed"
    assert method not in fields["allow"]

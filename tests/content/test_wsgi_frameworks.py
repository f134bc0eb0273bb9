"""Flask and Django as applications, told to a fake outlet: pages, forms, uploads, streams, files, exceptions.

The same over sockets is tested with the whole server; here only what they need of the environ and of start_response.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from wsgi_kit import FakeBody, call, get

BOUNDARY = "edge"
UPLOAD = 1_000_000


def multipart(data: bytes) -> FakeBody:
    """An upload that was spooled to a file, as one larger than 64 KiB is."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\n'.encode()
    whole = head + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    body = FakeBody(whole)
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the call
    file.write(whole)
    file.seek(0)
    body.file = file
    return body


def flask_application(folder: Path) -> Any:
    from flask import Flask, Response, request, send_file

    app = Flask(__name__)

    @app.get("/page/<name>")
    def page(name: str) -> Any:
        return f"{request.script_root}|{name}|{request.args['q']}|{request.url}"

    @app.post("/form")
    def form() -> Any:
        return request.form["a"]

    @app.post("/json")
    def as_json() -> Any:
        return {"got": request.get_json()}

    @app.post("/upload")
    def upload() -> Any:
        return str(len(request.files["f"].read()))

    @app.get("/stream")
    def stream() -> Any:
        return Response((piece for piece in ("one ", "two ", "three")), mimetype="text/plain")

    @app.get("/file")
    def file() -> Any:
        return send_file(folder / "file.bin")

    @app.get("/boom")
    def boom() -> Any:
        raise LookupError("in a view")

    return app


def page(request: Any, name: str) -> Any:
    from django.http import HttpResponse

    return HttpResponse(f"{request.META['SCRIPT_NAME']}|{name}|{request.GET['q']}|{request.build_absolute_uri()}")


def form(request: Any) -> Any:
    from django.http import HttpResponse

    return HttpResponse(request.POST["a"])


def as_json(request: Any) -> Any:
    import json

    from django.http import JsonResponse

    return JsonResponse({"got": json.loads(request.body)})


def upload(request: Any) -> Any:
    from django.http import HttpResponse

    return HttpResponse(str(len(request.FILES["f"].read())))


def stream(request: Any) -> Any:
    from django.http import StreamingHttpResponse

    return StreamingHttpResponse(piece for piece in ("one ", "two ", "three"))


def file(request: Any) -> Any:
    from django.conf import settings
    from django.http import FileResponse

    return FileResponse((settings.EDGE_FOLDER / "file.bin").open("rb"))


def boom(request: Any) -> Any:
    raise LookupError("in a view")


def url_patterns() -> list[Any]:
    from django.urls import path

    views = {"form": form, "json": as_json, "upload": upload, "stream": stream, "file": file, "boom": boom}
    return [path("page/<name>", page), *(path(name, view) for name, view in views.items())]


class Urls:
    """What Django takes for a module of URLs."""

    urlpatterns: list[Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 1000)
    return tmp_path


@pytest.fixture(params=["flask", "django"])
def application(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    if request.param == "flask":
        pytest.importorskip("flask")
        yield flask_application(folder)
        return
    pytest.importorskip("django")
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import set_script_prefix

    before = settings._wrapped
    urls = Urls()
    urls.urlpatterns = url_patterns()
    settings.configure(
        ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], EDGE_FOLDER=folder, SECRET_KEY="x", DEFAULT_CHARSET="utf-8"
    )
    yield WSGIHandler()
    settings._wrapped = before  # Django has one configuration a process: give it back
    set_script_prefix("/")


def test_a_page(application: Any) -> None:
    """F1, F9: mounted, with a path that is not ASCII, a query, and the URL rebuilt."""
    told = call(application, get("/shop/page/caf%C3%A9?q=%C3%BC"), prefix="/shop")
    assert (told.status, told.end) == (200, "finish")
    prefix, name, query, url = told.body.decode().split("|")
    assert (prefix.rstrip("/"), name, query) == ("/shop", "café", "ü")
    assert url.startswith("https://example.org/shop/page/caf")
    assert told.length in (len(told.body), None)


def test_a_page_that_is_missing(application: Any) -> None:
    assert call(application, get("/absent")).status == 404


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
def test_a_form(application: Any, announced: bool) -> None:
    """F4: with a length or in chunks: both frameworks find the body."""
    fields = {"content-type": "application/x-www-form-urlencoded"}
    body = FakeBody(b"a=b+c&d=e", announced=announced)
    assert call(application, get("/form", "POST", fields=fields, body=body)).body == b"b c"


def test_json(application: Any) -> None:
    """F4: Werkzeug reads without a size, since the input ends by itself."""
    fields = {"content-type": "application/json"}
    told = call(application, get("/json", "POST", fields=fields, body=b'{"x": [1, 2]}'))
    assert told.body.replace(b" ", b"").strip() == b'{"got":{"x":[1,2]}}'


def test_an_upload(application: Any) -> None:
    """F4."""
    fields = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    told = call(application, get("/upload", "POST", fields=fields, body=multipart(b"x" * UPLOAD)))
    assert told.body == str(UPLOAD).encode()


def test_a_stream(application: Any) -> None:
    """F5, F9: piece by piece, without a length."""
    told = call(application, get("/stream"))
    assert (told.outlet.pieces, told.length) == ([b"one ", b"two ", b"three"], None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_takes_the_static_road(application: Any, folder: Path, method: str) -> None:
    """F12: Flask's send_file and Django's FileResponse."""
    told = call(application, get("/file", method))
    size = (folder / "file.bin").stat().st_size
    assert (told.status, told.length, told.end) == (200, size, "finish")
    assert told.outlet.files == ([(0, size)] if method == "GET" else [])


def test_an_exception(application: Any) -> None:
    """F11: both answer 500 by themselves."""
    told = call(application, get("/boom"))
    assert (told.status, told.end) == (500, "finish")


def test_a_file_in_memory(application: Any) -> None:
    """F12: the wrapper as a framework finds it in the environ."""

    def wrapping(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"in memory"), 4)

    assert call(wrapping).outlet.pieces == [b"in m", b"emor", b"y"]

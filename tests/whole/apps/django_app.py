"""A Django application in one file, with what applications do: pages, forms, uploads, streams, files, cookies,
exceptions. No database."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="not a secret",
        USE_TZ=True,
        MIDDLEWARE=["django.middleware.http.ConditionalGetMiddleware", "django.middleware.common.CommonMiddleware"],
        DEBUG_PROPAGATE_EXCEPTIONS=bool(os.environ.get("EDGE_PROPAGATE")),
    )
    django.setup()

from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from gates import open_gate, pass_gate

BLOCK = 1 << 16
LARGE = 20 << 20


def page(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"{name}|{request.GET.get('q', '')}|{request.scheme}://{request.get_host()}")


def form(request: HttpRequest) -> JsonResponse:
    files = {name: file.read().decode() for name, file in request.FILES.items()}
    return JsonResponse({**request.POST.dict(), **files})


def echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse(json.loads(request.body))


def upload(request: HttpRequest) -> JsonResponse:
    stream: Any = request.FILES["file"] if request.content_type == "multipart/form-data" else request
    size, digest = 0, hashlib.sha256()
    while piece := stream.read(BLOCK):
        size += len(piece)
        digest.update(piece)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    def pieces() -> Iterator[str]:
        yield "first "
        pass_gate(name)
        yield "second"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def gate(request: HttpRequest, name: str) -> HttpResponse:
    open_gate(name)
    return HttpResponse("open")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(os.environ["EDGE_FILE"]).open("rb"))


def boom(request: HttpRequest) -> HttpResponse:
    raise LookupError("a secret of the application")


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("; ".join(f"{name}={value}" for name, value in request.COOKIES.items()))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def leave(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/page/there?q=1")


def validated(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def large(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((bytes(BLOCK) for _ in range(LARGE // BLOCK)), content_type="application/octet-stream")


def method(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.headers.get("X-HTTP-Method-Override", request.method))


urlpatterns = [
    path("page/<path:name>", page),
    path("form", form),
    path("json", echo),
    path("upload", upload),
    path("stream/<name>", stream),
    path("open/<name>", gate),
    path("file", file),
    path("boom", boom),
    path("cookies", cookies),
    path("redirect", leave),
    path("validated", validated),
    path("large", large),
    path("method", method),
]

app = get_wsgi_application()

"""A Flask application with what applications do: pages, forms, uploads, streams, files, cookies, exceptions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, make_response, redirect, request, send_file
from gates import open_gate, pass_gate

BLOCK = 1 << 16
LARGE = 20 << 20
ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]

app = Flask(__name__)
app.config["PROPAGATE_EXCEPTIONS"] = bool(os.environ.get("EDGE_PROPAGATE"))


@app.get("/page/<path:name>")
def page(name: str) -> str:
    return f"{name}|{request.args.get('q', '')}|{request.host_url.rstrip('/')}"


@app.post("/form")
def form() -> Response:
    files = {name: file.read().decode() for name, file in request.files.items()}
    return jsonify({**request.form, **files})


@app.post("/json")
def echo() -> Response:
    return jsonify(request.get_json())


@app.route("/upload", methods=["POST", "PUT"])
def upload() -> Response:
    stream = request.files["file"].stream if request.mimetype == "multipart/form-data" else request.stream
    size, digest = 0, hashlib.sha256()
    while piece := stream.read(BLOCK):
        size += len(piece)
        digest.update(piece)
    return jsonify(size=size, sha256=digest.hexdigest())


@app.get("/stream/<name>")
def stream(name: str) -> Response:
    def pieces() -> Iterator[str]:
        yield "first "
        pass_gate(name)
        yield "second"

    return Response(pieces(), mimetype="text/plain")


@app.get("/open/<name>")
def gate(name: str) -> str:
    open_gate(name)
    return "open"


@app.get("/file")
def file() -> Response:
    return send_file(os.environ["EDGE_FILE"])


@app.get("/boom")
def boom() -> str:
    raise LookupError("a secret of the application")


@app.get("/cookies")
def cookies() -> Response:
    response = make_response("; ".join(f"{name}={value}" for name, value in request.cookies.items()))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.get("/redirect")
def leave() -> Any:
    return redirect("/page/there?q=1")


@app.get("/validated")
def validated() -> Any:
    response = make_response("a page")
    response.add_etag()
    return response.make_conditional(request)


@app.get("/large")
def large() -> Response:
    return Response((bytes(BLOCK) for _ in range(LARGE // BLOCK)), mimetype="application/octet-stream")


@app.route("/method", methods=ANY)
def method() -> str:
    return request.headers.get("X-HTTP-Method-Override", request.method)

"""A small shop: the application that the edge of this example serves."""

from __future__ import annotations

import flask

app = flask.Flask(__name__)


@app.get("/")
def front() -> flask.Response:
    """The page that everybody sees first."""
    answer = flask.make_response("<!doctype html><title>Shop</title><a href=/basket>Basket</a>")
    answer.headers["Cache-Control"] = "max-age=60"
    return answer


@app.get("/basket")
def basket() -> flask.Response:
    """Everybody's own."""
    answer = flask.make_response(f"{flask.request.cookies.get('items', '0')} items")
    answer.set_cookie("items", "1", secure=True, httponly=True)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


@app.post("/photos")
def photos() -> str:
    """Takes a photo."""
    return f"{len(flask.request.get_data())} bytes"

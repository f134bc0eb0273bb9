"""The counterpart of Django's LiveServerTestCase, run as a project runs it: by Django's own test command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("django")
pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]

SETTINGS = """
SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, %s}
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
URLS = """
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path

def users(request):
    if request.method == "POST":
        User.objects.create(username=request.GET["name"])
    names = ",".join(User.objects.order_by("id").values_list("username", flat=True))
    return HttpResponse(f"{request.scheme} {names}")

from django.views.decorators.csrf import csrf_exempt
urlpatterns = [path("users/", csrf_exempt(users))]
"""
TESTS = """
import urllib.request
from django.contrib.auth.models import User
from edgestack.testing.django import EdgeLiveServerTestCase

class Users(EdgeLiveServerTestCase):
    def get(self, path, method="GET"):
        request = urllib.request.Request(self.live_server_url + path, method=method)
        with urllib.request.urlopen(request, context=self.ssl_context) as answer:
            return answer.status, answer.read().decode(), answer.headers["Server"]

    def test_the_database_is_shared(self):
        User.objects.create(username="alice")
        self.assertTrue(self.live_server_url.startswith("https://localhost:"))
        self.assertEqual(self.get("/users/"), (200, "https alice", "edgestack"))
        self.get("/users/?name=bob", "POST")
        self.assertEqual(User.objects.count(), 2)

    def test_it_is_empty_again(self):
        self.assertEqual(self.get("/users/")[1], "https ")

    def test_the_site(self):
        self.get("/users/")
        self.assertEqual(self.site.log[-1].target, "/users/")

class Configured(Users):
    edge_config = "edgestack.toml"
    edge_options = {"guards": True}

    def test_the_configuration(self):
        self.assertEqual(self.get("/fixed")[1], "from the file")
"""
CONFIG = """
[[route]]
match = "/"
app = "shop.wsgi:application"
[[route]]
match = "/fixed"
respond = "from the file"
"""


@pytest.mark.parametrize("other", ["", '"other": {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.db"}'])
def test_a_project(tmp_path: Path, other: str) -> None:
    """With one shared database in memory, and with one more in a file."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "settings.py").write_text(SETTINGS % other)
    (shop / "urls.py").write_text(URLS)
    (shop / "tests.py").write_text(TESTS)
    (shop / "wsgi.py").write_text(
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    (tmp_path / "edgestack.toml").write_text(CONFIG)
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "django",
        "test",
        "--settings",
        "shop.settings",
        "--pythonpath",
        ".",
    ]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin"},
    )
    assert run.returncode == 0, run.stderr
    assert "Ran 7 tests" in run.stderr

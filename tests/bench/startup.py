"""From the command to the first answer: how long after typing it a page can be had over HTTPS.

The development certificates exist already, as on every start but the first; the clock runs from spawning the process to
the last byte of a 200. The client tries again every two milliseconds, so that is how exact the figure is.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from pathlib import Path
from statistics import median

from cases import StartCase
from client import Asker, request
from running import environment, free_port, stop
from servers import APPS, EDGESTACK
from workshop import Absent, Failed, Row, Workshop

__all__ = ["run"]

LIMIT = 20.0


def run(shop: Workshop, case: StartCase) -> None:
    """Measure `case`: one start that makes the certificates, then those that count."""
    if not EDGESTACK.exists():
        raise Absent(f"not installed: {EDGESTACK}")
    folder = shop.folder / "start"
    (folder / "certs").mkdir(parents=True)
    shutil.copy(APPS / "hello.py", folder)
    try:
        first = one_start(shop, folder)
        times = [one_start(shop, folder) for _ in range(shop.starts)]
    except (RuntimeError, OSError) as error:
        raise Failed(str(error)) from error
    detail = f"{min(times):.2f} to {max(times):.2f} s in {len(times)} starts; {first:.2f} s when it made certificates"
    shop.rows.append(Row(case.name, case.title, median(times), "s", case.must, None, detail))


def one_start(shop: Workshop, folder: Path) -> float:
    """Seconds from spawning to the first whole answer.

    :raises RuntimeError: it ended, or took too long.
    """
    address = ("127.0.0.1", free_port())
    argv = ["taskset", "-c", str(shop.core), str(EDGESTACK), "serve", "--static", str(shop.site), "--app", "hello:app"]
    argv += ["--bind", f"{address[0]}:{address[1]}"]
    shop.configurations["start"] = {"commands": [" ".join(argv)]}
    with (folder / "output.txt").open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        wait_for_answer(process, address, shop.bodies["1k.html"], folder / "output.txt")
        return time.perf_counter() - began
    finally:
        stop(process)


def wait_for_answer(process: subprocess.Popen[bytes], address: tuple[str, int], expected: bytes, output: Path) -> None:
    """Return once the page came, whole and right."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE  # its authority is its own; who it is does not matter here
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        try:
            asker = Asker(address, tls)
        except ConnectionRefusedError:
            ended(process, output)
            continue
        body = asker.ask(request(address, "/1k.html"))
        asker.close()
        if body != expected:
            raise RuntimeError("the first answer differs from the expected bytes")
        return
    raise RuntimeError(f"no answer within {LIMIT:.0f} s")


def ended(process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait a moment; an end of the process in it is an error."""
    try:
        process.wait(timeout=0.002)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"edgestack ended: {output.read_text(errors='replace').strip()[-2000:]}")

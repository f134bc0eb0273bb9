"""`edgestack replay CASSETTE URL`: recorded exchanges are sent again, and every answer is compared.

Exit status: 0 where all are as they were, 1 where one is not, 2 on wrong use.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import click

from edgestack.certs.authority import AUTHORITY, certificates_folder
from edgestack.errors import ConfigError

__all__ = ["replay"]


@click.command(name="replay")
@click.argument("cassette", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("url")
@click.option(
    "--ignore", "ignored", multiple=True, metavar="FIELD", help="A field of answers that is not compared. Repeatable."
)
@click.option(
    "--cacert", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Whose certificates are trusted, PEM.  [default: the system's, and the development CA]",
)  # fmt: skip
@click.option("--insecure", is_flag=True, help="Trust every certificate.")
@click.pass_context
def replay(
    context: click.Context, cassette: Path, url: str, ignored: tuple[str, ...], cacert: Path | None, insecure: bool
) -> None:
    """Send recorded exchanges again, and compare the answers.

    CASSETTE is a HAR file: it was written by `site.record("cassette.har")` in a test, or saved by a browser. URL is the
    server that is asked now, such as https://localhost:8443. Status, fields and body of each answer are compared; Date,
    Age, X-Request-Id and the framing are not.
    """
    from edgestack.testing.har import read_har
    from edgestack.testing.replaying import replay as sent_again

    try:
        entries = read_har(cassette)
    except OSError as error:
        raise ConfigError(f"{cassette} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    wrong = 0
    try:
        for compared in sent_again(entries, url, _trust(cacert, insecure), {name.lower() for name in ignored}):
            mark = click.style("differs", fg="red") if compared.differences else click.style("as before", fg="green")
            click.echo(f"{compared.what}: {mark}")
            for difference in compared.differences:
                click.echo(f"    {difference}")
            wrong += bool(compared.differences)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    click.echo(f"{len(entries)} exchanges, {wrong or 'none'} of them different")
    context.exit(1 if wrong else 0)


def _trust(cacert: Path | None, insecure: bool) -> ssl.SSLContext:
    """Whom to trust."""
    context = ssl.create_default_context(cafile=None if cacert is None else str(cacert))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif cacert is None and (own := certificates_folder() / AUTHORITY).is_file():
        context.load_verify_locations(own)
    return context

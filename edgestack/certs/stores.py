"""The trust stores that we know, as tables. What is done with them is in `trust.py`.

Sources: update-ca-certificates(8) of Debian and Alpine, update-ca-trust(8) of Fedora, trust(1) of p11-kit, openSUSE's
ca-certificates; NSS's shared database (wiki.mozilla.org/NSS_Shared_DB); the folders of snaps and flatpaks as they lie.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CHROMIUMS",
    "JAVA_HOOK",
    "NSS_PATTERNS",
    "PACKAGES",
    "SHARED_NSS",
    "SYSTEM_STORES",
    "SystemStore",
    "package",
]


class SystemStore(NamedTuple):
    """One way in which a Linux distribution takes up authorities. Paths are relative to the root."""

    anchors: str
    """Where administrators put certificates; its being there is how the distribution is told."""
    program: str
    """What builds the bundle."""
    add: tuple[str, ...]
    """The command after a file was put there; "{ca}" stands for the authority's own file."""
    remove: tuple[str, ...]
    """The command after a file was taken away."""
    bundles: tuple[str, ...]
    """The built bundle: whether an authority is trusted is read from it."""
    copies: bool = True
    """Whether a file is put into `anchors`; p11-kit's `trust anchor` does that itself."""


SYSTEM_STORES = (
    SystemStore(  # Fedora, RHEL and its kin
        "etc/pki/ca-trust/source/anchors",
        "update-ca-trust",
        ("update-ca-trust", "extract"),
        ("update-ca-trust", "extract"),
        ("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/pki/tls/certs/ca-bundle.crt"),
    ),
    SystemStore(  # Arch
        "etc/ca-certificates/trust-source/anchors",
        "trust",
        ("trust", "anchor", "--store", "{ca}"),
        ("trust", "anchor", "--remove", "{ca}"),
        ("etc/ca-certificates/extracted/tls-ca-bundle.pem", "etc/ssl/certs/ca-certificates.crt"),
        copies=False,
    ),
    SystemStore(  # openSUSE
        "etc/pki/trust/anchors",
        "update-ca-certificates",
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
        ("var/lib/ca-certificates/ca-bundle.pem", "etc/ssl/ca-bundle.pem"),
    ),
    SystemStore(  # Debian, Ubuntu, Alpine
        "usr/local/share/ca-certificates",
        "update-ca-certificates",
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
        ("etc/ssl/certs/ca-certificates.crt",),
    ),
)
"""The first whose `anchors` exists is the machine's."""

JAVA_HOOK = "etc/ca-certificates/update.d/jks-keystore"
"""Debian's ca-certificates-java: takes "+FILE" and "-FILE" lines and changes Java's own store by them."""

SHARED_NSS = ".pki/nssdb"
"""The database that Chromium and its kin share, relative to the home folder; made when one of them is installed."""

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "brave-browser", "microsoft-edge")

NSS_PATTERNS = (
    ("Chromium", ".pki/nssdb/cert9.db"),
    ("Chromium", ".local/share/pki/nssdb/cert9.db"),
    ("Chromium (snap)", "snap/*/current/.pki/nssdb/cert9.db"),
    ("Chromium (flatpak)", ".var/app/*/.pki/nssdb/cert9.db"),
    ("Chromium (flatpak)", ".var/app/*/data/pki/nssdb/cert9.db"),
    ("Firefox", ".mozilla/firefox/*/cert9.db"),
    ("Firefox", ".config/mozilla/firefox/*/cert9.db"),
    ("Firefox (snap)", "snap/firefox/common/.mozilla/firefox/*/cert9.db"),
    ("Firefox (flatpak)", ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db"),
    ("Firefox (flatpak)", ".var/app/org.mozilla.firefox/config/mozilla/firefox/*/cert9.db"),
    ("Firefox", "Library/Application Support/Firefox/Profiles/*/cert9.db"),
)
"""Databases of NSS by the browser they belong to: glob patterns relative to the home folder."""

PACKAGES = {
    "debian": ("apt install ca-certificates", "apt install libnss3-tools"),
    "ubuntu": ("apt install ca-certificates", "apt install libnss3-tools"),
    "fedora": ("dnf install ca-certificates", "dnf install nss-tools"),
    "rhel": ("dnf install ca-certificates", "dnf install nss-tools"),
    "arch": ("pacman -S ca-certificates-utils", "pacman -S nss"),
    "alpine": ("apk add ca-certificates", "apk add nss-tools"),
    "suse": ("zypper install ca-certificates", "zypper install mozilla-nss-tools"),
    "darwin": ("", "brew install nss"),
}
"""By an ID or ID_LIKE of os-release(5): what installs the system store's tools, and what installs certutil."""


def package(distribution: tuple[str, ...], which: int) -> str:
    """The command that installs what is missing: `which` is 0 for the system store's tools, 1 for certutil."""
    for name in distribution:
        if name in PACKAGES:
            return PACKAGES[name][which]
    return ("install the package ca-certificates", "install NSS's tools (certutil)")[which]

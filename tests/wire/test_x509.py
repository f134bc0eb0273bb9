"""Reading certificates, judged by cryptography, which shares no code with the reader."""

from __future__ import annotations

import datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from edgestack.wire.x509 import read_certificate

UTC = datetime.UTC
AUTHORITY = trustme.CA()
NAMES = ("localhost", "*.Example.org", "127.0.0.1", "::1", "fd00::12", "xn--caf-dma.example")


def issue(*names: str, not_before: datetime.datetime, not_after: datetime.datetime) -> bytes:
    leaf = AUTHORITY.issue_cert(*names, not_before=not_before, not_after=not_after)
    return leaf.cert_chain_pems[0].bytes()


@pytest.mark.parametrize("year", [2000, 2049, 2050, 2951])
def test_names_dates_and_identifiers(year: int) -> None:
    """RFC 5280 §4.1.2.5: dates until 2049 are UTCTime, later ones GeneralizedTime. §4.2.1.6: the names."""
    after = datetime.datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    pem = issue(*NAMES, not_before=datetime.datetime(1999, 1, 2, 3, 4, 5, tzinfo=UTC), not_after=after)
    oracle = x509.load_pem_x509_certificate(pem)
    found = read_certificate(pem)
    assert found.names == tuple(name.lower() for name in NAMES)
    assert found.not_before == oracle.not_valid_before_utc.timestamp()
    assert found.not_after == oracle.not_valid_after_utc.timestamp() == after.timestamp()
    assert found.key_id == oracle.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    authority = oracle.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert found.authority_key_id == authority
    assert found.fingerprint.replace(":", "") == oracle.fingerprint(hashes.SHA256()).hex().upper()


def test_a_certificate_without_names_or_issuer_identifier() -> None:
    found = read_certificate(AUTHORITY.cert_pem.bytes())
    assert found.names == ()
    assert found.authority_key_id == b""
    assert found.key_id


def test_the_first_of_a_chain_is_read_and_text_around_it_skipped() -> None:
    after = datetime.datetime(2040, 1, 1, tzinfo=UTC)
    leaf = issue("leaf.example", not_before=datetime.datetime(2020, 1, 1, tzinfo=UTC), not_after=after)
    chain = b"subject=leaf\n" + leaf + b"\n" + AUTHORITY.cert_pem.bytes()
    assert read_certificate(chain).names == ("leaf.example",)
    assert read_certificate(chain.replace(b"\n", b"\r\n")).names == ("leaf.example",)


DER = x509.load_pem_x509_certificate(AUTHORITY.issue_cert("a.example", "10.0.0.1").cert_chain_pems[0].bytes())


@given(st.integers(0, 2000), st.integers(0, 255), st.integers(0, 2000))
def test_damage_is_a_value_error_and_nothing_else(at: int, value: int, cut: int) -> None:
    from base64 import encodebytes

    from cryptography.hazmat.primitives.serialization import Encoding

    der = bytearray(DER.public_bytes(Encoding.DER))
    der[at % len(der)] = value
    pem = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(bytes(der[: cut or None])) + b"-----END CERTIFICATE-----\n"
    try:
        read_certificate(pem)
    except ValueError:
        return


@pytest.mark.parametrize("text", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no BEGIN CERTIFICATE|damaged"):
        read_certificate(text)

"""Makes keys and certificates. The only file that imports trustme and cryptography; import it where it is needed.

trustme issues the certificates. The authority that people are asked to trust is made here and given to it by
`CA.from_pem`: the one it makes for itself holds from the year 2000 to 3000. That one is good for test edges, whose
authority is gone with their process.
"""

from __future__ import annotations

import datetime

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["CA", "issue_certificate", "kept_authority", "make_authority"]

CA = trustme.CA


def make_authority(owner: str, not_before: int, not_after: int) -> tuple[bytes, bytes]:
    """A new self-signed authority on P-256, which may sign server certificates but no further authority.

    :param owner: shown by browsers and key chains, so that people know whose it is: "user@host".
    :param not_before, not_after: seconds since the epoch.
    :returns: certificate and private key, PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "edgestack development CA"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, owner[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"edgestack development CA {owner}"[:64]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_date(not_before))
        .not_valid_after(_date(not_after))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def kept_authority(certificate: bytes, key: bytes) -> CA:
    """The authority that was made before, from its two PEM files.

    :raises ValueError: the key is damaged.
    """
    return CA.from_pem(certificate, key)


def issue_certificate(authority: CA, names: tuple[str, ...], not_before: int, not_after: int) -> tuple[bytes, bytes]:
    """A server certificate for `names`, signed by `authority`.

    :param names: host names, wildcards and addresses.
    :param not_before, not_after: seconds since the epoch.
    :returns: certificate and private key, PEM.
    """
    leaf = authority.issue_cert(
        *names,
        common_name=names[0][:64],
        organization_name="edgestack development certificate",
        organization_unit_name="made by edgestack",
        not_before=_date(not_before),
        not_after=_date(not_after),
    )
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes()


def _date(epoch: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC)

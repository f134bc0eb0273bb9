"""Certificates for development: an authority of one's own, the certificate that it issues, and the trust in it.

    naming.py      which names and addresses this machine is called by
    x509 (wire)    reads what a certificate says, without cryptography
    authority.py   development_certificate(): what is there, is it good, else make it; the only door for `serve`
    issuing.py     makes keys and certificates: the only file that imports trustme and cryptography (90 ms), so it is
                   imported at the moment something must be made, and not before
    keeping.py     the folder, its lock, atomic and private writing
    stores.py      the trust stores of a machine, as a table
    trust.py       Machine -> plan: a list of steps, pure
    running.py     describes this machine, and takes the steps
    commands.py    `edgestack certs`, `certs trust`, `certs untrust`

Floor 8: whoever starts the server asks here for a certificate and hands its two paths to the configuration. Nothing
below knows that there is such a thing as a development certificate. Standards: RFC 5280 (profile), RFC 2606 and 6761
(localhost), and Apple's rule that a server certificate holds at most 398 days (support.apple.com/en-us/102028).
"""

from __future__ import annotations

from edgestack.certs.authority import Development, certificates_folder, development_certificate

__all__ = ["Development", "certificates_folder", "development_certificate"]

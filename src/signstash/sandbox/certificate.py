"""The sandbox's own certificates: a root that names itself as a test, and the signer below it."""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

COMMON_NAME = "Sandbox Test Signer - NOT QUALIFIED"


@attrs.frozen
class Identity:
    """A key with its certificate, and the root that issued it.

    Attributes:
        key: The signer's private key.
        certificate: The signer's certificate.
        root: The certificate that issued it. Trust it in tests only.
    """

    key: rsa.RSAPrivateKey = attrs.field(repr=False)
    certificate: x509.Certificate
    root: x509.Certificate


def issue_identity() -> Identity:
    """Make a new root and a signer below it, valid from yesterday for a year."""
    root_key, key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    root_name = _name("Sandbox Test Root - NOT QUALIFIED")
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)

    def issue(subject: x509.Name, public_key: rsa.RSAPublicKey, *, is_root: bool) -> x509.Certificate:
        usage = dict.fromkeys(
            ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(yesterday)
            .not_valid_after(yesterday + dt.timedelta(days=366))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not is_root,
                    content_commitment=not is_root,
                    key_cert_sign=is_root,
                    crl_sign=is_root,
                    **usage,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .sign(root_key, hashes.SHA256())
        )

    root = issue(root_name, root_key.public_key(), is_root=True)
    return Identity(key, issue(_name(COMMON_NAME), key.public_key(), is_root=False), root)


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "PT"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "signstash sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )

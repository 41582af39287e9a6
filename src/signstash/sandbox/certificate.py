"""The sandbox's certificates: a test root, and issued by it a signer and a timestamp authority."""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COMMON_NAME = "Sandbox Test Signer - NOT QUALIFIED"
ROOT_NAME = "Sandbox Test Root - NOT QUALIFIED"
AUTHORITY_NAME = "Sandbox Test Timestamps - NOT QUALIFIED"


@attrs.frozen
class Identity:
    """A key with its certificate.

    Attributes:
        key: The private key.
        certificate: Its certificate.
    """

    key: rsa.RSAPrivateKey = attrs.field(repr=False)
    certificate: x509.Certificate


class Root:
    """A root certificate and its key. Trust it in tests only.

    Args:
        saved: Its key and certificate in PEM, from `new_root`.

    Attributes:
        certificate: The root's own certificate.
    """

    def __init__(self, saved: bytes) -> None:
        key = serialization.load_pem_private_key(saved, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"the root's key is {type(key).__name__}")
        self._key = key
        self.certificate: x509.Certificate = x509.load_pem_x509_certificate(saved)

    def issue_signer(self) -> Identity:
        """Issue the certificate of a document signer."""
        return self._identity(COMMON_NAME)

    def issue_timestamp_authority(self) -> Identity:
        """Issue the certificate of a timestamp authority."""
        return self._identity(AUTHORITY_NAME, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]))

    def _identity(self, common_name: str, usage: x509.ExtendedKeyUsage | None = None) -> Identity:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = _certificate(_name(common_name), key.public_key(), self._key)
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        return Identity(key, builder.sign(self._key, hashes.SHA256()))


def new_root() -> bytes:
    """Generate a root's key and certificate in PEM, valid from yesterday for a year."""
    # An elliptic curve, so that sandboxes start quickly. Documents are signed with RSA, as is common.
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(_name(ROOT_NAME), key.public_key(), key, is_root=True).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + pem(certificate)


def _certificate(
    subject: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: ec.EllipticCurvePrivateKey,
    *,
    is_root: bool = False,
) -> x509.CertificateBuilder:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(ROOT_NAME))
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
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )


def pem(certificate: x509.Certificate) -> bytes:
    """Encode a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "PT"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "signstash sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )

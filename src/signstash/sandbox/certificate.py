"""The sandbox's own certificates: a root that names itself a test, and below it a signer and a timestamp authority."""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COMMON_NAME = "Sandbox Test Signer - NOT QUALIFIED"
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
    """A root certificate that is made anew, valid from yesterday for a year. Trust it in tests only.

    Attributes:
        certificate: The root's own certificate.
    """

    def __init__(self) -> None:
        # Quick to make, so that sandboxes start quickly; what signs documents has RSA, as it is usual.
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Sandbox Test Root - NOT QUALIFIED")
        self._yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        self.certificate = self._issue(self._name, self._key.public_key(), is_root=True).sign(
            self._key, hashes.SHA256()
        )

    def issue_signer(self) -> Identity:
        """A signer of documents."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = self._issue(_name(COMMON_NAME), key.public_key())
        return Identity(key, builder.sign(self._key, hashes.SHA256()))

    def issue_timestamp_authority(self) -> Identity:
        """A timestamp authority."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = self._issue(_name(AUTHORITY_NAME), key.public_key()).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
        )
        return Identity(key, builder.sign(self._key, hashes.SHA256()))

    def _issue(
        self, subject: x509.Name, public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, *, is_root: bool = False
    ) -> x509.CertificateBuilder:
        usage = dict.fromkeys(
            ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._yesterday)
            .not_valid_after(self._yesterday + dt.timedelta(days=366))
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
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


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

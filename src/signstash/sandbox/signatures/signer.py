"""What every kind of signature needs: the key, its certificates and a timestamp authority."""

from __future__ import annotations

import threading

from asn1crypto import keys, x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from pyhanko.sign import signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from ..certificate import Identity, Root


class CannotSignError(Exception):
    """What is asked for cannot be done.

    Attributes:
        sign_error: The service's `signError` for it.
    """

    def __init__(self, why: str, *, sign_error: str = "SIGN_OPERATION_INTERNAL_ERROR") -> None:
        super().__init__(why)
        self.sign_error = sign_error


class KeptKeySigner(signers.Signer):
    """Keeps its key loaded: pyHanko's SimpleSigner loads it anew, twice for each signature."""

    def __init__(self, identity: Identity, root: x509.Certificate) -> None:
        store = SimpleCertificateStore.from_certs([_asn1(root)])
        super().__init__(signing_cert=_asn1(identity.certificate), cert_registry=store)
        self._key = identity.key

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """Sign with the key: what pyHanko asks of a signer."""
        if digest_algorithm != "sha256":
            raise CannotSignError(f"the sandbox signs SHA-256 only, not {digest_algorithm}")
        return bytes(self._key.key_size // 8) if dry_run else self._key.sign(data, PKCS1v15(), hashes.SHA256())


class Seal:
    """What signs.

    Args:
        root: Issues the certificates.

    Attributes:
        identity: Key and certificate.
        signer: The same for pyHanko.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self.identity: Identity = root.issue_signer()
        self.signer: KeptKeySigner = KeptKeySigner(self.identity, root.certificate)
        self._timestamper: DummyTimeStamper | None = None
        self._lock = threading.Lock()

    @property
    def timestamper(self) -> DummyTimeStamper:
        """The timestamp authority. It is made when it is first needed: its key takes time."""
        with self._lock:
            if self._timestamper is None:
                authority = self._root.issue_timestamp_authority()
                key = authority.key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                self._timestamper = DummyTimeStamper(
                    tsa_cert=_asn1(authority.certificate),
                    tsa_key=keys.PrivateKeyInfo.load(key),
                    certs_to_embed=SimpleCertificateStore.from_certs([_asn1(self._root.certificate)]),
                )
            return self._timestamper


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    loaded = asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    # asn1crypto parses on first use, which several threads must not do at once; this parses all of it.
    assert loaded.native  # noqa: S101
    return loaded

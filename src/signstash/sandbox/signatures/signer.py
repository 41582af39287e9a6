"""The key, certificates, and timestamp authority that every kind of signature needs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from asn1crypto import keys, x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from pyhanko.sign import signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from ..certificate import Identity, Root

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class CannotSignError(Exception):
    """A document cannot be signed as requested.

    The service publishes no `signError` for such documents, and the published ones name failures of the service that
    may pass. So a document that can never be signed has none.

    Attributes:
        reason: What prevents it, for the response and the page.
        sign_error: The service's `signError`, or an empty string.
        error_code: The `errorCode` that the service publishes for the reason, or an empty string.
    """

    def __init__(self, reason: str, *, sign_error: str = "", error_code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.sign_error = sign_error
        self.error_code = error_code


class LoadedKeySigner(signers.Signer):
    """Signs with a loaded key: pyHanko's SimpleSigner loads its key twice for each signature.

    Use one per signature: pyHanko keeps state of the document in it.
    """

    def __init__(self, identity: Identity, certificate: asn1_x509.Certificate, store: SimpleCertificateStore) -> None:
        super().__init__(signing_cert=certificate, cert_registry=store)
        self._key = identity.key

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """Sign data with the key (called by pyHanko)."""
        if dry_run:
            return bytes(self._key.key_size // 8)
        return self._key.sign(data, PKCS1v15(), _HASHES[digest_algorithm])


class Seal:
    """The identity that signs documents. It can be used from several threads.

    Args:
        root: Issues the certificates.

    Attributes:
        identity: Key and certificate.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self.identity: Identity = root.issue_signer()
        self._certificate = _asn1(self.identity.certificate)
        self._root_certificate = _asn1(root.certificate)
        self._authority: tuple[asn1_x509.Certificate, keys.PrivateKeyInfo] | None = None
        self._lock = threading.Lock()

    @property
    def signer(self) -> LoadedKeySigner:
        """A new signer for pyHanko, for one signature."""
        store = SimpleCertificateStore.from_certs([self._root_certificate])
        return LoadedKeySigner(self.identity, self._certificate, store)

    @property
    def timestamper(self) -> DummyTimeStamper:
        """A new client of the timestamp authority, for one signature. The first one generates the authority's key."""
        with self._lock:
            if self._authority is None:
                authority = self._root.issue_timestamp_authority()
                key = authority.key.private_bytes(
                    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                self._authority = _asn1(authority.certificate), keys.PrivateKeyInfo.load(key)
            certificate, private_key = self._authority
        store = SimpleCertificateStore.from_certs([self._root_certificate])
        return DummyTimeStamper(tsa_cert=certificate, tsa_key=private_key, certs_to_embed=store)


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    loaded = asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    # asn1crypto parses on first use, which several threads must not do at once; this parses all of it.
    assert loaded.native  # noqa: S101 - this parses it
    return loaded

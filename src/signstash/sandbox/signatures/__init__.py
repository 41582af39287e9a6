"""Signs for real, with the sandbox's test certificate: PAdES, XAdES and CAdES, at level B-B or with a timestamp B-T."""

from __future__ import annotations

from ...models import SignatureInfo, SignatureType
from ..certificate import Root
from .cms import sign_bytes
from .pdf import sign_pdf
from .signer import CannotSignError, Seal
from .xml import sign_xml

__all__ = ["CannotSignError", "SignatureMaker"]


class SignatureMaker:
    """Signs documents with one identity. It works on the CPU: call it in a thread; it can be used from several.

    Args:
        root: Issues the certificates to sign with.
    """

    def __init__(self, root: Root) -> None:
        self._seal = Seal(root)

    def sign(self, content: bytes, info: SignatureInfo) -> bytes:
        """The signed document.

        Args:
            content: The document.
            info: What is asked for.

        Raises:
            CannotSignError: If it cannot be signed in that way.
        """
        if info.signature_type == SignatureType.PADES:
            return sign_pdf(content, info, self._seal)
        if info.signature_type == SignatureType.XADES:
            return sign_xml(content, info, self._seal)
        return sign_bytes(content, info, self._seal)

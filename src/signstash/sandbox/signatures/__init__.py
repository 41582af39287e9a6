"""Real signatures with a test certificate: PAdES, XAdES, and CAdES at level B-B, or B-T with a timestamp."""

from __future__ import annotations

from typing import Final

from ...models import SignatureInfo, SignatureType
from ..certificate import Root
from .cades import sign_bytes
from .pades import sign_pdf
from .signer import CannotSignError, Seal

__all__ = ["CannotSignError", "SignatureMaker"]


def _sign_xml(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    from .xades import sign_xml  # loads signxml, which a sandbox that signs only PDFs does not need

    return sign_xml(content, info, seal)


_SIGN: Final = {SignatureType.PADES: sign_pdf, SignatureType.XADES: _sign_xml, SignatureType.CADES: sign_bytes}


class SignatureMaker:
    """Signs documents with one identity. It is bound by the CPU: call it in a thread; several may use it.

    Args:
        root: Issues the certificates to sign with.
    """

    def __init__(self, root: Root) -> None:
        self._seal = Seal(root)

    def sign(self, content: bytes, info: SignatureInfo) -> bytes:
        """Sign a document.

        Args:
            content: The document.
            info: The requested signature.

        Returns:
            The signed document.

        Raises:
            CannotSignError: If it cannot be signed as requested.
        """
        try:
            return _SIGN[SignatureType(info.signature_type)](content, info, self._seal)
        except CannotSignError:
            raise
        except Exception as error:  # a parser may raise anything for a damaged document
            raise CannotSignError(f"{type(error).__name__}: {error}") from error

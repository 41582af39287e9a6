"""Signs for real, with the sandbox's test certificate: PAdES, XAdES and CAdES, at level B-B or with a timestamp B-T."""

from __future__ import annotations

from typing import Final

from ...models import SignatureInfo, SignatureType
from ..certificate import Root
from .cms import sign_bytes
from .pdf import sign_pdf
from .signer import CannotSignError, Seal

__all__ = ["CannotSignError", "SignatureMaker"]


def _sign_xml(content: bytes, info: SignatureInfo, seal: Seal) -> bytes:
    from .xml import sign_xml  # loads signxml, which sandboxes that sign PDFs only need not wait for

    return sign_xml(content, info, seal)


_KINDS: Final = {SignatureType.PADES: sign_pdf, SignatureType.XADES: _sign_xml, SignatureType.CADES: sign_bytes}


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
        try:
            return _KINDS[SignatureType(info.signature_type)](content, info, self._seal)
        except CannotSignError:
            raise
        except Exception as error:  # whatever a broken document brings up in its parser is its own failure
            raise CannotSignError(f"{type(error).__name__}: {error}") from error

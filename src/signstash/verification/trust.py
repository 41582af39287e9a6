"""Which certificates are trusted: those that the caller gives, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asn1crypto import pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathError, ValidationError

from ..errors import ConfigurationError

Roots = Iterable[str | os.PathLike[str] | bytes]
"""Certificates of authorities: files, or their contents, in PEM (any number in each) or DER."""


def certificates(roots: Roots) -> list[x509.Certificate]:
    """The certificates that were given.

    Raises:
        ConfigurationError: If a file cannot be read, or holds none.
    """
    if isinstance(roots, str | bytes | os.PathLike):
        raise ConfigurationError("trusted_roots is a single one.", "Give a list of files, or of their contents.")
    found = []
    for root in roots:
        try:
            content = root if isinstance(root, bytes) else Path(root).read_bytes()
            found += [x509.Certificate.load(der, strict=True) for der in unarmoured(content)]
            [certificate.subject for certificate in found]  # asn1crypto looks at it only now
        except (OSError, ValueError, TypeError) as error:
            which = "A root that was given as bytes" if isinstance(root, bytes) else f"The root {root}"
            raise ConfigurationError(f"{which} cannot be used: {error}.", "Give certificates in PEM or DER.") from error
    return found


def unarmoured(content: bytes) -> list[bytes]:
    """What a file holds in DER, if it is PEM, and else its contents."""
    armoured: Any = pem.unarmor(content, multiple=True) if pem.detect(content) else [(None, None, content)]
    return [der for _, _, der in armoured]


def context(roots: Iterable[x509.Certificate]) -> ValidationContext:
    """What signatures are judged by. Nothing is fetched from the network."""
    return ValidationContext(trust_roots=list(roots), allow_fetching=False)


async def leads_to_a_root(
    certificate: x509.Certificate, others: Iterable[x509.Certificate], roots: Iterable[x509.Certificate]
) -> bool:
    """Whether a certificate leads to one of the roots, by the others that came with it."""
    validator = CertificateValidator(certificate, list(others), validation_context=context(roots))
    try:
        await validator.async_validate_usage(key_usage=set())
    except (PathError, ValidationError):
        return False
    return True

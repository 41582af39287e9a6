"""Trust: whether a certificate has a valid path to one of the roots that the caller gives."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from asn1crypto import pem, x509
from pyhanko_certvalidator import CertificateValidator, PKIXValidationParams, ValidationContext
from pyhanko_certvalidator.authority import CertTrustAnchor, TrustedServiceType, derive_quals_from_cert
from pyhanko_certvalidator.errors import ExpiredError, NotYetValidError, PathBuildingError, PathError, ValidationError

from .._arguments import IterableNotStr
from ..errors import ConfigurationError
from .report import Findings

_MAX_PATHS: Final = 1000
Root = str | os.PathLike[str] | bytes
Roots = IterableNotStr[Root] | Iterator[Root]
"""Certificates of authorities: files, or their contents, in PEM (any number in each) or DER."""


def certificates(roots: Roots) -> list[x509.Certificate]:
    """Read the given certificates.

    Raises:
        ConfigurationError: If a file cannot be read, or holds none.
    """
    if isinstance(roots, str | bytes | os.PathLike) or not isinstance(roots, Iterable):
        shown = roots if isinstance(roots, str) else f"of type {type(roots).__name__}"
        raise ConfigurationError(f"trusted_roots is {shown}.", "Give a list of files, or of their contents.")
    found = []
    for root in roots:
        try:
            content = root if isinstance(root, bytes) else Path(root).read_bytes()
            armoured: Any = pem.unarmor(content, multiple=True) if pem.detect(content) else [(None, None, content)]
            found += [x509.Certificate.load(der, strict=True) for _, _, der in armoured]
            [certificate.subject for certificate in found]  # asn1crypto parses lazily
        except (OSError, ValueError, TypeError) as error:
            label = "A root that was given as bytes" if isinstance(root, bytes) else f"The root {root}"
            raise ConfigurationError(f"{label} cannot be used: {error}.", "Give certificates in PEM or DER.") from error
    return found


def judge_trust(
    certificate: x509.Certificate, held: Iterable[x509.Certificate], roots: list[x509.Certificate], findings: Findings
) -> None:
    """Judge the path of a signer's certificate, at the present moment and without network; key usage plays no role.

    The path may use all certificates that the signature holds. Without roots, trust is not judged.
    """
    if not roots:
        return
    others = [other for other in held if other.dump() != certificate.dump()]
    reason = _untrusted(certificate, others, roots)
    findings.trusted = reason is None
    if reason is not None:
        findings.indeterminate(f"the certificate of {findings.label} {reason}")


def _untrusted(
    certificate: x509.Certificate, others: list[x509.Certificate], roots: list[x509.Certificate]
) -> str | None:
    if any(certificate.dump() == root.dump() for root in roots):
        others = []
    if _number_of_paths(certificate, others) > _MAX_PATHS:
        return "has too many possible paths to be judged"
    try:
        context = ValidationContext(trust_roots=[_anchor(root) for root in roots], allow_fetching=False)
        # With the default parameters, a root that limits names of one kind would permit none of any other kind.
        validator = CertificateValidator(certificate, others, context, PKIXValidationParams())
        asyncio.run(validator.async_validate_path())
    except PathBuildingError:
        return "leads to none of the trusted roots"
    except ExpiredError as error:
        return f"has no valid path to a trusted root now: a certificate expired on {error.expired_dt:%Y-%m-%d}"
    except NotYetValidError as error:
        return f"has no valid path to a trusted root now: a certificate is valid from {error.valid_from:%Y-%m-%d}"
    except (PathError, ValidationError) as error:
        if certificate.issuer == certificate.subject:
            return "leads to none of the trusted roots"
        return f"has no valid path to a trusted root: {error}"
    except NotImplementedError as error:  # such as name constraints for IP addresses
        return f"has a path that cannot be judged: {error}"
    return None


def _anchor(root: x509.Certificate) -> CertTrustAnchor:
    """A root with the limits that its certificate states: validity, path length and names, but not policies."""
    limits = derive_quals_from_cert(root)
    names = limits.standard_parameters and PKIXValidationParams(
        initial_permitted_subtrees=limits.standard_parameters.initial_permitted_subtrees,
        initial_excluded_subtrees=limits.standard_parameters.initial_excluded_subtrees,
    )
    any_service = TrustedServiceType.UNSPECIFIED
    return CertTrustAnchor(root, replace(limits, standard_parameters=names, trusted_service_type=any_service))


def _number_of_paths(certificate: x509.Certificate, others: Sequence[x509.Certificate]) -> int:
    """The number of possible paths, counted by the names of certificates."""
    issuers = {(other.subject.hashable, other.issuer.hashable) for other in others}
    reached, found = {certificate.issuer.hashable}, 0
    while len(reached) > found:
        found = len(reached)
        reached |= {issuer for subject, issuer in issuers if subject in reached}
    counts = Counter(other.subject.hashable for other in others)
    return math.prod(math.factorial(counts[name]) for name in reached)

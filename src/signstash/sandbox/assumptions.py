"""What the sandbox assumes where the behaviour of the service is not published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ASSUMPTIONS: Final = (
    "Proxy and Integration Service share their external references. Operations of a proxy cannot be queried.",
    "References of requests and of documents are separate.",
    "An operation of which a part failed is EXECUTION_ERROR. An unknown operation is 404.",
    "The Integration Service stores signed contents for its ZIP file, also without preservation. It sends no mails.",
    "An invalid token is rejected with 409 and 0.0.10; a revoked one, by a fault, with 401.",
    "Files of a multipart request are matched by name, then by external reference, then by order.",
    "A pixel of a visible signature is a point, 1/72 inch. Coordinates count from the lower left corner of the page as "
    "it is displayed: the part within the CropBox, or else the MediaBox, wherever that begins, and turned by the "
    "page's /Rotate. The signature stands upright there.",
    "A signature at a placeholder starts at the lower left corner of the word. Without an area it measures 155 x 50.",
    "A visible signature that is not within its page, or a picture larger than its area, is 2.2.1 with HTTP status "
    "500. In a request with other documents, only the document outside its page is not signed.",
    "A document that can never be signed gets ERROR_SIGNING without a signError, and a causeMessage with the reason.",
    "PDFs encrypted with an empty user password are signed. The header of a PDF may be anywhere in its first 1024 "
    "bytes; what precedes it is left out.",
    "Canonicalization is exclusive unless requested otherwise. XPATH means not(ancestor-or-self::ds:Signature), and "
    "XPATH2_FILTER subtracts /descendant::ds:Signature.",
    "At most 1000 documents in a request, 4000 characters in a name or reference, 1 GiB in a body; more is 0.0.4, "
    "or 413.",
    "JSON values of another type than the definition's are rejected with 0.0.6.",
)


def assumptions(*, reuse_failed_references: bool) -> Sequence[str]:
    """The assumptions in force, for people to read.

    Args:
        reuse_failed_references: Whether references of documents that were not signed can be used again.
    """
    references = (
        "A document that is not signed leaves its external reference free to be used again (reuse_failed_references)."
        if reuse_failed_references
        else "A document that is not signed uses up its external reference, unless reuse_failed_references is set."
    )
    return (references, *_ASSUMPTIONS)

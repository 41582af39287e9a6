"""The algorithms of XML signatures, by URI (RFC 9231): digests, signatures and canonicalizations."""

from __future__ import annotations

from typing import Any, Final

import attrs
from lxml import etree

from .algorithms import SignatureAlgorithm, digest
from .report import NotJudgedError

DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
"""Namespace of XML signatures, as a prefix of their elements' tags."""
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_INCLUSIVE: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_INCLUSIVE_1_1: Final = "http://www.w3.org/2006/12/xml-c14n11"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_MORE_2007: Final = "http://www.w3.org/2007/05/xmldsig-more#"
_MORE_2021: Final = "http://www.w3.org/2021/04/xmldsig-more#"
_PSS: Final = f"{{{_MORE_2007}}}"
_SIGNATURES: Final = {
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1": ("rsa", "sha1"),
    "http://www.w3.org/2000/09/xmldsig#dsa-sha1": ("dsa", "sha1"),
    "http://www.w3.org/2009/xmldsig11#dsa-sha256": ("dsa", "sha256"),
    f"{_MORE_2021}eddsa-ed25519": ("eddsa", ""),
    f"{_MORE_2021}eddsa-ed448": ("eddsa", ""),
}
_DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmldsig-more#md5": "md5",
    "http://www.w3.org/2000/09/xmldsig#sha1": "sha1",
    "http://www.w3.org/2001/04/xmldsig-more#sha224": "sha224",
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    **{f"http://www.w3.org/2007/05/xmldsig-more#sha3-{size}": f"sha3_{size}" for size in (224, 256, 384, 512)},
}
"""Digest algorithms by URI (RFC 9231, 2.1, and XML Encryption 1.1, 5.8)."""
_DIGESTS_BY_FRAGMENT: Final = {uri.partition("#")[2]: name for uri, name in _DIGESTS.items()}
"""The same by what stands after "#", as it does in the URIs of signature algorithms: `rsa-sha256`."""


def digest_algorithm(method: Any) -> str:
    """The digest algorithm of a DigestMethod element."""
    algorithm = None if method is None else method.get("Algorithm")
    if algorithm not in _DIGESTS:
        raise NotJudgedError(f"the digest algorithm {algorithm} is not supported")
    return _DIGESTS[algorithm]


def signature_algorithm(method: Any) -> SignatureAlgorithm:
    """Read a SignatureMethod element."""
    name = method.get("Algorithm", "")
    if name == f"{_MORE_2007}rsa-pss":
        return _pss_algorithm(method)
    plain = name.removeprefix(_MORE).removeprefix(_MORE_2007).removeprefix(_MORE_2021)
    kind, hash_name = _SIGNATURES.get(name, ("", ""))
    if name != plain and plain.endswith("-rsa-MGF1"):
        hash_name = _DIGESTS_BY_FRAGMENT.get(plain.removesuffix("-rsa-MGF1"), "")
        if hash_name:  # RFC 9231, 2.3.10: salt and mask of the same digest
            length = len(digest(hash_name, b""))
            return SignatureAlgorithm(kind="pss", hash_name=hash_name, mgf_hash=hash_name, salt_length=length)
    elif name != plain and plain.partition("-")[0] in ("rsa", "ecdsa"):
        kind, _, hash_name = plain.partition("-")
        hash_name = _DIGESTS_BY_FRAGMENT.get(hash_name, "")
    if not kind or not (hash_name or kind == "eddsa"):
        raise NotJudgedError(f"the signature algorithm {name} is not supported")
    return SignatureAlgorithm(kind=kind, hash_name=hash_name, raw=True)  # type: ignore[arg-type]  # one of the literals


def _pss_algorithm(method: Any) -> SignatureAlgorithm:
    """RSA-PSS with its parameters; the defaults are of RFC 9231, 2.3.9."""
    parameters = method.find(f"{_PSS}RSAPSSParams")
    hash_name = mask = "sha256"
    salt = None
    if parameters is not None:
        own = parameters.find(f"{DS}DigestMethod")
        hash_name = mask = "sha256" if own is None else digest_algorithm(own)
        generation = parameters.find(f"{_PSS}MaskGenerationFunction/{DS}DigestMethod")
        mask = mask if generation is None else digest_algorithm(generation)
        salt = parameters.findtext(f"{_PSS}SaltLength")
    length = len(digest(hash_name, b"")) if salt is None else int(salt)
    return SignatureAlgorithm(kind="pss", hash_name=hash_name, mgf_hash=mask, salt_length=length)


@attrs.frozen
class Canonicalization:
    """A canonicalization algorithm.

    Attributes:
        exclusive: Whether it leaves out namespaces that are not used.
        comments: Whether it keeps comments.
        version_1_1: Whether it is version 1.1, which inherits fewer attributes.
        prefixes: Prefixes that exclusive canonicalization treats like the inclusive one.
    """

    exclusive: bool = False
    comments: bool = False
    version_1_1: bool = False
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, method: Any) -> Canonicalization | None:
        """Read the algorithm of a CanonicalizationMethod or Transform element, or None if it is something else."""
        name = method.get("Algorithm", "")
        comments = name.endswith("WithComments")
        plain = name.removesuffix("WithComments") if comments else name
        if plain == _EXCLUSIVE:
            listed = method.find(f"{{{_EXCLUSIVE}}}InclusiveNamespaces")
            prefixes = () if listed is None else tuple(listed.get("PrefixList", "").split())
            return cls(exclusive=True, comments=comments, prefixes=prefixes)
        if plain.removesuffix("#") in (_INCLUSIVE, _INCLUSIVE_1_1) and plain.endswith("#") == comments:
            return cls(comments=comments, version_1_1=plain.startswith(_INCLUSIVE_1_1))
        return None

    def canonicalize(self, root: Any) -> bytes:
        """The canonical form of a document with a root element; what is before and after that element is part of it."""
        prefixes = list(self.prefixes) if self.exclusive else None
        options: Any = {"exclusive": self.exclusive, "with_comments": self.comments, "inclusive_ns_prefixes": prefixes}
        return bytes(etree.tostring(root.getroottree(), method="c14n", **options))

    def cut_out(self, element: Any) -> Any:
        """The root of a document of its own for an element, with all that its canonical form there depends on."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        root = etree.fromstring(etree.tostring(element, with_tail=False), parser)
        if self.exclusive:
            return root
        for ancestor in element.iterancestors():
            for name, value in ancestor.attrib.items():
                if self.version_1_1 and name == f"{_XML}base":
                    raise NotJudgedError("canonicalization 1.1 of an element that inherits xml:base is not supported")
                is_inherited = name.startswith(_XML) and not (self.version_1_1 and name == f"{_XML}id")
                if is_inherited and name not in root.attrib:
                    root.set(name, value)
        return root

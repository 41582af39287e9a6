"""XML signatures that xmlsec1 makes, and makes of them: transforms, references, algorithms, wrapping and changes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from signstash.verification import Verdict, verify_file
from tests.verification.conftest import Judges, assert_agrees

DS = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
C14N_1_1 = "http://www.w3.org/2006/12/xml-c14n11"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
DECLARED = f'xmlns:ds="{DS}" xmlns:i="urn:i"'
IDS = [
    item
    for name in ("i:Invoice", f"{DS}Object", f"{DS}Manifest", "part", "i:Total")
    for attribute in ("Id", "ID", "id")
    for item in (f"--id-attr:{attribute}", name.replace("i:", "urn:i:"))
]


def transform(algorithm: str, inner: str = "") -> str:
    return f'<ds:Transform Algorithm="{algorithm}">{inner}</ds:Transform>'


ENVELOPED = transform(f"{DS}enveloped-signature")


def xpath(expression: str, declared: str = DECLARED) -> str:
    return transform("http://www.w3.org/TR/1999/REC-xpath-19991116", f"<ds:XPath {declared}>{expression}</ds:XPath>")


def xpath_2(*filters: tuple[str, str]) -> str:
    name = "http://www.w3.org/2002/06/xmldsig-filter2"
    return transform(name, "".join(f'<f:XPath xmlns:f="{name}" {DECLARED} Filter="{kind}">{expression}</f:XPath>'
                                   for kind, expression in filters))  # fmt: skip


def reference(uri: str = "", transforms: str = ENVELOPED, digest: str = SHA256, more: str = "") -> str:
    listed = f"<ds:Transforms>{transforms}</ds:Transforms>" if transforms else ""
    return (f'<ds:Reference URI="{uri}"{more}>{listed}<ds:DigestMethod Algorithm="{digest}"/>'
            "<ds:DigestValue/></ds:Reference>")  # fmt: skip


def signature(
    *references: str, method: str = f"{MORE}rsa-sha256", canonical: str = C14N, inner: str = "", more: str = ""
) -> str:
    return (f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{canonical}">{inner}'
            f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{method}"/>'
            f"{''.join(references) or reference()}</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data/>"
            f"</ds:KeyInfo>{more}</ds:Signature>")  # fmt: skip


def invoice(signed: str, attributes: str = "") -> str:
    return (f'<i:Invoice xmlns:i="urn:i" xmlns:x="urn:x" xml:lang="pt"{attributes}><!-- c --><i:Total c="EUR">10 &amp; '
            f'&lt;1</i:Total>\n<x:n a="1" b="é"/>{signed}</i:Invoice>')  # fmt: skip


def made(judges: Judges, template: str, key: str = "rsa", encoding: str = "utf-8") -> bytes:
    (judges.folder / "template.xml").write_bytes(template.encode(encoding))
    judges.make("xmlsec1", "--sign", "--privkey-pem", f"{key}.key,{key}.crt", *IDS, "--output", "signed.xml",
                "template.xml")  # fmt: skip
    return (judges.folder / "signed.xml").read_bytes()


PREFIXES = f'<e:InclusiveNamespaces xmlns:e="{EXCLUSIVE}" PrefixList="x i #default"/>'
MANIFEST = f'<ds:Object><ds:Manifest Id="M">{reference()}</ds:Manifest></ds:Object>'
OBJECT = "<ds:Object{}><total>9999</total></ds:Object>"
PAYLOAD = '<ds:Object Id="O"><i:Invoice xmlns:i="urn:i"><i:Total>1</i:Total></i:Invoice></ds:Object>'
HERE = (
    "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) &gt; "
    "count(ancestor-or-self::ds:Signature)"
)
WITHOUT_TOTAL = "not(ancestor-or-self::ds:Signature | ancestor-or-self::i:Total)"

HOLDS = {
    **{f"transform {name}": invoice(signature(reference(transforms=ENVELOPED + transform(name))))
       for name in (C14N, f"{C14N}#WithComments", C14N_1_1, EXCLUSIVE, f"{EXCLUSIVE}WithComments")},
    **{f"canonical {name}": invoice(signature(canonical=name))
       for name in (C14N, f"{C14N}#WithComments", C14N_1_1, f"{C14N_1_1}#WithComments", EXCLUSIVE)},
    "prefixes": invoice(signature(reference(transforms=ENVELOPED + transform(EXCLUSIVE, PREFIXES)),
                                  canonical=EXCLUSIVE, inner=PREFIXES)),
    **{f"digest {name}": invoice(signature(reference(digest=name)))
       for name in (f"{MORE}sha224", f"{MORE}sha384", "http://www.w3.org/2001/04/xmlenc#sha512")},
    **{f"rsa-{name}": invoice(signature(method=f"{MORE}rsa-{name}")) for name in ("sha384", "sha512")},
    "xpath": invoice(signature(reference(transforms=xpath("not(ancestor-or-self::ds:Signature)")))),
    "xpath, other prefix": invoice(signature(reference(
        transforms=xpath("not(ancestor-or-self::q:Signature)", f'xmlns:q="{DS}"')))),
    "xpath, here": invoice(signature(reference(transforms=xpath(HERE)))),
    "xpath, local name": invoice(signature(reference(
        transforms=xpath("not(ancestor-or-self::*[local-name()='Signature'])")))),
    "xpath 2": invoice(signature(reference(transforms=xpath_2(("subtract", "//ds:Signature"))))),
    "xpath 2, two steps": invoice(signature(reference(
        transforms=xpath_2(("intersect", "/i:Invoice"), ("subtract", "/descendant::ds:Signature"))))),
    "xpath 2, here": invoice(signature(reference(
        transforms=xpath_2(("subtract", "here()/ancestor::ds:Signature[1]"))))),
    "xpath 2, union": invoice(signature(reference(transforms=xpath_2(
        ("intersect", "//x:nothing".replace("x:", "i:")), ("union", "/i:Invoice"), ("subtract", "//ds:Signature"))))),
    **{f"root {name}": invoice(signature(reference("#R")), f' {name}="R"') for name in ("Id", "ID", "id", "xml:id")},
    "pointer to the root": invoice(signature(reference("#xpointer(id('R'))")), ' Id="R"'),
    "pointer to the document": invoice(signature(reference("#xpointer(/)"))),
    "instructions": '<?xml-stylesheet href="a"?>' + invoice(signature()) + "<?after?>",
    "enveloping": signature(reference("#O", ""), more=PAYLOAD),
    "enveloping base64": signature(reference("#O", transform(f"{DS}base64")),
                                   more='<ds:Object Id="O">aGVs\nbG8=</ds:Object>'),
    "manifest": invoice(signature(reference("#M", "", more=f' Type="{DS}Manifest"'), more=MANIFEST)),
    "signed object": invoice(signature(reference(), reference("#O", ""), more=OBJECT.format(' Id="O"'))),
    "inherited attributes": invoice(signature(reference(), reference("#T", ""))).replace("<i:Total", '<i:Total Id="T"'),
    "inherited attributes 1.1": invoice(signature(reference(), reference("#T", transform(C14N_1_1)))).replace(
        "<i:Total", '<i:Total Id="T"'),
    "line ends": "<a><![CDATA[<x>&]]>\r\n<b c='&#10;&#13; q'/>" + signature() + "</a>",
    "large text": f"<a>{'x' * 11_000_000}{signature()}</a>",
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDS)
def test_valid_signatures_pass(judges: Judges, name: str) -> None:
    signed = made(judges, HOLDS[name])

    assert judges.xmlsec_accepts(signed, IDS)
    assert (verify_file(signed).problems, verify_file(signed).signer) == ((), "rsa")


def test_other_keys_and_encodings_are_supported(judges: Judges) -> None:
    assert verify_file(made(judges, invoice(signature(method=f"{MORE}ecdsa-sha256")), key="ec")).ok
    assert verify_file(made(judges, invoice(signature()), encoding="utf-16")).ok
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?>' + invoice(signature())
    assert verify_file(made(judges, latin, encoding="latin-1")).ok


@pytest.mark.parametrize("size", ["224", "256", "384", "512"])
def test_ecdsa_with_sha3_is_supported(judges: Judges, size: str) -> None:
    """xmlsec1 makes everything but the signature value."""
    signed = made(judges, invoice(signature(method=f"{MORE}ecdsa-sha256", canonical=EXCLUSIVE)), key="ec")
    name = f"http://www.w3.org/2021/04/xmldsig-more#ecdsa-sha3-{size}"
    root: Any = etree.fromstring(signed.replace(f"{MORE}ecdsa-sha256".encode(), name.encode()))
    info = etree.tostring(root.find(f".//{{{DS}}}SignedInfo"), method="c14n", exclusive=True)
    (judges.folder / "signed info").write_bytes(info)
    judges.make("openssl", "dgst", f"-sha3-{size}", "-sign", "ec.key", "-out", "value", "signed info")
    r, s = decode_dss_signature((judges.folder / "value").read_bytes())
    value = root.find(f".//{{{DS}}}SignatureValue")
    value.text = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()

    found = verify_file(etree.tostring(root))

    assert (found.problems, found.signer) == ((), "ec")


NOT_COVERED = {
    "an unsigned object": (invoice(signature(more=OBJECT.format(""))), "not all of it is signed: Object"),
    "a part that an XPath leaves out": (
        invoice(signature(reference(transforms=xpath(WITHOUT_TOTAL)))),
        "not all of it is signed: Total",
    ),
    "instructions outside of the root": (
        '<?xml-stylesheet href="a"?>' + invoice(signature(reference("#R")), ' Id="R"'),
        "processing instructions outside of the root element",
    ),
    "all but a part": (
        f'<a><total>9</total><part Id="P"/>{signature(reference("#P", ""))}</a>', "not all of it is signed: a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_COVERED)
def test_unsigned_content_is_reported(judges: Judges, name: str) -> None:
    template, reason = NOT_COVERED[name]
    found = verify_file(made(judges, template))

    assert found.verdict is Verdict.INVALID
    assert reason in found.reason
    assert "changed" not in found.reason


NOT_UNDERSTOOD = {
    "SHA-1": (invoice(signature(reference(digest=f"{DS}sha1"))), "rests on SHA-1"),
    "RSA with SHA-1": (invoice(signature(method=f"{DS}rsa-sha1")), "rests on SHA-1"),
    "XSLT": (
        invoice(signature(reference(transforms=ENVELOPED + transform(
            "http://www.w3.org/TR/1999/REC-xslt-19991116",
            '<s:stylesheet version="1.0" xmlns:s="http://www.w3.org/1999/XSL/Transform"><s:template match="/"><o/>'
            "</s:template></s:stylesheet>")))),
        "xslt-19991116 is not supported",
    ),
    "parts of elements": (
        invoice(signature(reference(transforms=xpath("not(ancestor-or-self::ds:Signature | self::text())")))),
        "selects parts of elements",
    ),
    "an element around what is signed": (
        f'<a><part Id="P">1</part>{signature(reference("#P", ""))}</a>', "the element around what is signed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_unsupported_features_do_not_mean_a_change(judges: Judges, name: str) -> None:
    template, reason = NOT_UNDERSTOOD[name]
    found = verify_file(made(judges, template))

    assert found.verdict is Verdict.INDETERMINATE
    assert reason in found.reason


def test_a_detached_signature_is_valid(judges: Judges) -> None:
    (judges.folder / "content.txt").write_bytes(b"content")
    signed = made(judges, signature(reference("content.txt", "")))

    assert verify_file(signed).verdict is Verdict.INDETERMINATE
    assert verify_file(signed, original=b"content").ok
    assert verify_file(signed, original=b"another").problems == (
        "the original is another file, or was changed after the signature was made: its digest differs",
    )


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("10 &amp;", "11 &amp;", "the document"),
        ("<total>9999", "<total>9998", "the element Object (#O)"),
    ],
)
def test_the_changed_part_is_named(judges: Judges, old: str, new: str, part: str) -> None:
    signed = made(judges, invoice(signature(reference(), reference("#O", ""), more=OBJECT.format(' Id="O"')))).decode()

    found = verify_file(signed.replace(old, new).encode())

    assert f"{part} was changed after the signature was made: its digest differs" in found.problems


def test_manifests_are_verified(judges: Judges) -> None:
    signed = made(judges, HOLDS["manifest"]).decode()

    found = verify_file(signed.replace("10 &amp;", "11 &amp;").encode())

    assert "the document was changed after the signature was made: its digest differs" in found.problems


def test_wrapped_signatures_are_invalid(judges: Judges) -> None:
    signed = made(judges, invoice(signature(reference("#R")), ' Id="R"')).decode().partition("?>")[2].strip()
    fake = '<i:Invoice xmlns:i="urn:i"{}><i:Total>9999</i:Total><old>{}</old></i:Invoice>'

    assert verify_file(signed.encode()).ok
    assert verify_file(fake.format("", signed).encode()).verdict is Verdict.INVALID
    assert "2 elements have the ID" in verify_file(fake.format(' Id="R"', signed).encode()).reason
    start, rest = signed.split("<ds:Signature ", 1)
    value, _, end = rest.partition("</ds:Signature>")
    inner = start + end
    assert "Id=" in inner
    kept = f"<ds:Signature {value}<ds:Object>{inner}</ds:Object></ds:Signature>"
    moved = f'<i:Invoice xmlns:i="urn:i"><i:Total>9999</i:Total>{kept}</i:Invoice>'
    assert not verify_file(moved.encode()).ok


@pytest.mark.parametrize("name", ["xpath", "xpath 2", "root Id", "enveloping", f"transform {EXCLUSIVE}"])
def test_ten_kinds_of_changes_are_found(judges: Judges, name: str) -> None:
    signed = made(judges, HOLDS[name])
    certificate = signed.index(b"<ds:X509Data>"), signed.index(b"</ds:X509Data>")
    for place in range(60, len(signed), len(signed) // 14):
        if not certificate[0] <= place < certificate[1]:
            broken = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
            assert_agrees(verify_file(broken), accepted=judges.xmlsec_accepts(broken, IDS))


@pytest.mark.parametrize(
    "expression", ["contains(string(/), 'total')", "not(ancestor::* = 'total')", "not( string (/))"]
)
def test_an_xpath_may_take_little_text(judges: Judges, expression: str) -> None:
    signed = made(judges, invoice(signature(reference(transforms=xpath(expression)))))
    large = signed.replace(b"</i:Total>", b"</i:Total>" + b"<x:y>some text in an element</x:y>" * 20000)

    assert "too much work" not in verify_file(signed).reason
    assert "its XPath takes too much work for this document" in verify_file(large).reason

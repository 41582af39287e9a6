"""Signature options reach the service as given, and impossible ones raise at once."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from signstash import Document, InvalidDocumentError, Preservation, ServiceError, SignStash, VisibleSignature
from signstash.models import (
    AdvancedSignatureInfo,
    CanonicalTransform,
    ContentType,
    DeliveryInfo,
    Person,
    PreservationInfo,
    SignatureInfo,
    SignatureTransform,
    SignatureType,
    VisibleImageType,
    VisibleSignatureInfo,
    VisibleSignatureLocationType,
    VisibleSignatureTemplateType,
)
from signstash.options import SignatureOptions
from tests.conftest import PDF, MockedService

PNG, JPG = b"\x89PNG\r\n\x1a\n-picture", b"\xff\xd8\xff\xe0-picture"
FIELD = VisibleSignatureLocationType.SIGN_FIELD


def pdf(**options: Any) -> Document:
    return Document.pdf(PDF, **{"name": "a.pdf"} | options)


def xml(**options: Any) -> Document:
    return Document.xml(b"<a/>", **{"name": "a.xml"} | options)


def binary(**options: Any) -> Document:
    return Document.binary(b"a", **{"name": "a.bin"} | options)


def model(signature_type: str, **fields: Any) -> SignatureInfo:
    """A signature as the generated model."""
    return SignatureInfo(signature_type=SignatureType(signature_type), **fields)


def field(**fields: Any) -> VisibleSignatureInfo:
    """A visible signature as the generated model."""
    return VisibleSignatureInfo(**{"location_type": FIELD, "location_value": "Signature1"} | fields)


async def sent_signature(client: SignStash, service: MockedService, document: Document) -> dict[str, Any]:
    """The `signatureInfo` of a document as it is sent."""
    await client.sign(document)
    (fields,) = service.sent()["documents"]
    signature: dict[str, Any] = fields["signatureInfo"]
    return signature


class TestKinds:
    @pytest.mark.parametrize(
        ("document", "content_type", "signature_type"),
        [
            (pdf(), "application/pdf", "PAdES"),
            (xml(), "application/xml", "XAdES"),
            (binary(), "application/octet-stream", "CAdES"),
            (pdf(signature_type="CAdES"), "application/pdf", "CAdES"),
            (xml(signature_type=SignatureType.CADES), "application/xml", "CAdES"),
            (xml(content_type="text/xml"), "text/xml", "XAdES"),
            (Document.binary(PDF, name="a", content_type=ContentType.APPLICATIONPDF), "application/pdf", "CAdES"),
        ],
    )
    async def test_content_and_signature_type_of_a_document_are_sent(
        self, client: SignStash, service: MockedService, document: Document, content_type: str, signature_type: str
    ) -> None:
        signed = await client.sign(document)

        (fields,) = service.sent()["documents"]
        assert fields.keys() == {"documentRequest", "signatureInfo"}
        assert fields["signatureInfo"] == {"signatureType": signature_type, "applyTimestamp": False}
        assert fields["documentRequest"] | {"base64Content": "..."} == {
            "externalReference": signed.external_reference,
            "name": document.name,
            "contentType": content_type,
            "base64Content": "...",
        }

    async def test_a_content_type_that_is_not_published_is_sent(
        self, client: SignStash, service: MockedService
    ) -> None:
        service.sign.respond(503)

        with pytest.raises(ServiceError):
            await client.sign(binary(content_type="application/zip"))

        (fields,) = service.sent()["documents"]
        assert fields["documentRequest"]["contentType"] == "application/zip"

    @pytest.mark.parametrize("option", ["nmae", "visible", "applyTimestamp", "contents", "preservation"])
    @pytest.mark.parametrize("make", [pdf, xml, binary])
    def test_an_unknown_option_raises(self, make: Callable[..., Document], option: str) -> None:
        with pytest.raises(TypeError, match=option):
            make(**{option: "x"})


class TestSignature:
    async def test_every_option_of_a_pdf_is_sent(self, client: SignStash, service: MockedService) -> None:
        visible = VisibleSignature(
            page=2, x=70, y=0, size=(155, 50), text="Assinado por $certificate.getCommonName()", image=PNG,
            background="#FfF000", font_size=11,
        )  # fmt: skip

        document = pdf(reason="Aprovação", location="Évora", timestamp=True, visible_signature=visible)

        assert await sent_signature(client, service, document) == {
            "signatureType": "PAdES",
            "reason": "Aprovação",
            "location": "Évora",
            "applyTimestamp": True,
            "visibleSignatureInfo": {
                "locationType": "COORDINATE",
                "locationValue": "page=2,x=70,y=0",
                "area": "width=155,height=50",
                "templateType": "ONE_OFF",
                "oneOffTemplate": "Assinado por $certificate.getCommonName()",
                "areaBackgroundColor": "#FfF000",
                "font": "color=#000000,size=11",
                "imageType": "IMAGE_PNG",
                "imageValue": base64.b64encode(PNG).decode(),
            },
        }

    @pytest.mark.parametrize("transform", ["XPATH2_FILTER", SignatureTransform.XPATH2_FILTER])
    async def test_every_option_of_an_xml_is_sent(
        self, client: SignStash, service: MockedService, transform: SignatureTransform | str
    ) -> None:
        document = xml(
            reason="r", location="l", timestamp=False, signature_location="SignatureInformation",
            signature_transform=transform, canonical_transform="EXCLUSIVE_WITH_COMMENTS",
        )  # fmt: skip

        assert await sent_signature(client, service, document) == {
            "signatureType": "XAdES",
            "reason": "r",
            "location": "l",
            "applyTimestamp": False,
            "advancedSignatureInfo": {
                "signatureLocation": "SignatureInformation",
                "signatureTransform": "XPATH2_FILTER",
                "canonicalTransform": "EXCLUSIVE_WITH_COMMENTS",
            },
        }

    @pytest.mark.parametrize(
        ("option", "name"),
        [
            ({"signature_location": "x"}, "signatureLocation"),
            ({"signature_transform": "x"}, "signatureTransform"),
            ({"canonical_transform": "x"}, "canonicalTransform"),
        ],
    )
    async def test_each_advanced_option_is_sent(
        self, client: SignStash, service: MockedService, option: dict[str, Any], name: str
    ) -> None:
        values = {"signatureTransform": "ENVELOPED", "canonicalTransform": "EXCLUSIVE"}
        value = values.get(name, "x")

        document = xml(**dict.fromkeys(option, value))

        assert (await sent_signature(client, service, document))["advancedSignatureInfo"] == {name: value}

    async def test_an_option_of_none_is_left_out(self, client: SignStash, service: MockedService) -> None:
        options = SignatureOptions.__annotations__.keys() - {"name", "timestamp"}

        document = pdf(**dict.fromkeys(options), timestamp=False)

        assert await sent_signature(client, service, document) == {"signatureType": "PAdES", "applyTimestamp": False}

    async def test_a_generated_signature_model_is_sent_unchanged(
        self, client: SignStash, service: MockedService
    ) -> None:
        advanced = AdvancedSignatureInfo(canonical_transform=CanonicalTransform.EXCLUSIVE)
        given = model("XAdES", reason="r", advanced_signature_info=advanced)
        document = xml(signature=given)
        given.reason, advanced.canonical_transform = "for the next", CanonicalTransform.EXCLUSIVE_WITH_COMMENTS

        assert await sent_signature(client, service, document) == {
            "signatureType": "XAdES",
            "reason": "r",
            "applyTimestamp": False,
            "advancedSignatureInfo": {"canonicalTransform": "EXCLUSIVE"},
        }


class TestVisibleSignature:
    @pytest.mark.parametrize(
        ("place", "kind", "value"),
        [
            ({"x": 70, "y": 100}, "COORDINATE", "page=1,x=70,y=100"),
            ({"x": 0, "y": 0, "page": 12}, "COORDINATE", "page=12,x=0,y=0"),
            ({"field": "Assinatura 1"}, "SIGN_FIELD", "Assinatura 1"),
            ({"placeholder": "SIGN-HERE"}, "PLACEHOLDER", "SIGN-HERE"),
        ],
    )
    async def test_the_place_of_a_visible_signature_is_sent(
        self, client: SignStash, service: MockedService, place: Any, kind: str, value: str
    ) -> None:
        signature = await sent_signature(client, service, pdf(visible_signature=VisibleSignature(**place)))

        assert signature["visibleSignatureInfo"] == {"locationType": kind, "locationValue": value}

    @pytest.mark.parametrize(
        "place",
        [
            {}, {"x": 1}, {"y": 1}, {"page": 1}, {"x": 1, "page": 1}, {"x": 1, "y": 1, "field": "f"},
            {"field": "f", "placeholder": "p"}, {"page": 1, "placeholder": "p"}, {"size": (1, 1)},
        ],
    )  # fmt: skip
    def test_a_visible_signature_needs_one_place(self, place: dict[str, Any]) -> None:
        with pytest.raises(InvalidDocumentError, match="position of the visible signature"):
            VisibleSignature(**place)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"page": 0}, "place"),
            ({"page": -1}, "place"),
            ({"x": -1}, "place"),
            ({"y": -1}, "place"),
            ({"x": 1.5}, "place"),
            ({"x": True}, "place"),
            ({"size": (0, 50)}, "area"),
            ({"size": (155, 0)}, "area"),
            ({"size": (-155, 50)}, "area"),
            ({"size": (155.5, 50)}, "area"),
            ({"size": (155,)}, "area|size"),
            ({"size": 155}, "area|size"),
            ({"font_size": 0}, "font"),
            ({"font_size": -11}, "font"),
            ({"background": "red"}, "background"),
            ({"background": "#FFF"}, "background"),
            ({"background": 0}, "background"),
            ({"text": ""}, "template|text"),
            ({"text": 5}, "template|text"),
            ({"image": b""}, "image"),
            ({"image": b"GIF89a"}, "image"),
            ({"image": PNG[1:]}, "image"),
            ({"image": "stamp.png"}, "image"),
        ],
        ids=str,
    )
    def test_values_out_of_range_raise(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidDocumentError, match=f"a.pdf.*({named})"):
            pdf(visible_signature=VisibleSignature(**{"x": 1, "y": 1} | fields))

    @pytest.mark.parametrize("place", [{"field": ""}, {"field": " "}, {"placeholder": ""}, {"field": 5}])
    def test_an_empty_place_raises(self, place: dict[str, Any]) -> None:
        with pytest.raises(InvalidDocumentError, match="place"):
            pdf(visible_signature=VisibleSignature(**place))

    @pytest.mark.parametrize(("image", "kind"), [(PNG, "IMAGE_PNG"), (JPG, "IMAGE_JPG")])
    async def test_the_image_of_a_visible_signature_is_sent(
        self, client: SignStash, service: MockedService, image: bytes, kind: str
    ) -> None:
        document = pdf(visible_signature=VisibleSignature(field="f", image=image))

        visible = (await sent_signature(client, service, document))["visibleSignatureInfo"]
        assert (visible["imageType"], base64.b64decode(visible["imageValue"])) == (kind, image)

    async def test_a_generated_visible_signature_model_is_sent_unchanged(
        self, client: SignStash, service: MockedService
    ) -> None:
        template = VisibleSignatureTemplateType.SERVICE_CUSTOMIZATION
        given = field(template_type=template, area="width=1,height=1", area_background_color="transparent")
        document = pdf(reason="r", visible_signature=given)
        given.location_value = "Signature2"  # for the next document

        assert (await sent_signature(client, service, document))["visibleSignatureInfo"] == {
            "locationType": "SIGN_FIELD",
            "locationValue": "Signature1",
            "templateType": "SERVICE_CUSTOMIZATION",
            "area": "width=1,height=1",
            "areaBackgroundColor": "transparent",
        }


ONE_OFF = VisibleSignatureTemplateType.ONE_OFF
ADVANCED = AdvancedSignatureInfo(signature_location="e")
VISIBLE = VisibleSignature(field="f")


FONTS = ["color=#000000,size=11", "name=arial,color=#000000,size=11", "size=9,name=arial", "color=#000000"]


@pytest.mark.parametrize("font", FONTS)
async def test_fonts_of_the_generated_model_are_accepted(client: SignStash, service: MockedService, font: str) -> None:
    signature = await sent_signature(client, service, pdf(visible_signature=field(font=font)))

    assert signature["visibleSignatureInfo"]["font"] == font


class TestTexts:
    """One rule for every text: only control characters and lone surrogates raise."""

    @pytest.mark.parametrize("name", ["reason", "location", "name", "external_reference"])
    @pytest.mark.parametrize(
        ("text", "problem"),
        [("a\x07b", "contains control characters"), ("a\x9fb", "control"), ("a\udcffb", "not valid UTF-8 on disk")],
    )
    def test_control_characters_in_a_text_raise(self, name: Any, text: str, problem: str) -> None:
        options: Any = {"name": "a.pdf", name: text}
        with pytest.raises(InvalidDocumentError, match=f"{name} .*{problem}") as refused:
            Document.pdf(PDF, **options)
        assert str(refused.value).isprintable()

    @pytest.mark.parametrize("text", ["a\u00a0b", "a\u202fb", "co\u00adop", "\U0001f468\u200d\U0001f469"])
    def test_ordinary_texts_are_accepted(self, text: str) -> None:
        document = Document.pdf(PDF, name=text, reason=text, location=text, external_reference=text)

        assert (document.name, document.external_reference) == (text, text)
        assert (document.signature.reason, document.signature.location) == (text, text)


class TestImpossibleOptions:
    """Impossible options raise when the document is made, so nothing was sent."""

    @pytest.mark.parametrize(
        ("make", "options", "named"),
        [
            (xml, {"visible_signature": VISIBLE}, "visible_signature.*XAdES.*application/xml"),
            (binary, {"visible_signature": field()}, "visible_signature.*CAdES"),
            (pdf, {"visible_signature": VISIBLE, "signature_type": "CAdES"}, "visible_signature.*CAdES"),
            (pdf, {"signature_location": "e"}, "signature_location.*PAdES"),
            (pdf, {"signature_transform": "ENVELOPED"}, "signature_transform.*PAdES"),
            (binary, {"canonical_transform": "EXCLUSIVE"}, "canonical_transform.*CAdES"),
            (xml, {"canonical_transform": "EXCLUSIVE", "signature_type": "CAdES"}, "canonical_transform.*CAdES"),
            (pdf, {"signature_type": "XAdES"}, "XAdES does not fit application/pdf"),
            (xml, {"signature_type": "PAdES"}, "PAdES does not fit application/xml"),
            (binary, {"signature_type": "PAdES"}, "PAdES does not fit application/octet-stream"),
            (binary, {"signature_type": "XAdES"}, "XAdES does not fit application/octet-stream"),
            (pdf, {"content_type": "application/xml"}, "PAdES does not fit application/xml"),
            (pdf, {"signature_type": "pades"}, "signature_type is 'pades'.*PAdES"),
            (xml, {"signature_transform": "NONE"}, "signature_transform is 'NONE'.*ENVELOPED"),
            (xml, {"canonical_transform": "x"}, "canonical_transform is 'x'.*EXCLUSIVE"),
            (pdf, {"content_type": "pdf"}, "content_type is 'pdf'"),
            (pdf, {"content_type": "application/pdf\r\nX: y"}, "content_type"),
            (pdf, {"visible_signature": field(template_type=ONE_OFF)}, "ONE_OFF.*no template"),
            (pdf, {"visible_signature": field(template_type=ONE_OFF, one_off_template="")}, "ONE_OFF.*no template"),
            (pdf, {"visible_signature": field(one_off_template="t")}, "template"),
            (pdf, {"visible_signature": field(image_value="aQ==")}, "image"),
            (pdf, {"visible_signature": field(image_type=VisibleImageType.IMAGE_PNG)}, "image"),
            (pdf, {"visible_signature": field(area="155x50")}, "area"),
            (pdf, {"visible_signature": field(area_background_color="white")}, "background"),
            (pdf, {"visible_signature": field(location_value="")}, "place"),
            (pdf, {"signature": model("PAdES"), "reason": "r"}, "signature.*reason"),
            (pdf, {"signature": model("PAdES"), "timestamp": False}, "signature.*timestamp"),
            (xml, {"signature": model("PAdES")}, "PAdES does not fit application/xml"),
            (pdf, {"signature": model("XAdES")}, "XAdES does not fit application/pdf"),
            (pdf, {"signature": model("pades")}, "signature_type"),
            (xml, {"signature": model("XAdES", visible_signature_info=field())}, "visible_signature"),
            (pdf, {"signature": model("PAdES", advanced_signature_info=ADVANCED)}, "signature_location"),
        ],
    )  # fmt: skip
    def test_impossible_combinations_raise(
        self, make: Callable[..., Document], options: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=f"(?s)^Document a.*{named}") as refused:
            make(**options)
        assert refused.value.document == make().name

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("reason", 5), ("reason", b"r"), ("location", ["Lisboa"]), ("timestamp", "yes"), ("timestamp", 1),
            ("visible_signature", {"x": 1, "y": 1}), ("visible_signature", "here"),
            ("signature", {"signatureType": "PAdES"}), ("content_type", 5), ("signature_type", 5),
        ],
    )  # fmt: skip
    def test_values_of_another_type_raise(self, option: str, value: Any) -> None:
        with pytest.raises(InvalidDocumentError, match=option):
            pdf(**{option: value})

    @pytest.mark.parametrize("option", ["signature_location", "signature_transform", "canonical_transform"])
    def test_advanced_values_of_another_type_raise(self, option: str) -> None:
        with pytest.raises(InvalidDocumentError, match=option):
            xml(**{option: 5})

    @pytest.mark.parametrize(
        "given",
        [
            SignatureInfo(signature_type="PAdES"),  # type: ignore[arg-type]
            model("PAdES", reason={1, 2}),
            model("PAdES", visible_signature_info={"area": 1}),
            model("PAdES", visible_signature_info=field(area={1, 2})),
        ],
        ids=["text for enum", "set for text", "dict for model", "set within"],
    )
    async def test_unserialisable_models_raise(
        self, client: SignStash, service: MockedService, given: SignatureInfo
    ) -> None:
        with pytest.raises(InvalidDocumentError):
            await client.sign(pdf(signature=given))
        assert service.sign.call_count == 0


class TestDescription:
    async def test_a_description_is_sent(self, client: SignStash, service: MockedService) -> None:
        await client.sign(pdf(), description="Fatura FT 2026/31: março")

        assert service.sent()["description"] == "Fatura FT 2026/31: março"

    @pytest.mark.parametrize("description", ["", " ", "a\nb", "a\0", 5, b"a"])
    async def test_an_invalid_description_raises(
        self, client: SignStash, service: MockedService, description: Any
    ) -> None:
        with pytest.raises(InvalidDocumentError, match="description"):
            await client.sign(pdf(), description=description)
        assert len(service.router.calls) == 0


MAILS = DeliveryInfo(person_receiver=[Person(email="a@x.test")])


class TestPreservation:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (Preservation(), {"preserveContent": True}),
            (Preservation(preserve=False, alias="kept.pdf"), {"preserveContent": False, "alias": "kept.pdf"}),
            (
                Preservation(deliver_to=("a@x.test", "b@x.test"), attach_documents=True),
                {
                    "preserveContent": True,
                    "deliveryInfo": {
                        "personReceiver": [{"email": "a@x.test"}, {"email": "b@x.test"}],
                        "attachDocuments": True,
                    },
                },
            ),
            (
                PreservationInfo(preserve_content=True, delivery_info=MAILS),
                {
                    "preserveContent": True,
                    "deliveryInfo": {"personReceiver": [{"email": "a@x.test"}], "attachDocuments": False},
                },
            ),
        ],
    )
    async def test_preservation_is_sent(
        self, client: SignStash, service: MockedService, given: Any, expected: dict[str, Any]
    ) -> None:
        await client.sign(pdf(), preservation=given)

        assert service.sent()["preservationInfo"] == expected

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"deliver_to": ["nobody"]}, "deliver_to.*nobody"),
            ({"deliver_to": ["a@x.test", "a b@x.test"]}, "deliver_to.*a b@x"),
            ({"deliver_to": ["a@b@x.test"]}, "deliver_to"),
            ({"deliver_to": ["a@x.test\n"]}, "deliver_to"),
            ({"deliver_to": [""]}, "deliver_to"),
            ({"deliver_to": [5]}, "deliver_to.*5"),
            ({"deliver_to": "a@x.test"}, "deliver_to is not a list"),
            ({"deliver_to": 3}, "deliver_to is not a list"),
            ({"attach_documents": True}, "attach_documents.*deliver_to"),
        ],
    )
    async def test_an_impossible_preservation_raises(
        self, client: SignStash, service: MockedService, fields: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=named):
            await client.sign(pdf(), preservation=Preservation(**fields))
        assert len(service.router.calls) == 0

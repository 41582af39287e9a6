from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.signature_type import SignatureType
from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="SignatureInfo")


@_attrs_define
class SignatureInfo:
    """The signature that a document is to get."""

    signature_type: SignatureType
    """ Format of a signature: PAdES for PDF, XAdES for XML, CAdES for anything else. """
    visible_signature_info: VisibleSignatureInfo | Unset = UNSET
    """ How a signature is drawn on the page. PDF documents only. """
    reason: str | Unset = UNSET
    """ Why the document is signed, as recorded in the signature. """
    location: str | Unset = UNSET
    """ Where the document is signed, as recorded in the signature. """
    apply_timestamp: bool | Unset = False
    """ Whether a qualified timestamp is added. Archiving needs it, invoices do not; it is a premium feature. """
    advanced_signature_info: AdvancedSignatureInfo | Unset = UNSET
    """ Advanced options of an XML signature (XAdES). Leave it out when the document is a PDF. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        signature_type = self.signature_type.value

        visible_signature_info: dict[str, Any] | Unset = UNSET
        if not isinstance(self.visible_signature_info, Unset):
            visible_signature_info = self.visible_signature_info.to_dict()

        reason = self.reason

        location = self.location

        apply_timestamp = self.apply_timestamp

        advanced_signature_info: dict[str, Any] | Unset = UNSET
        if not isinstance(self.advanced_signature_info, Unset):
            advanced_signature_info = self.advanced_signature_info.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "signatureType": signature_type,
            }
        )
        if visible_signature_info is not UNSET:
            field_dict["visibleSignatureInfo"] = visible_signature_info
        if reason is not UNSET:
            field_dict["reason"] = reason
        if location is not UNSET:
            field_dict["location"] = location
        if apply_timestamp is not UNSET:
            field_dict["applyTimestamp"] = apply_timestamp
        if advanced_signature_info is not UNSET:
            field_dict["advancedSignatureInfo"] = advanced_signature_info

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "signatureType",
                "visibleSignatureInfo",
                "reason",
                "location",
                "applyTimestamp",
                "advancedSignatureInfo",
            },
        )
        signature_type = SignatureType(d.pop("signatureType"))

        _visible_signature_info = d.pop("visibleSignatureInfo", UNSET)
        visible_signature_info: VisibleSignatureInfo | Unset
        if isinstance(_visible_signature_info, Unset):
            visible_signature_info = UNSET
        else:
            visible_signature_info = VisibleSignatureInfo.from_dict(_visible_signature_info)

        reason = d.pop("reason", UNSET)

        location = d.pop("location", UNSET)

        apply_timestamp = d.pop("applyTimestamp", UNSET)

        _advanced_signature_info = d.pop("advancedSignatureInfo", UNSET)
        advanced_signature_info: AdvancedSignatureInfo | Unset
        if isinstance(_advanced_signature_info, Unset):
            advanced_signature_info = UNSET
        else:
            advanced_signature_info = AdvancedSignatureInfo.from_dict(_advanced_signature_info)

        signature_info = cls(
            signature_type=signature_type,
            visible_signature_info=visible_signature_info,
            reason=reason,
            location=location,
            apply_timestamp=apply_timestamp,
            advanced_signature_info=advanced_signature_info,
        )

        signature_info.additional_properties = d
        return signature_info

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties


from ..models.advanced_signature_info import AdvancedSignatureInfo
from ..models.visible_signature_info import VisibleSignatureInfo

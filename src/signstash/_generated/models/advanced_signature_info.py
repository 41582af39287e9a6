from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.canonical_transform import CanonicalTransform
from ..models.signature_transform import SignatureTransform
from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="AdvancedSignatureInfo")


@_attrs_define
class AdvancedSignatureInfo:
    """Advanced options of an XML signature (XAdES). Leave it out when the document is a PDF."""

    signature_location: str | Unset = UNSET
    """ Name of the XML element that is to hold the signature. """
    signature_transform: SignatureTransform | Unset = UNSET
    """ XML transform applied to what is signed. """
    canonical_transform: CanonicalTransform | Unset = UNSET
    """ XML canonicalisation applied to what is signed: exclusive, without or with comments. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        signature_location = self.signature_location

        signature_transform: str | Unset = UNSET
        if not isinstance(self.signature_transform, Unset):
            signature_transform = self.signature_transform.value

        canonical_transform: str | Unset = UNSET
        if not isinstance(self.canonical_transform, Unset):
            canonical_transform = self.canonical_transform.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if signature_location is not UNSET:
            field_dict["signatureLocation"] = signature_location
        if signature_transform is not UNSET:
            field_dict["signatureTransform"] = signature_transform
        if canonical_transform is not UNSET:
            field_dict["canonicalTransform"] = canonical_transform

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict, {"signatureLocation", "signatureTransform", "canonicalTransform"}
        )
        signature_location = d.pop("signatureLocation", UNSET)

        _signature_transform = d.pop("signatureTransform", UNSET)
        signature_transform: SignatureTransform | Unset
        if isinstance(_signature_transform, Unset):
            signature_transform = UNSET
        else:
            signature_transform = SignatureTransform(_signature_transform)

        _canonical_transform = d.pop("canonicalTransform", UNSET)
        canonical_transform: CanonicalTransform | Unset
        if isinstance(_canonical_transform, Unset):
            canonical_transform = UNSET
        else:
            canonical_transform = CanonicalTransform(_canonical_transform)

        advanced_signature_info = cls(
            signature_location=signature_location,
            signature_transform=signature_transform,
            canonical_transform=canonical_transform,
        )

        advanced_signature_info.additional_properties = d
        return advanced_signature_info

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

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.visible_image_type import VisibleImageType
from ..models.visible_signature_location_type import VisibleSignatureLocationType
from ..models.visible_signature_template_type import VisibleSignatureTemplateType
from ..types import UNSET, Unset, show_without_contents, without_null

T = TypeVar("T", bound="VisibleSignatureInfo")


@_attrs_define
class VisibleSignatureInfo:
    """How a signature is drawn on the page. PDF documents only."""

    location_value: str
    """ The place: the field's name; page, x and y in pixels from the lower left corner; or a word that occurs once
    (its first occurrence is taken, and none at all is an error). """
    location_type: VisibleSignatureLocationType
    """ How the place of a visible signature is given: field, coordinates, or word. """
    one_off_template: str | Unset = UNSET
    """ The text, as a Velocity template that can name the certificate's fields. Needed with ONE_OFF. """
    area: str | Unset = UNSET
    """ Width and height of the signature, in pixels. """
    area_background_color: str | Unset = UNSET
    """ Background of the area: #RRGGBB, or transparent. """
    font: str | Unset = UNSET
    """ Colour and size of the text. Only black is supported. """
    image_type: VisibleImageType | Unset = UNSET
    """ Format of the picture in a visible signature. """
    image_value: str | Unset = UNSET
    """ The picture in base64. """
    template_type: VisibleSignatureTemplateType | Unset = UNSET
    """ Where the text of a visible signature comes from: this request, or the client service. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        location_value = self.location_value

        location_type = self.location_type.value

        one_off_template = self.one_off_template

        area = self.area

        area_background_color = self.area_background_color

        font = self.font

        image_type: str | Unset = UNSET
        if not isinstance(self.image_type, Unset):
            image_type = self.image_type.value

        image_value = self.image_value

        template_type: str | Unset = UNSET
        if not isinstance(self.template_type, Unset):
            template_type = self.template_type.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "locationValue": location_value,
                "locationType": location_type,
            }
        )
        if one_off_template is not UNSET:
            field_dict["oneOffTemplate"] = one_off_template
        if area is not UNSET:
            field_dict["area"] = area
        if area_background_color is not UNSET:
            field_dict["areaBackgroundColor"] = area_background_color
        if font is not UNSET:
            field_dict["font"] = font
        if image_type is not UNSET:
            field_dict["imageType"] = image_type
        if image_value is not UNSET:
            field_dict["imageValue"] = image_value
        if template_type is not UNSET:
            field_dict["templateType"] = template_type

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "locationValue",
                "locationType",
                "oneOffTemplate",
                "area",
                "areaBackgroundColor",
                "font",
                "imageType",
                "imageValue",
                "templateType",
            },
        )
        location_value = d.pop("locationValue")

        location_type = VisibleSignatureLocationType(d.pop("locationType"))

        one_off_template = d.pop("oneOffTemplate", UNSET)

        area = d.pop("area", UNSET)

        area_background_color = d.pop("areaBackgroundColor", UNSET)

        font = d.pop("font", UNSET)

        _image_type = d.pop("imageType", UNSET)
        image_type: VisibleImageType | Unset
        if isinstance(_image_type, Unset):
            image_type = UNSET
        else:
            image_type = VisibleImageType(_image_type)

        image_value = d.pop("imageValue", UNSET)

        _template_type = d.pop("templateType", UNSET)
        template_type: VisibleSignatureTemplateType | Unset
        if isinstance(_template_type, Unset):
            template_type = UNSET
        else:
            template_type = VisibleSignatureTemplateType(_template_type)

        visible_signature_info = cls(
            location_value=location_value,
            location_type=location_type,
            one_off_template=one_off_template,
            area=area,
            area_background_color=area_background_color,
            font=font,
            image_type=image_type,
            image_value=image_value,
            template_type=template_type,
        )

        visible_signature_info.additional_properties = d
        return visible_signature_info

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

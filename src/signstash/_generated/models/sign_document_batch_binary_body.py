from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from .. import types
from ..types import (
    File,
    show_without_contents,
    without_null,
)

T = TypeVar("T", bound="SignDocumentBatchBinaryBody")


@_attrs_define
class SignDocumentBatchBinaryBody:
    files: list[File]
    """ Contents of the documents, one part each. """
    sign_request: SignRequestDocument
    """ A request to sign one or more documents whose contents are sent as multipart files. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_tuple()

            files.append(files_item)

        sign_request = self.sign_request.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "files": files,
                "signRequest": sign_request,
            }
        )

        return field_dict

    def to_multipart(self) -> types.RequestFiles:
        files: types.RequestFiles = []

        for files_item_element in self.files:
            files.append(("files", files_item_element.to_tuple()))

        files.append(
            (
                "signRequest",
                (None, json.dumps(self.sign_request.to_dict()).encode(), "application/json"),
            )
        )

        for prop_name, prop in self.additional_properties.items():
            files.append((prop_name, (None, str(prop).encode(), "text/plain")))

        return files

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(src_dict, {"files", "signRequest"})
        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = File(payload=BytesIO(files_item_data))

            files.append(files_item)

        sign_request = SignRequestDocument.from_dict(d.pop("signRequest"))

        sign_document_batch_binary_body = cls(
            files=files,
            sign_request=sign_request,
        )

        sign_document_batch_binary_body.additional_properties = d
        return sign_document_batch_binary_body

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


from ..models.sign_request_document import SignRequestDocument

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.company_status import CompanyStatus
from ..types import UNSET, Unset, parse_datetime, show_without_contents, without_null

T = TypeVar("T", bound="Company")


@_attrs_define
class Company:
    """The issuer: the company on whose behalf the client service signs."""

    name: str | Unset = UNSET
    """ Name of the company. """
    vat_number: str | Unset = UNSET
    """ Tax number of the company. """
    country_code: str | Unset = UNSET
    """ Country of the company, as a three-letter ISO 3166-1 code. """
    i_18_n_code: str | Unset = UNSET
    """ Language and region in which the company is written to. """
    invoice_address: str | Unset = UNSET
    """ Postal address for the service's invoices. """
    additional_info: str | Unset = UNSET
    """ Notes about the company. """
    status: CompanyStatus | Unset = UNSET
    """ State of the issuer's account. Only an active issuer can sign. """
    email: str | Unset = UNSET
    """ E-mail address of the company. """
    creation_date: datetime.datetime | Unset = UNSET
    """ When the account was created. """
    audit_logs_active: bool | Unset = UNSET
    """ Whether audit logs are kept for the account. """
    limit_period_start_date: datetime.datetime | Unset = UNSET
    """ Start of the period for which the limit of signatures holds. """
    limit_period_end_date: datetime.datetime | Unset = UNSET
    """ End of the period for which the limit of signatures holds. """
    limit_usage_count: int | Unset = UNSET
    """ How many signatures the limit allows in the period. """
    limit_current_consumption: int | Unset = UNSET
    """ How many signatures of the limit are used up. """
    limit_current_consumption_last_modified_date: datetime.datetime | Unset = UNSET
    """ When the consumption was last counted. """
    notify_expired_limit: bool | Unset = UNSET
    """ Whether the company is told when its limit is used up. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    __repr__ = show_without_contents

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        vat_number = self.vat_number

        country_code = self.country_code

        i_18_n_code = self.i_18_n_code

        invoice_address = self.invoice_address

        additional_info = self.additional_info

        status: str | Unset = UNSET
        if not isinstance(self.status, Unset):
            status = self.status.value

        email = self.email

        creation_date: str | Unset = UNSET
        if not isinstance(self.creation_date, Unset):
            creation_date = self.creation_date.isoformat()

        audit_logs_active = self.audit_logs_active

        limit_period_start_date: str | Unset = UNSET
        if not isinstance(self.limit_period_start_date, Unset):
            limit_period_start_date = self.limit_period_start_date.isoformat()

        limit_period_end_date: str | Unset = UNSET
        if not isinstance(self.limit_period_end_date, Unset):
            limit_period_end_date = self.limit_period_end_date.isoformat()

        limit_usage_count = self.limit_usage_count

        limit_current_consumption = self.limit_current_consumption

        limit_current_consumption_last_modified_date: str | Unset = UNSET
        if not isinstance(self.limit_current_consumption_last_modified_date, Unset):
            limit_current_consumption_last_modified_date = (
                self.limit_current_consumption_last_modified_date.isoformat()
            )

        notify_expired_limit = self.notify_expired_limit

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if vat_number is not UNSET:
            field_dict["vatNumber"] = vat_number
        if country_code is not UNSET:
            field_dict["countryCode"] = country_code
        if i_18_n_code is not UNSET:
            field_dict["i18nCode"] = i_18_n_code
        if invoice_address is not UNSET:
            field_dict["invoiceAddress"] = invoice_address
        if additional_info is not UNSET:
            field_dict["additionalInfo"] = additional_info
        if status is not UNSET:
            field_dict["status"] = status
        if email is not UNSET:
            field_dict["email"] = email
        if creation_date is not UNSET:
            field_dict["creationDate"] = creation_date
        if audit_logs_active is not UNSET:
            field_dict["auditLogsActive"] = audit_logs_active
        if limit_period_start_date is not UNSET:
            field_dict["limitPeriodStartDate"] = limit_period_start_date
        if limit_period_end_date is not UNSET:
            field_dict["limitPeriodEndDate"] = limit_period_end_date
        if limit_usage_count is not UNSET:
            field_dict["limitUsageCount"] = limit_usage_count
        if limit_current_consumption is not UNSET:
            field_dict["limitCurrentConsumption"] = limit_current_consumption
        if limit_current_consumption_last_modified_date is not UNSET:
            field_dict["limitCurrentConsumptionLastModifiedDate"] = (
                limit_current_consumption_last_modified_date
            )
        if notify_expired_limit is not UNSET:
            field_dict["notifyExpiredLimit"] = notify_expired_limit

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = without_null(
            src_dict,
            {
                "name",
                "vatNumber",
                "countryCode",
                "i18nCode",
                "invoiceAddress",
                "additionalInfo",
                "status",
                "email",
                "creationDate",
                "auditLogsActive",
                "limitPeriodStartDate",
                "limitPeriodEndDate",
                "limitUsageCount",
                "limitCurrentConsumption",
                "limitCurrentConsumptionLastModifiedDate",
                "notifyExpiredLimit",
            },
        )
        name = d.pop("name", UNSET)

        vat_number = d.pop("vatNumber", UNSET)

        country_code = d.pop("countryCode", UNSET)

        i_18_n_code = d.pop("i18nCode", UNSET)

        invoice_address = d.pop("invoiceAddress", UNSET)

        additional_info = d.pop("additionalInfo", UNSET)

        _status = d.pop("status", UNSET)
        status: CompanyStatus | Unset
        if isinstance(_status, Unset):
            status = UNSET
        else:
            status = CompanyStatus(_status)

        email = d.pop("email", UNSET)

        _creation_date = d.pop("creationDate", UNSET)
        creation_date: datetime.datetime | Unset
        if isinstance(_creation_date, Unset):
            creation_date = UNSET
        else:
            creation_date = parse_datetime(_creation_date)

        audit_logs_active = d.pop("auditLogsActive", UNSET)

        _limit_period_start_date = d.pop("limitPeriodStartDate", UNSET)
        limit_period_start_date: datetime.datetime | Unset
        if isinstance(_limit_period_start_date, Unset):
            limit_period_start_date = UNSET
        else:
            limit_period_start_date = parse_datetime(_limit_period_start_date)

        _limit_period_end_date = d.pop("limitPeriodEndDate", UNSET)
        limit_period_end_date: datetime.datetime | Unset
        if isinstance(_limit_period_end_date, Unset):
            limit_period_end_date = UNSET
        else:
            limit_period_end_date = parse_datetime(_limit_period_end_date)

        limit_usage_count = d.pop("limitUsageCount", UNSET)

        limit_current_consumption = d.pop("limitCurrentConsumption", UNSET)

        _limit_current_consumption_last_modified_date = d.pop(
            "limitCurrentConsumptionLastModifiedDate", UNSET
        )
        limit_current_consumption_last_modified_date: datetime.datetime | Unset
        if isinstance(_limit_current_consumption_last_modified_date, Unset):
            limit_current_consumption_last_modified_date = UNSET
        else:
            limit_current_consumption_last_modified_date = parse_datetime(
                _limit_current_consumption_last_modified_date
            )

        notify_expired_limit = d.pop("notifyExpiredLimit", UNSET)

        company = cls(
            name=name,
            vat_number=vat_number,
            country_code=country_code,
            i_18_n_code=i_18_n_code,
            invoice_address=invoice_address,
            additional_info=additional_info,
            status=status,
            email=email,
            creation_date=creation_date,
            audit_logs_active=audit_logs_active,
            limit_period_start_date=limit_period_start_date,
            limit_period_end_date=limit_period_end_date,
            limit_usage_count=limit_usage_count,
            limit_current_consumption=limit_current_consumption,
            limit_current_consumption_last_modified_date=limit_current_consumption_last_modified_date,
            notify_expired_limit=notify_expired_limit,
        )

        company.additional_properties = d
        return company

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

from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...types import Response, path_segment, read_answer


def _get_kwargs(
    operation_id: int,
    attach_documents: bool,
    *,
    body: list[str],
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": f"/api/v0/delivery/mail/resend/{path_segment(operation_id)}/{path_segment(attach_documents)}",
    }

    _kwargs["json"] = body

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any:
    if response.status_code == 200:
        return None

    raise errors.UnexpectedStatus(response.status_code, response.content)


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Any]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=read_answer(_parse_response, client=client, response=response),
    )


def sync_detailed(
    operation_id: int,
    attach_documents: bool,
    *,
    client: AuthenticatedClient | Client,
    body: list[str],
) -> Response[Any]:
    """Send the delivery e-mails again

     Sends the e-mails of an operation again, to the addresses given. Integration Service only.

    Args:
        operation_id (int):
        attach_documents (bool):
        body (list[str]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
        attach_documents=attach_documents,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    operation_id: int,
    attach_documents: bool,
    *,
    client: AuthenticatedClient | Client,
    body: list[str],
) -> Any:
    """Send the delivery e-mails again

     Sends the e-mails of an operation again, to the addresses given. Integration Service only.

    Args:
        operation_id (int):
        attach_documents (bool):
        body (list[str]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any
    """

    return sync_detailed(
        operation_id=operation_id,
        attach_documents=attach_documents,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    operation_id: int,
    attach_documents: bool,
    *,
    client: AuthenticatedClient | Client,
    body: list[str],
) -> Response[Any]:
    """Send the delivery e-mails again

     Sends the e-mails of an operation again, to the addresses given. Integration Service only.

    Args:
        operation_id (int):
        attach_documents (bool):
        body (list[str]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
        attach_documents=attach_documents,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    operation_id: int,
    attach_documents: bool,
    *,
    client: AuthenticatedClient | Client,
    body: list[str],
) -> Any:
    """Send the delivery e-mails again

     Sends the e-mails of an operation again, to the addresses given. Integration Service only.

    Args:
        operation_id (int):
        attach_documents (bool):
        body (list[str]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any
    """

    return (
        await asyncio_detailed(
            operation_id=operation_id,
            attach_documents=attach_documents,
            client=client,
            body=body,
        )
    ).parsed

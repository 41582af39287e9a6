from io import BytesIO
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...types import File, Response, path_segment, read_answer


def _get_kwargs(
    operation_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": f"/api/v0/operation/sign/detail/{path_segment(operation_id)}/documents",
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> File:
    if response.status_code == 200:
        response_200 = File(payload=BytesIO(response.content))

        return response_200

    raise errors.UnexpectedStatus(response.status_code, response.content)


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[File]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=read_answer(_parse_response, client=client, response=response),
    )


def sync_detailed(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[File]:
    """Signed documents of an operation, as a ZIP

     Answers the signed documents of an operation in one ZIP archive, each entry named by the document's
    external reference, a dot, and the document's name. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[File]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> File:
    """Signed documents of an operation, as a ZIP

     Answers the signed documents of an operation in one ZIP archive, each entry named by the document's
    external reference, a dot, and the document's name. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        File
    """

    return sync_detailed(
        operation_id=operation_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[File]:
    """Signed documents of an operation, as a ZIP

     Answers the signed documents of an operation in one ZIP archive, each entry named by the document's
    external reference, a dot, and the document's name. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[File]
    """

    kwargs = _get_kwargs(
        operation_id=operation_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    operation_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> File:
    """Signed documents of an operation, as a ZIP

     Answers the signed documents of an operation in one ZIP archive, each entry named by the document's
    external reference, a dot, and the document's name. Integration Service only.

    Args:
        operation_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        File
    """

    return (
        await asyncio_detailed(
            operation_id=operation_id,
            client=client,
        )
    ).parsed

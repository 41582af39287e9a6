from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...types import Response, path_segment, read_answer


def _get_kwargs(
    external_reference: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": f"/api/v0/operation/id/withDocumentExternalReference/{path_segment(external_reference)}",
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> int:
    if response.status_code == 200:
        response_200 = cast(int, response.json())
        return response_200

    raise errors.UnexpectedStatus(response.status_code, response.content)


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[int]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parsed=read_answer(_parse_response, client=client, response=response),
    )


def sync_detailed(
    external_reference: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[int]:
    """Find the operation of a document

     Answers the number of the operation that holds the document with this external reference. The
    Integration Service alone knows it: a proxy keeps nothing.

    Args:
        external_reference (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[int]
    """

    kwargs = _get_kwargs(
        external_reference=external_reference,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    external_reference: str,
    *,
    client: AuthenticatedClient | Client,
) -> int:
    """Find the operation of a document

     Answers the number of the operation that holds the document with this external reference. The
    Integration Service alone knows it: a proxy keeps nothing.

    Args:
        external_reference (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        int
    """

    return sync_detailed(
        external_reference=external_reference,
        client=client,
    ).parsed


async def asyncio_detailed(
    external_reference: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[int]:
    """Find the operation of a document

     Answers the number of the operation that holds the document with this external reference. The
    Integration Service alone knows it: a proxy keeps nothing.

    Args:
        external_reference (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[int]
    """

    kwargs = _get_kwargs(
        external_reference=external_reference,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    external_reference: str,
    *,
    client: AuthenticatedClient | Client,
) -> int:
    """Find the operation of a document

     Answers the number of the operation that holds the document with this external reference. The
    Integration Service alone knows it: a proxy keeps nothing.

    Args:
        external_reference (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        int
    """

    return (
        await asyncio_detailed(
            external_reference=external_reference,
            client=client,
        )
    ).parsed

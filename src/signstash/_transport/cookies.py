"""Looks for cookies only in responses that set some."""

from __future__ import annotations

from functools import cached_property

import httpx


class _Cookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        # Copying all headers for `http.cookiejar` takes a tenth of a short call. What is not ASCII cannot be sent back.
        if (cookies := response.headers.get("set-cookie")) and cookies.isascii():
            super().extract_cookies(response)


class AsyncClient(httpx.AsyncClient):
    """A client that keeps cookies as httpx does, except those that httpx cannot send back."""

    @cached_property
    def cookies(self) -> httpx.Cookies:  # pyright: ignore[reportIncompatibleMethodOverride]  # never set
        return _Cookies()

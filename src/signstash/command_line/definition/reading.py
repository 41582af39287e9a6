"""Reads the text of an API definition, or says what the text is instead."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from typing import Any

_YAML_MISSING = "is not JSON, and reading YAML needs PyYAML, which is not installed"


class DefinitionError(Exception):
    """A text is not the definition of a service that signs; the message says what it is."""


def parse_definition(content: bytes) -> dict[str, Any]:
    """Parse a definition in JSON or YAML, in any Unicode encoding, or as the base64 string that springdoc may publish.

    Raises:
        DefinitionError: If it is neither Swagger 2.0 nor OpenAPI 3.
    """
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff").rstrip()
    except UnicodeDecodeError as error:
        raise DefinitionError(f"the content is not text: {error.reason} at byte {error.start}.") from None
    value = _value(text)
    if not isinstance(value, dict):
        raise DefinitionError(f"the content is {_kind(value)}, not a definition.{_addresses(value)}")
    version = str(value.get("openapi", value.get("swagger", "")))
    if not re.match(r"3\.|2\.0$", version):
        found = f"it says version {version!r}" if version else f"its fields are {', '.join(map(str, list(value)[:8]))}"
        raise DefinitionError(f"the content is neither OpenAPI 3 nor Swagger 2.0: {found}.{_addresses(value)}")
    if not isinstance(value.get("paths"), dict):
        raise DefinitionError("the definition has no `paths`.")
    return value


def _value(text: str) -> Any:
    begins = text.lstrip()[:15].lower()
    if not begins:
        raise DefinitionError("the content is empty.")
    if begins.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
        named = f", titled {' '.join(html.unescape(title[1]).split())!r}" if title else ""
        kind = "an HTML page" if begins.startswith(("<!doctype html", "<html")) else "markup"
        raise DefinitionError(f"the content is {kind}{named}: a page or a login, not the definition.")
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if begins.startswith(("{", "[", "//", "/*")):
            raise _broken(error) from None
        encoded = re.fullmatch(r"[A-Za-z0-9+/\s]+=*", text)
        if not encoded or len(text) < 40:
            return _yaml(text)
        value = text
    except RecursionError:
        raise DefinitionError("the content is JSON that is nested too deeply.") from None
    return _inner(value) if isinstance(value, str) else value


def _inner(text: str) -> Any:
    """The JSON that a string holds, as it is or in base64: springdoc behind a converter for strings."""
    text = text.strip()
    if not text.startswith("{"):
        try:
            text = base64.b64decode(text, validate=True).decode()
        except ValueError:
            raise DefinitionError(f"the content is a text, not a definition. It begins: {text[:60]!r}.") from None
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _broken(error) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _once([name for name, _ in pairs])
    return dict(pairs)


def _once(names: list[str]) -> None:
    """Reject a duplicate name: some parsers take the first value, others the last."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DefinitionError(f"the content has the field {twice!r} twice in one object. Delete one of them.")


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise DefinitionError(f"the content {_YAML_MISSING}.") from None

    class Loader(yaml.SafeLoader):
        """YAML 1.2, in which dates, `yes`, `on` and `NO` are text, and keys are unique."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _once([key.value for key, _ in node.value if isinstance(key.value, str)])
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?i:true|false)$"), list("tTfF"))
    try:
        return Loader(text).get_single_data()
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        begins = " ".join(text.lstrip()[:60].split())
        raise DefinitionError(f"the content is neither JSON nor YAML{where}. It begins: {begins!r}.") from None


def _broken(error: json.JSONDecodeError) -> DefinitionError:
    before, rest = error.doc[: error.pos].rstrip(), error.doc[error.pos :].strip()
    if rest.startswith(","):  # where newer versions of Python find a trailing comma
        before, rest = before + ",", rest[1:].lstrip()
    truncated = (len(rest) < 2 and rest not in ("}", "]")) or error.msg.startswith("Unterminated")
    state, problem, hint = "is not valid JSON", error.msg, "Correct it there, or download it again."
    if rest.startswith(("//", "/*", "#")):
        problem, hint = "a comment", "Delete all comments: JSON has none."
    elif before.endswith(",") and rest.startswith(("}", "]")):
        error = json.JSONDecodeError(error.msg, error.doc, len(before) - 1)
        problem, hint = "a comma after the last item", "Delete it and all others like it."
    elif truncated:
        state, hint = "ends in the middle of its JSON", "Download it again."
    return DefinitionError(f"the content {state}: {problem} at line {error.lineno}, column {error.colno}. {hint}")


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", type(None): "null", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _addresses(value: object) -> str:
    """Where Swagger's own list of definitions says that they are."""
    entries = value.get("urls", []) if isinstance(value, Mapping) else value
    found = (
        [str(item["url"]) for item in entries if isinstance(item, Mapping) and "url" in item]
        if isinstance(entries, list)
        else []
    )
    return f" It names {', '.join(found)}: take the definition from there." if found else ""

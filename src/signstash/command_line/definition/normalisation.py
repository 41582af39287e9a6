"""Brings Swagger 2.0, OpenAPI 3.0 and 3.1 to one form: OpenAPI 3.0, with no more than a client is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs

from .reading import DefinitionError

Schema = dict[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
SCHEMAS: Final = "#/components/schemas/"
JSON: Final = "application/json"
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
TEXT: Final[Schema] = {"type": "string", "format": "text"}
"""What a response holds that is a text, and not JSON."""

_OCTETS: Final = "application/octet-stream"
_STREAMS: Final = {"inputStream", "absolutePath"}
"""Fields of Java's `Resource` and `File`, which some tools describe as objects: not JSON."""
_API: Final = re.compile(r"^(?P<root>.*?)/api/(?:v(?P<version>\d+)[\d.]*/)?(?P<rest>.*?)/?$")
_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean")
_FORMATS: Final = ("date-time", "date", "int32", "int64", "float", "double", "binary", "byte", "uuid")
_UNREADABLE: Final = (LookupError, AttributeError, TypeError, ValueError, RecursionError)


@attrs.frozen
class Operation:
    """One operation of a definition.

    Attributes:
        method: HTTP method in capital letters.
        path: Path, with the path of the server's URL before it.
        name: Its id in the definition, or "".
        summary: Its summary, or "".
        deprecated: Whether it is marked as deprecated.
        parameters: Parameters in path, query, headers and cookies, each with a schema.
        bodies: Schemas of its body, by media type.
        responses: Schemas of its successful responses by status; None for a response without contents.
    """

    method: str
    path: str
    name: str
    summary: str
    deprecated: bool
    parameters: list[Schema]
    bodies: dict[str, Schema]
    responses: dict[str, Schema | None]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_below_api(self) -> bool:
        """Whether it belongs to the API, rather than to the server, such as its health."""
        return _API.match(self.path) is not None

    @property
    def root(self) -> str:
        """Its path before `/api`."""
        match = _API.match(self.path)
        return match["root"] if match else ""

    @property
    def version(self) -> int:
        """The version of the API in its path."""
        match = _API.match(self.path)
        return int((match and match["version"]) or 0)

    @property
    def role(self) -> tuple[str, str]:
        """What identifies it in every version: its method, and its path after the version, without parameter names."""
        match = _API.match(self.path)
        return self.method, re.sub(r"\{[^}]*\}", "{}", match["rest"] if match else self.path)

    @property
    def response(self) -> Schema | None:
        """The schema of its first successful response."""
        return next(iter(self.responses.values()))

    def body(self, media: str) -> Schema:
        """The schema of its body of this media type, or else of any."""
        bodies = sorted(self.bodies.items(), key=lambda item: (media not in item[0], item[0] != JSON))
        return bodies[0][1] if bodies else {}


@attrs.frozen
class Published:
    """A definition in one form.

    Attributes:
        server: Path of the server's URL, which is put before all paths.
        operations: Its operations.
        schemas: Its schemas by name; their references are `#/components/schemas/<name>`, not encoded.
        unreadable: Operations that do not conform to OpenAPI.
    """

    server: str
    operations: list[Operation]
    schemas: dict[str, Schema]
    unreadable: list[str]


def title_of(document: Mapping[str, Any]) -> str:
    """Title and version of a definition."""
    info = document.get("info")
    parts = [info.get("title"), info.get("version")] if isinstance(info, Mapping) else []
    return " ".join(str(part) for part in parts if part) or "without a title"


def normalise(document: Mapping[str, Any]) -> Published:
    """Read a definition, of whatever version.

    Raises:
        DefinitionError: If it does not conform to OpenAPI.
    """
    try:
        return _Normaliser(document).published()
    except _UNREADABLE as error:
        raise DefinitionError(
            f"the definition does not conform to OpenAPI ({type(error).__name__}: {error})."
        ) from error


class _Normaliser:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        is_swagger = "swagger" in document
        named = document.get("definitions") if is_swagger else (document.get("components") or {}).get("schemas")
        self._named: dict[str, Any] = {str(name): schema for name, schema in (named or {}).items()}
        self._elsewhere: dict[str, None] = {}  # other files that are referred to, in order
        server = {"url": document.get("basePath")} if is_swagger else (document.get("servers") or [{}])[0]
        self._server = _path_of(server)

    def published(self) -> Published:
        operations, unreadable = [], []
        for path, reference in self._document["paths"].items():
            item = self._found(reference)
            if not isinstance(item, Mapping):
                unreadable.append(f"{path}: does not conform to OpenAPI (not an object)")
                continue
            for method, described in ((method, item[method]) for method in METHODS if method in item):
                try:
                    operations.append(self._operation(str(path), method, described, item.get("parameters") or []))
                except _UNREADABLE as error:
                    unreadable.append(
                        f"{method.upper()} {path}: does not conform to OpenAPI ({type(error).__name__}: {error})"
                    )
        schemas: dict[str, Schema] = {}
        while left := self._named.keys() - schemas.keys():  # reading one may find others
            schemas |= {name: self.schema(self._named[name]) for name in left}
        if self._elsewhere:
            raise DefinitionError(
                f"the definition refers to other files ({', '.join(list(self._elsewhere)[:3])}). "
                "Put them into one file, for example with `npx @redocly/cli bundle`."
            )
        return Published(self._server, operations, {name: schemas[name] for name in self._named}, unreadable)

    def _operation(self, path: str, method: str, described: Mapping[str, Any], shared: Iterable[Any]) -> Operation:
        parameters: dict[tuple[str, str], Schema] = {}
        bodies: dict[str, Schema] = {}
        parts: dict[str, Any] = {}
        fixed: dict[str, str] = {}
        for parameter in map(self._found, [*shared, *(described.get("parameters") or [])]):
            name, place = str(parameter["name"]), parameter["in"]
            given = parameter.get("schema") or _only(parameter.get("content")) or parameter
            schema = self.schema(given)
            required = parameter.get("required") in (True, "true") and "default" not in {**parameter, **given}
            if place == "path" and (value := _only_value(given, parameter)):
                fixed[name] = value
            if place in ("path", "query", "header", "cookie"):
                required = required or place == "path"
                parameters[name, place] = {"name": name, "in": place, "required": required, "schema": schema}
            else:
                parts[name] = (place, schema, required)
        path = re.sub(r"\{(\w+):[^/]*\}", r"{\1}", self._server + path)
        # ASP.NET describes the version of an API as a parameter.
        path = re.sub(r"(?<=/api/)(v?)\{([^}/]*)\}(?=/)", lambda m: m[1] + fixed[m[2]] if m[2] in fixed else m[0], path)
        in_path = re.findall(r"\{([^}]*)\}", path)
        for name in in_path:
            undescribed = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            parameters.setdefault((name, "path"), undescribed)
        if parts:
            form = _form(parts, described.get("consumes") or self._document.get("consumes") or [])
            bodies = {self._media(media, schema): schema for media, schema in form.items()}
        content = self._found(described.get("requestBody") or {}).get("content") or {}
        bodies |= self._schemas(content)
        return Operation(
            method.upper(),
            path,
            str(described.get("operationId") or ""),
            str(described.get("summary") or described.get("description") or ""),
            bool(described.get("deprecated")),
            [item for item in parameters.values() if item["in"] != "path" or item["name"] in in_path],
            bodies,
            self._responses(described),
        )

    def _responses(self, described: Mapping[str, Any]) -> dict[str, Schema | None]:
        responses = {str(status).upper(): item for status, item in described["responses"].items()}
        successes = sorted(status for status in responses if status.startswith("2")) or [
            status for status in responses if status == "DEFAULT"
        ]
        read: dict[str, Schema | None] = {}
        for status in successes:
            response = self._found(responses[status])
            content = response.get("content")
            if content is None and "schema" in response:
                produces = described.get("produces") or self._document.get("produces") or ["*/*"]
                content = dict.fromkeys(produces, response)
            read[status if status.isdecimal() else "200"] = self._contents(content or {})
        # springfox adds a 201 without contents to every POST.
        without = [status for status, schema in read.items() if schema is None]
        for status in without if len(without) < len(read) else without[1:]:
            del read[status]
        return read or {"200": None}

    def _contents(self, content: Mapping[str, Any]) -> Schema | None:
        """The schema of a response: of JSON, unless only other types are described."""
        schemas = self._schemas(content)
        for media, schema in sorted(schemas.items(), key=lambda item: (item[0] != JSON, "json" not in item[0])):
            if schema.get("format") in ("binary", "byte") and "json" not in media:
                return BINARY
            if "json" in media or media.endswith("/*"):
                return schema
            return TEXT if media.startswith("text/") else BINARY
        return None

    def _schemas(self, content: Mapping[str, Any]) -> dict[str, Schema]:
        schemas = [(media, self.schema(item.get("schema"))) for media, item in content.items()]
        return {self._media(media, schema): schema for media, schema in schemas}

    def _media(self, media: str, schema: Schema) -> str:
        """A media type without parameters. Converters to Swagger 2.0 write octets for JSON of any type."""
        plain = media.partition(";")[0].strip().lower()
        return JSON if plain == _OCTETS and self._is_json(schema) else plain

    def _is_json(self, schema: Schema, depth: int = 0) -> bool:
        """Whether a schema describes more than a sequence of octets."""
        name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
        described = self.schema(self._named[name]) if name else schema
        if fields := described.get("properties"):
            return _STREAMS.isdisjoint(fields)
        if described.get("type") == "array":
            return described["items"].get("format") not in ("binary", "byte")
        composed = [part for keyword in ("allOf", "anyOf", "oneOf") for part in described.get(keyword, ())]
        return described.get("type") in ("integer", "number", "boolean") or (
            depth < 8 and any(self._is_json(part, depth + 1) for part in composed)
        )

    def _found(self, value: Any) -> Any:
        """What a reference refers to; anything else as it is."""
        for _ in range(16):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                break
            value = self._at(value["$ref"])
        return value

    def _at(self, reference: str) -> Any:
        value: Any = self._document
        file, _, pointer = reference.partition("#")  # a file may refer to itself by its name
        for step in pointer.strip("/").split("/"):
            plain = step.replace("~1", "/").replace("~0", "~")
            value = value[int(plain)] if isinstance(value, list) else value.get(plain, value.get(unquote(plain), {}))
        if file and not value:
            self._elsewhere[file] = None
        return value

    def schema(self, given: Any, depth: int = 0) -> Schema:
        """A schema without what does not concern a client, or would stop the generator."""
        if not isinstance(given, Mapping) or depth > 64:
            return {}
        if isinstance(given.get("$ref"), str):
            return self._reference(given["$ref"], depth)
        kinds = given.get("type")
        kinds = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind != "null"]
        kind = kinds[0] if len(kinds) == 1 and kinds[0] in (*_TYPES, "file") else None
        plain: Schema = {} if kind is None else {"type": kind}
        if kind == "file" or ("contentMediaType" in given and "contentEncoding" not in given):
            plain = dict(BINARY)
        if given.get("format") in _FORMATS and kind not in (None, "object", "array"):
            plain["format"] = given["format"]
        if isinstance(given.get("description"), str):
            plain["description"] = given["description"]
        values = [given["const"]] if "const" in given else given.get("enum")
        if isinstance(values, list) and kind in (None, "string"):
            texts = list(dict.fromkeys(value for value in values if isinstance(value, str) and value.strip()))
            plain |= {"type": "string", "enum": texts} if texts else {}
        elif isinstance(values, list) and kind == "integer":
            plain["enum"] = values
        for keyword in ("allOf", "anyOf", "oneOf"):
            branches = [self.schema(item, depth + 1) for item in given.get(keyword) or [] if not _is_null(item)]
            if len(branches) == 1 and plain.keys() <= {"description"} and not given.get("properties"):
                return {**branches[0], **({} if "$ref" in branches[0] else plain)}
            if branches:
                plain[keyword] = branches
        if kind == "array":
            plain["items"] = self.schema(given.get("items"), depth + 1)
        if isinstance(given.get("properties"), Mapping):
            plain["type"] = "object"
            plain["properties"] = {
                str(name): self.schema(item, depth + 1) for name, item in given["properties"].items()
            }
        if isinstance(required := given.get("required"), list):
            plain["required"] = [name for name in required if not _is_read_only(given.get("properties"), name)]
        if isinstance(given.get("additionalProperties"), Mapping):
            plain["additionalProperties"] = self.schema(given["additionalProperties"], depth + 1)
        return plain

    def _reference(self, reference: str, depth: int) -> Schema:
        name = re.sub(r"^[^#]*#/(components/schemas|definitions)/", "", reference)
        name = name.replace("~1", "/").replace("~0", "~")
        for known in (name, unquote(name)):
            if known in self._named:
                return {"$ref": SCHEMAS + known}
        found = self._found({"$ref": reference})
        if not isinstance(found, Mapping) or "properties" not in found:
            return self.schema(found, depth + 8)
        self._named[name] = found  # it may refer to itself
        return {"$ref": SCHEMAS + name}


def _is_read_only(properties: Any, name: object) -> bool:
    """Whether only responses hold a field, even if it is required."""
    described = properties.get(name) if isinstance(properties, Mapping) else None
    return isinstance(described, Mapping) and described.get("readOnly") is True


def _only_value(*described: Mapping[str, Any]) -> str | None:
    """The default of a parameter, or its only possible value."""
    for item in described:
        values = item.get("enum")
        only = values[0] if isinstance(values, list) and len(values) == 1 else item.get("const", item.get("default"))
        if only is not None:
            return str(only)
    return None


def _only(content: object) -> Any:
    """The schema of a parameter that is described by a media type."""
    return next((item.get("schema") for item in content.values()), None) if isinstance(content, Mapping) else None


def _form(parts: Mapping[str, tuple[str, Schema, bool]], consumes: list[str]) -> dict[str, Schema]:
    """The body of a Swagger 2.0 operation: one body parameter, or a form, in which springfox puts body parameters."""
    if len(parts) == 1:
        ((place, schema, _),) = parts.values()
        if place == "body":
            return dict.fromkeys(consumes or [JSON], schema)
    properties = {name: schema for name, (_, schema, _) in parts.items()}
    form = {"type": "object", "properties": properties, "required": [name for name, part in parts.items() if part[2]]}
    is_plain = all(schema.get("type") in ("string", "integer", "number", "boolean") for schema in properties.values())
    if is_plain and BINARY not in properties.values() and "multipart/form-data" not in consumes:
        return {"application/x-www-form-urlencoded": form}
    return {"multipart/form-data": form}


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _path_of(server: Mapping[str, Any]) -> str:
    """The path of a server's URL, which may be relative, or hold variables."""
    url = str(server.get("url") or "")
    for name, variable in (server.get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    path = re.sub(r"^([\w+.{}$-]+:)?//[^/]*|^\$?\{[^}]*\}(:[^/]*)?", "", url)
    return "" if not path.strip("/") else "/" + path.strip("/")

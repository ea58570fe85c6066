"""Reads the `{"mcpServers": …}` file of MCP clients; `import_upstreams` and the demo use it.

An address in such a file counts as listed by the operator, loopback and private ones too. Secrets
stand in it only as `${NAME}`, in `env` and `headers`. A whole file is refused for one plain value
under a name that looks secret, which is one that has token, secret, password, credential, cookie,
session, private, auth or key as a word of it, unless it ends in FILE, PATH or DIR: that is a place.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from approvals.administration.catalog import UpstreamSpec
from approvals.canonical import path_of
from approvals.errors import InvalidInput
from mcp_bridge.upstreams.credentials import REFERENCE

_STDIO_KEYS = {"type", "command", "args", "env", "cwd", "countersign"}
_HTTP_KEYS = {"type", "url", "headers", "countersign"}
_HTTP_TYPES = {"http", "streamable-http", "streamableHttp"}
_LONGEST_ADDRESS = 1_000  # what a call's row keeps of it
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SECRET = re.compile(
    r"auth(?!ors?($|[-_.]))|token|secret|passw|credential|cookie|session|private|api[-_]?key"
    r"|(^|[-_.])key($|[-_.])",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[-_](file|path|dir)$", re.IGNORECASE)
# Of arguments only what is surely meant as a secret: --token, but not --token-file or --auth-mode.
_SECRET_FLAG = re.compile(r"-.*(token|secret|passw(or)?d|api-?key)s?(=|$)", re.IGNORECASE)
# "Bearer ${NAME}" is a reference; "Bearer abc" is not.
_SCHEMES = re.compile(r"^(bearer|basic|token)\s+", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# These are the transport's; another value would break it, or get round what it checks.
_OUR_HEADERS = re.compile(
    r"(accept|accept-encoding|connection|content-.*|host|last-event-id|mcp-.*|te|trailer"
    r"|transfer-encoding|upgrade|x-countersign-.*)",
    re.IGNORECASE,
)

Problem = dict[str, str]
_Place = tuple[str, ...]


def read(document: object) -> list[UpstreamSpec]:
    """Return the servers of a parsed file, in its order.

    Raises:
        InvalidInput: with every place that is wrong; nothing of such a file is used.
    """
    if not isinstance(document, dict) or not isinstance(document.get("mcpServers"), dict):
        raise InvalidInput('must be an object: {"mcpServers": {...}}', path="$")
    problems = [_at("unknown key", key) for key in document if key != "mcpServers"]
    specs = []
    for name, entry in document["mcpServers"].items():
        found = list(_problems(name, entry))
        problems += found
        if not found:
            specs.append(_spec(name, entry))
    if problems:
        raise InvalidInput(problems=problems)
    if not specs:
        raise InvalidInput("names no server", path="$.mcpServers")
    return specs


def _spec(name: str, entry: Mapping[str, Any]) -> UpstreamSpec:
    own = entry.get("countersign", {})
    if "url" in entry:
        launch = {"url": entry["url"], "headers": entry.get("headers", {})}
    else:
        launch = {"command": entry["command"], "args": entry.get("args", [])}
        launch |= {"env": entry.get("env", {})}
        launch |= {"cwd": entry["cwd"]} if "cwd" in entry else {}
    return UpstreamSpec(
        name=name,
        transport="http" if "url" in entry else "stdio",
        launch=launch,
        write_credentials=own.get("write"),
    )


def _problems(name: str, entry: object) -> Iterator[Problem]:
    place = ("mcpServers", name)
    if not _NAME.fullmatch(name):
        yield _at("names have up to 40 of a-z, 0-9 and -", *place)
    if not isinstance(entry, dict):
        yield _at("must be an object", *place)
        return
    is_http = "url" in entry
    for key in entry.keys() - (_HTTP_KEYS if is_http else _STDIO_KEYS):
        yield _at("unknown key", *place, str(key))
    yield from _http_problems(place, entry) if is_http else _stdio_problems(place, entry)
    yield from _write_problems(place, entry.get("countersign", {}), is_http)


def _http_problems(place: _Place, entry: Mapping[str, Any]) -> Iterator[Problem]:
    kind = entry.get("type", "http")
    if not isinstance(kind, str) or kind not in _HTTP_TYPES:
        yield _at('must be "http": only Streamable HTTP is spoken', *place, "type")
    if why := _wrong_address(entry["url"]):
        yield _at(why, *place, "url")
    yield from _settings_problems(entry.get("headers", {}), (*place, "headers"))


def _stdio_problems(place: _Place, entry: Mapping[str, Any]) -> Iterator[Problem]:
    command, args = entry.get("command"), entry.get("args", [])
    if entry.get("type", "stdio") != "stdio":
        yield _at('must be "stdio" where there is a command', *place, "type")
    if not isinstance(command, str) or not command:
        yield _at("a server has a command or a url", *place)
        return
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        yield _at("must be a list of text", *place, "args")
        return
    if len(" ".join([command, *args])) > _LONGEST_ADDRESS:
        yield _at(f"a command has at most {_LONGEST_ADDRESS} characters", *place)
    yield from (_at(why, *place, "args") for arg in args if (why := _wrong_argument(arg)))
    if not isinstance(entry.get("cwd", ""), str):
        yield _at("must be text", *place, "cwd")
    yield from _settings_problems(entry.get("env", {}), (*place, "env"))


def _wrong_argument(arg: str) -> str:
    # Arguments can be read by every user of the machine.
    if REFERENCE.search(arg):
        return "a reference belongs into env, not into arguments"
    is_secret = _SECRET_FLAG.match(arg)
    return "a secret belongs into env as ${NAME}, not into arguments" if is_secret else ""


def _write_problems(server: _Place, own: object, is_http: bool) -> Iterator[Problem]:
    place, part = (*server, "countersign"), "headers" if is_http else "env"
    if not isinstance(own, dict):
        yield _at("must be an object", *place)
        return
    for key in own.keys() - {"write"}:
        yield _at("unknown key", *place, str(key))
    write = own.get("write", {part: {}})
    if not isinstance(write, dict) or write.keys() != {part}:
        yield _at(f"must be an object with {part}", *place, "write")
        return
    yield from _settings_problems(write[part], (*place, "write", part))


def _settings_problems(settings: object, place: _Place) -> Iterator[Problem]:
    if not isinstance(settings, dict):
        yield _at("must be an object of text", *place)
        return
    if sum(len(f"{key}={value},") for key, value in settings.items()) > _LONGEST_ADDRESS - 60:
        yield _at("is too long", *place)
    for key, value in settings.items():
        why = _wrong_name(key, place[-1]) or _wrong_value(key, value, place[-1])
        if why:
            yield _at(why, *place, key)


def _wrong_name(key: str, part: str) -> str:
    if part == "env":
        return "" if _VARIABLE.fullmatch(key) else "is no name of an environment variable"
    if not _HEADER.fullmatch(key):
        return "is no name of a header"
    return "this header is set by Countersign" if _OUR_HEADERS.fullmatch(key) else ""


def _wrong_value(key: str, value: object, part: str) -> str:
    if not isinstance(value, str):
        return "must be text"
    if part == "headers" and not (value.isascii() and value.isprintable()):
        return "must be plain text of one line"
    if "${" in REFERENCE.sub("", value):
        return "a reference is written ${NAME}, with letters, digits and _"
    is_secret = _SECRET.search(key) and not _PLACE.search(key)
    if is_secret and value and not REFERENCE.fullmatch(_SCHEMES.sub("", value)):
        return "looks like a secret: write ${NAME} and set NAME instead"
    return ""


def _wrong_address(url: object) -> str:
    if not isinstance(url, str) or not url.isprintable() or len(url) > _LONGEST_ADDRESS:
        return f"must be text of up to {_LONGEST_ADDRESS} characters"
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return _NO_ADDRESS
    if not is_http:
        return _NO_ADDRESS
    if "@" in parts.netloc:
        return "must have no user and password: write a header with ${NAME}"
    if "${" in url or any(_SECRET.search(key) for key, _ in parse_qsl(parts.query)):
        return "must hold no secret: write a header with ${NAME}"
    return ""


_NO_ADDRESS = "must be an http or https address"


def _at(message: str, *place: str) -> Problem:
    return {"path": path_of(place), "message": message}

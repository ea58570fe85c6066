"""A scripted MCP client: what the developer of an agent sees while people decide about its calls.

Run it as `python3 examples/agent.py refund --amount 420 --key cs_…`; see examples/README.md. Exit
codes: 0 done, 1 not executed, 2 usage or connection, 3 outcome unknown, 4 (status) still held.
"""

from agent_bridge import Place, Refused, Unreachable, converse  # isort: skip  # first: enters .venv

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as t
from agent_errand import (
    NO_CONNECTION,
    NOT_EXECUTED,
    UNKNOWN,
    Errand,
    carry_out,
    say,
    tell_connected,
    tell_status,
    withdraw,
)
from mcp.client import Client

Options = argparse.Namespace
View = Literal["task", "ticket"]
AMOUNT_FORM = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")
DEFAULT_URL = "http://127.0.0.1:8000/mcp"


def main() -> None:
    """Run one command and exit with its code."""
    if isinstance(sys.stdout, TextIOWrapper):
        # What a model reads may be in any script; the terminal may know only one.
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.disable()  # what the SDK has to say of a broken connection, we say ourselves
    options = _parser().parse_args()
    try:
        place = _place(options)
        code = anyio.run(options.run, options, place)
    except Unreachable as problem:
        sys.exit(_complain(str(problem), NO_CONNECTION))
    except Refused as refusal:
        sys.exit(_complain(f"Refused: {refusal}", _code(refusal)))
    except KeyboardInterrupt:
        say("Stopped. A call that is held stays held; only `cancel` withdraws it.")
        sys.exit(130)
    sys.exit(code)


def _complain(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def _code(refusal: Refused) -> int:
    return NOT_EXECUTED if refusal.is_definite else UNKNOWN


async def _call(options: Options, place: Place) -> int:
    tool, arguments = options.call(options)
    return await carry_out(place, Errand(tool, arguments, waits=options.wait))


async def _tools(options: Options, place: Place) -> int:
    async def step(client: Client) -> int:
        tell_connected(place, client)
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                say(f"  {tool.name}: {tool.title or tool.description or ''} ({_hints(tool)})")
            if (cursor := page.next_cursor) is None:
                return 0

    return await converse(place, step)


async def _status(options: Options, place: Place) -> int:
    return await _about_ticket(options, place, tell_status)


async def _cancel(options: Options, place: Place) -> int:
    return await _about_ticket(options, place, withdraw)


async def _about_ticket(
    options: Options, place: Place, act: Callable[[Client, Place, str], Awaitable[int]]
) -> int:
    async def step(client: Client) -> int:
        tell_connected(place, client)
        return await act(client, place, options.ticket)

    return await converse(place, step)


def _hints(tool: t.Tool) -> str:
    hints = tool.annotations
    if hints is None:
        return "says nothing about its effect"
    if hints.read_only_hint:
        return "says it only reads"
    return "says it writes" if hints.destructive_hint is False else "says it may destroy"


def _refund(options: Options) -> tuple[str, dict[str, Any]]:
    arguments = {
        "customer": options.customer,
        "invoice": options.invoice,
        "amount": options.amount,
        "currency": options.currency,
        "reason": options.reason,
    }
    return "billing__refund", arguments | ({"memo": options.memo} if options.memo else {})


def _deploy(options: Options) -> tuple[str, dict[str, Any]]:
    wanted = ("service", "release", "environment")
    return "deploys__deploy", {name: getattr(options, name) for name in wanted}


def _read(options: Options) -> tuple[str, dict[str, Any]]:
    return "billing__get_customer", {"customer": options.customer}


def _any_tool(options: Options) -> tuple[str, dict[str, Any]]:
    return options.tool, options.arguments


def _minor_units(text: str) -> int:
    """Return an amount like 420 or 19.99 in minor units."""
    if AMOUNT_FORM.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount like 420 or 19.99")
    return int(Decimal(text) * 100)


def _seconds(text: str) -> float:
    if AMOUNT_FORM.fullmatch(text) is None or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def _place(options: Options) -> Place:
    if options.view == "task" and options.era == "legacy":
        raise Unreachable("The Tasks extension needs --era modern.")
    # Who will not wait wants a task: that is answered at once, a ticket only after the grace.
    is_hasty = options.era == "modern" and not getattr(options, "wait", True)
    view: View = options.view or ("task" if is_hasty else "ticket")
    return Place(options.url, _key(options), options.era, view, options.patience)


def _key(options: Options) -> str:
    key = options.key or os.environ.get("COUNTERSIGN_KEY", "")
    if options.key_file is not None:
        try:
            # create_agent prints the key on the last line, after what it has to say.
            lines = options.key_file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise Unreachable(f"Cannot read the key from {options.key_file}: {error}.") from None
        key = lines[-1] if lines else ""
    if not key:
        raise Unreachable("No key: give --key-file FILE, --key KEY, or set COUNTERSIGN_KEY.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Unreachable("The key contains characters that no key has.")
    return str(key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="An agent that asks for one thing and waits.")
    _add_connection(parser)
    parser.set_defaults(url=DEFAULT_URL, key="", key_file=None, era="modern", view=None)
    parser.set_defaults(patience=60.0)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, help_text, add_arguments in COMMANDS:
        command = commands.add_parser(name, help=help_text, description=help_text)
        add_arguments(command)
        _add_connection(command)
    return parser


def _add_connection(parser: argparse.ArgumentParser) -> None:
    """Add what may stand before the command or after it; the defaults are the first parser's."""
    group = parser.add_argument_group("connection", argument_default=argparse.SUPPRESS)
    group.add_argument("--url", help=f"default {DEFAULT_URL}")
    keys = group.add_mutually_exclusive_group()
    keys.add_argument("--key", help="the agent's key; others on this machine can see it")
    keys.add_argument("--key-file", type=Path, help="a file whose last word is the key")
    group.add_argument("--era", choices=["modern", "legacy"], help="default modern")
    group.add_argument(
        "--view",
        choices=["task", "ticket"],
        help="follow a held call as a task, or by its ticket (default, unless --no-wait)",
    )
    group.add_argument(
        "--patience",
        type=_seconds,
        metavar="SECONDS",
        help="how long to try again after the connection broke; default 60",
    )


def _add_call(command: argparse.ArgumentParser, call: Callable[..., Any]) -> None:
    command.add_argument(
        "--no-wait", dest="wait", action="store_false", help="stop when the call is held"
    )
    command.set_defaults(run=_call, call=call)


def _add_refund(command: argparse.ArgumentParser) -> None:
    command.add_argument("--amount", type=_minor_units, required=True, help="like 420 or 19.99")
    command.add_argument("--customer", default="cus_8241")
    command.add_argument("--invoice", default="in_2201")
    command.add_argument("--currency", default="usd")
    command.add_argument("--reason", default="damaged")
    command.add_argument("--memo", default="")
    _add_call(command, _refund)


def _add_deploy(command: argparse.ArgumentParser) -> None:
    command.add_argument("--service", default="checkout-api")
    command.add_argument("--release", required=True, help="like v3.18.0")
    command.add_argument("--environment", default="production")
    _add_call(command, _deploy)


def _add_read(command: argparse.ArgumentParser) -> None:
    command.add_argument("--customer", default="cus_8241")
    _add_call(command, _read)


def _add_any_tool(command: argparse.ArgumentParser) -> None:
    command.add_argument("tool", help="like billing__credit_note")
    command.add_argument("arguments", type=_json_object, help="a JSON object")
    _add_call(command, _any_tool)


def _add_tools(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_tools)


def _add_status(command: argparse.ArgumentParser) -> None:
    command.add_argument("ticket")
    command.set_defaults(run=_status)


def _add_cancel(command: argparse.ArgumentParser) -> None:
    command.add_argument("ticket")
    command.set_defaults(run=_cancel)


COMMANDS: list[tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = [
    ("refund", "Refund a customer.", _add_refund),
    ("deploy", "Deploy a release.", _add_deploy),
    ("read", "Look a customer up, which nobody needs to approve.", _add_read),
    ("call", "Call any tool.", _add_any_tool),
    ("tools", "List the tools this agent may see.", _add_tools),
    ("status", "Say how a held call stands.", _add_status),
    ("cancel", "Withdraw a held call.", _add_cancel),
]


if __name__ == "__main__":
    main()

"""A minimal MCP server with one read tool, over HTTP; what the benchmarks call directly and held.

Run it as `python3 examples/echo.py [--port N]`; see examples/README.md.
"""

from serving import Answer, Arguments, Offer, make_server, serve, transport_arguments  # isort: skip

import mcp_types as t
from schemas import object_of, text

ECHO = t.Tool(
    name="echo",
    title="Echo",
    description="Return the text that was given.",
    input_schema=object_of({"text": text("Any text", maxLength=20_000)}),
    output_schema=object_of({"text": text("The same text")}),
    annotations=t.ToolAnnotations(read_only_hint=True, open_world_hint=False),
)


def _echo(arguments: Arguments, _: str | None) -> Answer:
    return Answer(arguments["text"], {"text": arguments["text"]})


def main() -> None:
    """Serve over HTTP, or over stdio with --stdio."""
    parser = transport_arguments("An echo server, speaking MCP.")
    parser.add_argument("--stdio", dest="http", action="store_false", help="serve stdio instead")
    parser.set_defaults(http=True)
    options = parser.parse_args()
    offers = [Offer(ECHO, _echo)]
    serve(make_server("echo", title="Echo", instructions="", offers=offers), options)


if __name__ == "__main__":
    main()

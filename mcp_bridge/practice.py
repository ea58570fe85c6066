"""A server to practise on, over stdio: one tool, which posts a postcard to nobody.

`python -m mcp_bridge.practice`; what `approvals.administration.practice` makes an upstream of.
"""

import anyio
import mcp_types as t
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

POSTCARD = t.Tool(
    name="send_postcard",
    title="Send a postcard",
    description="Send a postcard with a few words on it. It is for practice: nobody gets it.",
    input_schema={
        "type": "object",
        "properties": {
            "to": {"type": "string", "title": "To", "minLength": 1, "maxLength": 100},
            "text": {"type": "string", "title": "Text", "minLength": 1, "maxLength": 500},
        },
        "required": ["to", "text"],
        "additionalProperties": False,
    },
    annotations=t.ToolAnnotations(
        read_only_hint=False, destructive_hint=False, open_world_hint=False
    ),
)


def make_server() -> Server:
    """Return the server; the bridge checks arguments before they come here."""
    return Server(
        "practice",
        version="1.0.0",
        title="Practice",
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(
    ctx: ServerRequestContext, params: t.PaginatedRequestParams | None
) -> t.ListToolsResult:
    return t.ListToolsResult(tools=[POSTCARD])


async def _call_tool(
    ctx: ServerRequestContext, params: t.CallToolRequestParams
) -> t.CallToolResult:
    if params.name != POSTCARD.name:
        raise MCPError(t.INVALID_PARAMS, f"Unknown tool: {params.name}")
    to = (params.arguments or {}).get("to", "nobody")
    text = f"The postcard to {to} is written. This is practice: it was posted to nobody."
    return t.CallToolResult(content=[t.TextContent(text=text)])


async def _serve() -> None:
    server = make_server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_serve)

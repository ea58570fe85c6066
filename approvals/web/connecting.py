"""The texts people copy to connect an agent, with this installation's address."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext


@dataclass(frozen=True)
class Way:
    """How one kind of client is told where Countersign is; the key is never part of it."""

    kind: str  # names the tab
    name: str
    hint: str
    text: str
    file: str = ""  # where the text belongs, where it is a file


def address(domain: str = "") -> str:
    """Return where agents reach this installation, or one domain of it as a server of its own."""
    return f"{settings.PUBLIC_URL}/mcp" + (f"/{domain}" if domain else "")


def ways(domain: str = "") -> list[Way]:
    """Return the texts for every kind of client; the key is read from COUNTERSIGN_KEY."""
    url = address(domain)
    return [
        Way("claude", "Claude Code", gettext("Run once in the project."), _CLAUDE % url),
        Way("cursor", "Cursor", gettext("Cursor reads the key from the environment."),
            _CURSOR % url, "~/.cursor/mcp.json"),
        Way("vscode", "VS Code", gettext("VS Code asks for the key, once."), _VSCODE % url,
            ".vscode/mcp.json"),
        Way("python", "Python", gettext("The MCP SDK, 2.3."), _PYTHON % url),
        Way("typescript", "TypeScript", "@modelcontextprotocol/sdk.", _TYPESCRIPT % url),
    ]  # fmt: skip


_CLAUDE = """claude mcp add --transport http countersign \\
  %s \\
  --header "Authorization: Bearer $COUNTERSIGN_KEY\""""

_CURSOR = """{
  "mcpServers": {
    "countersign": {
      "url": "%s",
      "headers": {"Authorization": "Bearer ${env:COUNTERSIGN_KEY}"}
    }
  }
}"""

_VSCODE = """{
  "inputs": [
    {"id": "key", "type": "promptString", "description": "Countersign key", "password": true}
  ],
  "servers": {
    "countersign": {
      "type": "http",
      "url": "%s",
      "headers": {"Authorization": "Bearer ${input:key}"}
    }
  }
}"""

_PYTHON = """import os, anyio, httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

async def main() -> None:
    headers = {"Authorization": f"Bearer {os.environ['COUNTERSIGN_KEY']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client("%s", http_client=http)
        async with Client(transport) as client:
            print(await client.list_tools())

anyio.run(main)"""

_TYPESCRIPT = """import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from
  "@modelcontextprotocol/sdk/client/streamableHttp.js";

const transport = new StreamableHTTPClientTransport(new URL("%s"), {
  requestInit: { headers: { Authorization: `Bearer ${process.env.COUNTERSIGN_KEY}` } },
});
const client = new Client({ name: "my-agent", version: "1.0.0" });
await client.connect(transport);
console.log(await client.listTools());"""

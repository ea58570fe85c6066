"""The practice server: one tool, which does nothing but say so."""

import anyio
from mcp.client import Client

from approvals.administration import practice as administration
from mcp_bridge import practice

CARD = {"to": "me", "text": "hello"}


def test_it_lists_one_tool_and_a_card_reaches_nobody():
    async def talk():
        async with Client(practice.make_server()) as client:
            listed = await client.list_tools()
            answer = await client.call_tool(administration.TOOL, CARD)
            return [tool.name for tool in listed.tools], answer

    names, answer = anyio.run(talk)

    assert names == [administration.TOOL]
    assert not answer.is_error
    assert "it was posted to nobody" in answer.content[0].text

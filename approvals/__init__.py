"""Everything about deciding: who asked for what, who said yes or no, and the proof; not MCP."""

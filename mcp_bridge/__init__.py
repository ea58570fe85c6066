"""Everything about MCP, towards agents and upstreams; imports approvals, never the reverse."""

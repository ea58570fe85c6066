"""The process of slow checks, started by `schemas` only (`python -m …agents.schema_worker`).

Reads one JSON object a line, {"digest", "arguments", "schema"?}, and writes one: {"problems"} or
{"unusable"}. A schema comes with the first check of its digest. Whoever waits too long kills it.
"""

import json
import sys
from typing import Any

from jsonschema.protocols import Validator

from mcp_bridge.schema_check import Unusable, compiled, problems


def main() -> None:
    """Answer until stdin closes."""
    known: dict[str, Validator] = {}
    _write({"ready": True})
    for line in sys.stdin:
        _write(_answer(json.loads(line), known))


def _answer(asked: dict[str, Any], known: dict[str, Validator]) -> dict[str, Any]:
    try:
        if "schema" in asked:
            known[asked["digest"]] = compiled(asked["schema"])
        return {"problems": problems(known[asked["digest"]], asked["arguments"])}
    except Unusable as error:
        return {"unusable": str(error)}


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

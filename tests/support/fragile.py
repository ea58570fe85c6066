"""The billing example as an upstream that breaks on request: run as a script, over stdio.

It acts on the same real ledger. What goes wrong stands in a refund's memo: `dies before`, `dies
after` (it has been written, the answer is lost), `waits …` (until the file `go` is there, at most a
minute). The file `description` in FRAGILE_FOLDER, if there is one, replaces every description; a
server that was killed reads it when it is started again, unless the file `broken` forbids that.
Each one leaves its process id in `pids`, for the test that kills it, and a line in `acted` for each
refund it was asked for: the ledger itself would write the same call only once.
"""

import os
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["FRAGILE_FOLDER"])
# In this order: whoever forbids starts and then kills all that left their ids misses nobody.
(FOLDER / "pids").mkdir(parents=True, exist_ok=True)
(FOLDER / "pids" / str(os.getpid())).touch()
if (FOLDER / "broken").exists():
    sys.exit(1)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import billing  # noqa: E402
from ledger import Ledger  # noqa: E402
from serving import Answer, Arguments  # noqa: E402

real_refund = billing._refund


def refund(ledger: Ledger, arguments: Arguments, call_id: str | None) -> Answer:
    """Refund, unless the memo says otherwise."""
    with (FOLDER / "acted").open("a") as acted:
        acted.write(f"{call_id}\n")
    memo = arguments.get("memo", "")
    if memo == "dies before":
        os._exit(9)
    if memo.startswith("waits"):
        wait_for(FOLDER / "go")
    answer = real_refund(ledger, arguments, call_id)
    if memo == "dies after":
        os._exit(9)
    return answer


def wait_for(file: Path) -> None:
    """Return once the file is there; the file `waiting` says that we came so far."""
    (FOLDER / "waiting").touch()
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.01)


def main() -> None:
    """Serve the ledger with a refund that breaks."""
    description = FOLDER / "description"
    for number, (act, tool) in enumerate(billing.TOOLS):
        words = description.read_text() if description.exists() else tool.description
        changed = tool.model_copy(update={"description": words})
        billing.TOOLS[number] = (refund if act is real_refund else act, changed)
    billing.main()


if __name__ == "__main__":
    main()

"""An MCP server over a small billing ledger: looks customers up, refunds, writes credit notes.

Run it as `python3 examples/billing.py [--ledger FILE] [--http --port N]`; see examples/README.md.
"""

from serving import ROOT  # isort: skip  # first: it enters the project's .venv

import sqlite3
from collections.abc import Callable
from pathlib import Path

import mcp_types as t
from ledger import Ledger, Posting, money
from schemas import list_of, object_of, text, whole
from serving import (
    Answer,
    Arguments,
    Offer,
    Refused,
    make_server,
    reason,
    serve,
    stop,
    transport_arguments,
)

CURRENCIES = ["usd", "eur", "gbp"]
REASONS = ["requested_by_customer", "duplicate", "damaged"]
DEFAULT_LIMIT = 10

CUSTOMER = text("Customer id, like cus_8241", pattern="^cus_[0-9A-Za-z]{1,32}$")
INVOICE = text("Invoice id, like in_2201", pattern="^in_[0-9A-Za-z]{1,32}$")
AMOUNT = whole("In minor units: 42000 is 420.00", exclusiveMinimum=0)
CURRENCY = text("The invoice's currency", enum=CURRENCIES)
REASON = text("Why the money goes back", enum=REASONS)
MEMO = text("A note for the accountants", maxLength=500)

CUSTOMER_FACTS = object_of(
    {
        "id": CUSTOMER,
        "name": text("Full name"),
        "email": text("E-mail address"),
        "customer_since": text("Date of the first order", format="date"),
        "invoices": whole("How many invoices there are", minimum=0),
        "refunds_and_credit_notes": whole("How often something was given back", minimum=0),
    }
)
INVOICE_FACTS = object_of(
    {
        "id": INVOICE,
        "customer": CUSTOMER,
        "description": text("What was sold"),
        "amount": AMOUNT,
        "currency": CURRENCY,
        "status": text("Whether it has been paid", enum=["paid", "open"]),
        "issued_on": text("Date of issue", format="date"),
        "left": whole("Minor units not yet given back", minimum=0),
    }
)
INVOICE_LIST = object_of({"invoices": list_of(INVOICE_FACTS)})
POSTING = object_of(
    {
        "customer": CUSTOMER,
        "invoice": INVOICE,
        "amount": AMOUNT,
        "currency": CURRENCY,
        "reason": REASON,
        "memo": MEMO,
    },
    optional=("memo",),
)
ENTRY = object_of(
    {
        "id": text("Id of the entry, like re_5501 or cn_1201"),
        "kind": text("What was written", enum=["refund", "credit_note"]),
        **POSTING["properties"],
        "recorded_at": text("When, UTC", format="date-time"),
        "left_on_invoice": whole("Minor units left after this entry", minimum=0),
    }
)

READS = t.ToolAnnotations(read_only_hint=True, open_world_hint=False)
# Both writes only add a row, yet a refund leaves the house and cannot be called back. Repeating one
# refunds again (unless it is the same release, by its call id), so neither is idempotent.
PAYS_OUT = t.ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)
ADDS = t.ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)


def _get_customer(ledger: Ledger, arguments: Arguments, _: str | None) -> Answer:
    found = ledger.customer(arguments["customer"])
    sentence = f"{found['id']} is {found['name']}, customer since {found['customer_since']}."
    return Answer(sentence, found)


def _list_invoices(ledger: Ledger, arguments: Arguments, _: str | None) -> Answer:
    limit = int(arguments.get("limit", DEFAULT_LIMIT))
    invoices = ledger.invoices(arguments["customer"], limit)
    lines = [
        f"{i['id']}: {i['description']}, {money(i['amount'], i['currency'])}, {i['status']}, "
        f"{money(i['left'], i['currency'])} left"
        for i in invoices
    ]
    return Answer("\n".join(lines) or "No invoices.", {"invoices": invoices})


def _refund(ledger: Ledger, arguments: Arguments, call_id: str | None) -> Answer:
    entry = ledger.record(_posting("refund", arguments), call_id)
    paid = money(entry["amount"], entry["currency"])
    left = money(entry["left_on_invoice"], entry["currency"])
    sentence = (
        f"Refunded {paid} to {entry['customer']} as {entry['id']}; {left} left on the invoice."
    )
    return Answer(sentence, entry)


def _credit_note(ledger: Ledger, arguments: Arguments, call_id: str | None) -> Answer:
    entry = ledger.record(_posting("credit_note", arguments), call_id)
    credited = money(entry["amount"], entry["currency"])
    return Answer(f"Wrote credit note {entry['id']} over {credited} on {entry['invoice']}.", entry)


def _posting(kind: str, arguments: Arguments) -> Posting:
    # JSON Schema takes 42000.0 for an integer; the ledger stores real ones.
    given = {"memo": "", **arguments, "amount": int(arguments["amount"])}
    return Posting(kind=kind, **given)


Act = Callable[[Ledger, Arguments, str | None], Answer]
TOOLS: list[tuple[Act, t.Tool]] = [
    (
        _get_customer,
        t.Tool(
            name="get_customer",
            title="Look up a customer",
            description="Return a customer's name, e-mail address and how often money went back.",
            input_schema=object_of({"customer": CUSTOMER}),
            output_schema=CUSTOMER_FACTS,
            annotations=READS,
        ),
    ),
    (
        _list_invoices,
        t.Tool(
            name="list_invoices",
            title="List a customer's invoices",
            description="Return a customer's invoices, newest first, with what is left of each.",
            input_schema=object_of(
                {
                    "customer": CUSTOMER,
                    "limit": whole(
                        "How many at most", minimum=1, maximum=100, default=DEFAULT_LIMIT
                    ),
                },
                optional=("limit",),
            ),
            output_schema=INVOICE_LIST,
            annotations=READS,
        ),
    ),
    (
        _refund,
        t.Tool(
            name="refund",
            title="Refund a customer",
            description=(
                "Pay back part or all of a paid invoice. The money leaves at once and cannot be "
                "called back; at most what is left of the invoice."
            ),
            input_schema=POSTING,
            output_schema=ENTRY,
            annotations=PAYS_OUT,
        ),
    ),
    (
        _credit_note,
        t.Tool(
            name="credit_note",
            title="Write a credit note",
            description=(
                "Write off part or all of an invoice, paid or open, without moving money; at most "
                "what is left of the invoice."
            ),
            input_schema=POSTING,
            output_schema=ENTRY,
            annotations=ADDS,
        ),
    ),
]


def main() -> None:
    """Serve the ledger named on the command line."""
    parser = transport_arguments("A billing server over a SQLite ledger, speaking MCP.")
    parser.add_argument("--ledger", type=Path, default=ROOT / "var" / "billing.sqlite3")
    options = parser.parse_args()
    try:
        ledger = Ledger(options.ledger)
    except (OSError, sqlite3.Error, Refused) as error:
        stop(f"Cannot use {options.ledger} as the ledger: {reason(error)}.")
    server = make_server(
        "billing",
        title="Billing",
        instructions="Amounts are in minor units. Look an invoice up before refunding it.",
        offers=[Offer.over(ledger, act, tool) for act, tool in TOOLS],
    )
    serve(server, options)


if __name__ == "__main__":
    main()

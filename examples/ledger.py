"""The billing example's ledger: customers, invoices and what was given back, in one SQLite file.

Used by billing.py only. Every entry is committed to disk before `record` returns, and an entry that
carries a call id is written once: the same call id gets the same entry back.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving import Refused

APPLICATION_ID = 0x436C6467  # marks the file as ours, so that no other database is written into
WAIT_SECONDS = 10.0
PRIMARY_CODE = 0xFF  # the rest of an SQLite error code says which kind

SCHEMA = """
CREATE TABLE customers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, customer_since TEXT NOT NULL
) STRICT;
CREATE TABLE invoices (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customers (id),
    description TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),  -- minor units, like every amount here
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('paid', 'open')),
    issued_on TEXT NOT NULL
) STRICT;
CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('refund', 'credit_note')),
    invoice TEXT NOT NULL REFERENCES invoices (id),
    customer TEXT NOT NULL REFERENCES customers (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    memo TEXT NOT NULL,
    call_id TEXT UNIQUE,  -- who released it; NULL when called without Countersign
    recorded_at TEXT NOT NULL
) STRICT;
CREATE VIEW refunds AS SELECT * FROM ledger WHERE kind = 'refund';
CREATE VIEW credit_notes AS SELECT * FROM ledger WHERE kind = 'credit_note';
"""

INSERT = """
INSERT INTO ledger VALUES (
    :seq, :id, :kind, :invoice, :customer, :amount, :currency, :reason, :memo, :call_id,
    :recorded_at
)
"""

CUSTOMERS = [
    ("cus_8241", "Dana Whitfield", "dana.whitfield@example.com", "2023-03-14"),
    ("cus_7719", "Omar Haddad", "omar.haddad@example.com", "2024-08-02"),
    ("cus_6120", "Ingrid Solberg", "ingrid.solberg@example.no", "2021-11-23"),
    ("cus_9120", "Harbour Hotels Ltd", "accounts@harbourhotels.example", "2019-05-06"),
]
INVOICES = [
    ("in_2201", "cus_8241", "Arc floor lamp, brass, 3 pieces", 126000, "usd", "paid", "2026-11-02"),
    ("in_2146", "cus_8241", "Linen shade, 40 cm", 6800, "usd", "paid", "2026-09-17"),
    ("in_2188", "cus_7719", "Replacement bulbs, 2 boxes", 1850, "usd", "paid", "2026-10-28"),
    ("in_2215", "cus_7719", "Desk lamp, green", 14900, "usd", "open", "2026-11-12"),
    ("in_2097", "cus_6120", "Pendant light, 3 arms", 31200, "eur", "paid", "2026-07-30"),
    ("in_2310", "cus_9120", "Bedside lamps for 480 rooms", 24800000, "gbp", "paid", "2026-10-09"),
]
FIRST_NUMBER = {"refund": ("re", 5500), "credit_note": ("cn", 1200)}


@dataclass(frozen=True)
class Posting:
    """What somebody wants written down. `amount` is in minor units of `currency`."""

    kind: str
    customer: str
    invoice: str
    amount: int
    currency: str
    reason: str
    memo: str


def money(amount: int, currency: str) -> str:
    """Return an amount in minor units as people write it: 420.00 USD."""
    return f"{amount // 100:,}.{amount % 100:02} {currency.upper()}"


class Ledger:
    """One ledger file, open to several processes at once."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating and seeding it when it is not there.

        Raises:
            OSError, sqlite3.Error: it cannot be opened, or is not a ledger.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with self._transaction() as db:
            self._prepare(db)

    def customer(self, customer: str) -> dict[str, Any]:
        """Return one customer with totals.

        Raises:
            Refused: there is no such customer.
        """
        with self._transaction("DEFERRED") as db:
            found = self._customer(db, customer)
            count = db.execute("SELECT count(*) FROM invoices WHERE customer = ?", [customer])
            given = db.execute("SELECT count(*) FROM ledger WHERE customer = ?", [customer])
            return {
                **dict(found),
                "invoices": count.fetchone()[0],
                "refunds_and_credit_notes": given.fetchone()[0],
            }

    def invoices(self, customer: str, limit: int) -> list[dict[str, Any]]:
        """Return a customer's newest invoices, each with what was given back and what is left.

        Raises:
            Refused: there is no such customer.
        """
        with self._transaction("DEFERRED") as db:
            self._customer(db, customer)
            newest = "SELECT * FROM invoices WHERE customer = ? ORDER BY issued_on DESC LIMIT ?"
            rows = db.execute(newest, [customer, limit]).fetchall()
            return [{**dict(row), "left": self._left(db, row)} for row in rows]

    def record(self, posting: Posting, call_id: str | None) -> dict[str, Any]:
        """Write one entry durably and return it; return the earlier one for a known call id.

        Raises:
            Refused: a rule of the ledger forbids it; nothing was written.
        """
        with self._transaction() as db:
            # The lock is held since BEGIN, so two equal call ids cannot both miss each other here.
            earlier = db.execute("SELECT * FROM ledger WHERE call_id = ?", [call_id]).fetchone()
            if earlier is not None:
                _check_same(earlier, posting)
                return self._entry(db, earlier)
            self._check(db, posting)
            return self._entry(db, self._insert(db, posting, call_id))

    def _prepare(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            return
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it is another program's database")
        # Not executescript: that would commit and let a second starter in before the seeds.
        for statement in SCHEMA.split(";\n"):
            db.execute(statement)
        db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", CUSTOMERS)
        db.executemany("INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?, ?)", INVOICES)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    @contextmanager
    def _transaction(self, mode: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            # EXTRA also syncs the folder: an answered refund survives a power cut.
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute(f"BEGIN {mode}")
            yield db
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # Even a COMMIT that found the file locked has written nothing once we close.
            if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                raise
            raise Refused("The ledger is busy; nothing was written. Try again soon.") from error
        finally:
            db.close()  # rolls back what was not committed

    def _customer(self, db: sqlite3.Connection, customer: str) -> sqlite3.Row:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM customers WHERE id = ?", [customer]
        ).fetchone()
        if row is None:
            raise Refused(f"There is no customer {customer}.")
        return row

    def _check(self, db: sqlite3.Connection, posting: Posting) -> None:
        self._customer(db, posting.customer)
        invoice: sqlite3.Row | None = db.execute(
            "SELECT * FROM invoices WHERE id = ? AND customer = ?",
            [posting.invoice, posting.customer],
        ).fetchone()
        if invoice is None:
            raise Refused(f"Customer {posting.customer} has no invoice {posting.invoice}.")
        if invoice["currency"] != posting.currency:
            raise Refused(
                f"Invoice {posting.invoice} is in {invoice['currency'].upper()}, "
                f"not {posting.currency.upper()}."
            )
        if posting.kind == "refund" and invoice["status"] != "paid":
            raise Refused(f"Invoice {posting.invoice} is not paid, so there is nothing to refund.")
        left = self._left(db, invoice)
        if posting.amount > left:
            raise Refused(
                f"{money(posting.amount, posting.currency)} is more than the "
                f"{money(left, posting.currency)} left of invoice {posting.invoice}."
            )

    def _left(self, db: sqlite3.Connection, invoice: sqlite3.Row, upto: int = 2**62) -> int:
        given = "SELECT coalesce(sum(amount), 0) FROM ledger WHERE invoice = ? AND seq <= ?"
        return int(invoice["amount"] - db.execute(given, [invoice["id"], upto]).fetchone()[0])

    def _insert(self, db: sqlite3.Connection, posting: Posting, call_id: str | None) -> sqlite3.Row:
        seq = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM ledger").fetchone()[0]
        prefix, first = FIRST_NUMBER[posting.kind]
        values = asdict(posting) | {
            "seq": seq,
            "id": f"{prefix}_{first + seq}",
            "call_id": call_id,
            "recorded_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        db.execute(INSERT, values)
        row: sqlite3.Row = db.execute("SELECT * FROM ledger WHERE seq = ?", [seq]).fetchone()
        return row

    def _entry(self, db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
        invoice = db.execute("SELECT * FROM invoices WHERE id = ?", [row["invoice"]]).fetchone()
        # As it stood right after this entry: a repeated answer must equal the first one.
        entry = dict(row) | {"left_on_invoice": self._left(db, invoice, upto=row["seq"])}
        return {key: value for key, value in entry.items() if key not in {"seq", "call_id"}}


def _check_same(earlier: sqlite3.Row, posting: Posting) -> None:
    if any(earlier[name] != value for name, value in asdict(posting).items()):
        raise Refused(
            f"This call id already stands for {earlier['id']}, which is different; "
            "nothing was written."
        )

"""Creates the deploys example's repository with a small plausible history; used by deploys.py."""

import os
import shutil
import tempfile
from pathlib import Path

from git_command import Git
from releases import Releases

AUTHOR = "Priya Nair <priya.nair@example.com>"
RETRY_ONCE = """\
def capture(payment):
    return gateway.capture(payment.id, payment.amount)
"""
RETRY_THREE_TIMES = """\
CAPTURE_ATTEMPTS = 3
CAPTURE_TIMEOUT_SECONDS = 8


def capture(payment):
    for attempt in range(CAPTURE_ATTEMPTS):
        try:
            # The key makes a repeated capture harmless at the gateway.
            return gateway.capture(
                payment.id,
                payment.amount,
                idempotency_key=payment.id,
                timeout=CAPTURE_TIMEOUT_SECONDS,
            )
        except gateway.TimedOut:
            if attempt == CAPTURE_ATTEMPTS - 1:
                raise
"""
TAX_ON_TOTAL = "def tax(lines, rate):\n    return round(sum(line.net for line in lines) * rate)\n"
TAX_PER_LINE = "def tax(lines, rate):\n    return sum(round(line.net * rate) for line in lines)\n"

# release, seconds since 1970, summary, files that changed
HISTORY: list[tuple[str, int, str, dict[str, str]]] = [
    (
        "v3.16.0",
        1790762400,
        "Show delivery dates in the basket",
        {
            "README.md": "# Lamps online\n\nOne folder per service under services/.\n",
            "services/checkout-api/capture.py": RETRY_ONCE,
            "services/checkout-api/tax.py": TAX_ON_TOTAL,
            "services/storefront/basket.html": "<p>Arrives {{ basket.delivery_on }}</p>\n",
        },
    ),
    (
        "v3.17.0",
        1792490400,
        "Round tax per line, as the invoices do",
        {"services/checkout-api/tax.py": TAX_PER_LINE},
    ),
    (
        "v3.17.1",
        1793012400,
        "Name the currency in the basket",
        {
            "services/storefront/basket.html": (
                "<p>{{ basket.total }} {{ basket.currency }}, arrives "
                "{{ basket.delivery_on }}</p>\n"
            )
        },
    ),
    (
        "v3.18.0",
        1795003200,
        "Retry a payment capture that timed out",
        {"services/checkout-api/capture.py": RETRY_THREE_TIMES},
    ),
]
DEPLOYED = [
    ("checkout-api", "v3.16.0", "production"),
    ("storefront", "v3.16.0", "production"),
    ("checkout-api", "v3.17.0", "production"),
    ("storefront", "v3.17.1", "production"),
    ("checkout-api", "v3.18.0", "staging"),
    ("storefront", "v3.17.1", "staging"),
]


def ensure_repository(folder: Path) -> Releases:
    """Return the releases in this folder; create the seeded repository when there is none.

    Raises:
        OSError, GitFailed: it cannot be created, or the folder holds something else.
    """
    if not (folder / ".git").is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _create(folder)
    return Releases(folder)


def _create(folder: Path) -> None:
    # Built aside and renamed, so that two servers starting at once see all of it or nothing.
    aside = Path(tempfile.mkdtemp(prefix=".seed-", dir=folder.parent))
    try:
        _seed(aside)
        os.rename(aside, folder)
    except OSError:
        if not (folder / ".git").is_dir():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _seed(folder: Path) -> None:
    git = Git(folder)
    git.run("init", "--quiet", "--template=", "--initial-branch=main")
    git.run("fast-import", "--quiet", stdin="".join(map(_imported, HISTORY)))
    git.run("read-tree", "-u", "--reset", "main")
    releases = Releases(folder)
    for service, release, environment in DEPLOYED:
        releases.deploy(service, release, environment, None)


def _imported(point: tuple[str, int, str, dict[str, str]]) -> str:
    release, seconds, summary, files = point
    when = f"{AUTHOR} {seconds} +0000"
    written = "".join(f"M 100644 inline {path}\n{_data(text)}" for path, text in files.items())
    return (
        f"commit refs/heads/main\ncommitter {when}\n{_data(summary)}{written}\n"
        f"tag {release}\nfrom refs/heads/main\ntagger {when}\n{_data(summary)}"
    )


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"

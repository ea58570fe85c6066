"""An MCP server over a local git repository: lists and compares releases, deploys, rolls back.

Run it as `python3 examples/deploys.py [--repo DIR] [--http --port N]`; see examples/README.md.
"""

from serving import ROOT  # isort: skip  # first: it enters the project's .venv

from collections.abc import Callable
from pathlib import Path

import mcp_types as t
from git_command import GitFailed
from release_seed import ensure_repository
from releases import ENVIRONMENTS, Releases
from schemas import list_of, object_of, text, whole
from serving import Answer, Arguments, Offer, make_server, reason, serve, stop, transport_arguments

DEFAULT_LIMIT = 10

RELEASE = text("A tagged release, like v3.18.0", pattern="^v[0-9]{1,4}(\\.[0-9]{1,4}){2}$")
SERVICE = text("A service, like checkout-api", pattern="^[a-z][a-z0-9-]{0,39}$")
ENVIRONMENT = text("Where it runs", enum=list(ENVIRONMENTS))
COMMIT = text("Commit id", pattern="^[0-9a-f]{40,64}$")


RELEASE_LIST = object_of(
    {
        "releases": list_of(
            object_of(
                {
                    "release": RELEASE,
                    "commit": COMMIT,
                    "released_at": text("When it was tagged", format="date-time"),
                    "summary": text("What it brings"),
                    "services": list_of(SERVICE),
                }
            )
        ),
        "running": list_of(
            object_of({"environment": ENVIRONMENT, "service": SERVICE, "release": RELEASE})
        ),
    }
)
DIFFERENCE = object_of(
    {
        "from": RELEASE,
        "to": RELEASE,
        "files": list_of(
            object_of(
                {
                    "path": text("Path in the repository"),
                    "added": whole("Lines added", minimum=0),
                    "removed": whole("Lines removed", minimum=0),
                }
            )
        ),
        "patch": text("Unified diff"),
        "is_cut": {"type": "boolean", "description": "Whether there was more than is shown"},
    }
)
MOVE = object_of(
    {
        "action": text("What was done", enum=["deploy", "rollback"]),
        "service": SERVICE,
        "environment": ENVIRONMENT,
        "release": RELEASE,
        "previous": {"type": ["string", "null"], "description": "What ran there until now"},
        "at": text("When, UTC", format="date-time"),
        "branch": text("The branch that moved"),
        "commit": COMMIT,
    }
)

READS = t.ToolAnnotations(read_only_hint=True, open_world_hint=False)
# Both replace what runs, and each call adds to the history of the environment.
REPLACES = t.ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)


def _list_releases(releases: Releases, arguments: Arguments, _: str | None) -> Answer:
    service = arguments.get("service")
    found = releases.listed(service, int(arguments.get("limit", DEFAULT_LIMIT)))
    running = releases.running(service)
    lines = [f"{one['release']} {one['released_at'][:10]}: {one['summary']}" for one in found]
    lines += [f"{r['environment']} runs {r['service']} {r['release']}" for r in running]
    return Answer("\n".join(lines) or "No releases.", {"releases": found, "running": running})


def _diff_release(releases: Releases, arguments: Arguments, _: str | None) -> Answer:
    found = releases.difference(arguments["from"], arguments["to"])
    cut = "\n(cut here)" if found["is_cut"] else ""
    return Answer((found["patch"] or "No difference.") + cut, found)


def _deploy(releases: Releases, arguments: Arguments, call_id: str | None) -> Answer:
    done = releases.deploy(**arguments, call_id=call_id)
    before = f" instead of {done['previous']}" if done["previous"] else ""
    sentence = f"{done['environment']} now runs {done['service']} {done['release']}{before}."
    return Answer(sentence, done)


def _rollback(releases: Releases, arguments: Arguments, call_id: str | None) -> Answer:
    done = releases.roll_back(**arguments, call_id=call_id)
    sentence = f"{done['environment']} is back on {done['service']} {done['release']}."
    return Answer(sentence, done)


Act = Callable[[Releases, Arguments, str | None], Answer]
TOOLS: list[tuple[Act, t.Tool]] = [
    (
        _list_releases,
        t.Tool(
            name="list_releases",
            title="List releases",
            description="Return tagged releases, newest first, and which of them runs where.",
            input_schema=object_of(
                {
                    "service": SERVICE,
                    "limit": whole(
                        "How many at most", minimum=1, maximum=50, default=DEFAULT_LIMIT
                    ),
                },
                optional=("service", "limit"),
            ),
            output_schema=RELEASE_LIST,
            annotations=READS,
        ),
    ),
    (
        _diff_release,
        t.Tool(
            name="diff_release",
            title="Compare two releases",
            description="Return the files and lines that differ between two releases.",
            input_schema=object_of({"from": RELEASE, "to": RELEASE}),
            output_schema=DIFFERENCE,
            annotations=READS,
        ),
    ),
    (
        _deploy,
        t.Tool(
            name="deploy",
            title="Deploy a release",
            description="Make a release of a service the one that runs in an environment.",
            input_schema=object_of(
                {"service": SERVICE, "release": RELEASE, "environment": ENVIRONMENT}
            ),
            output_schema=MOVE,
            annotations=REPLACES,
        ),
    ),
    (
        _rollback,
        t.Tool(
            name="rollback",
            title="Roll a service back",
            description=(
                "Return a service to the release that ran in the environment before the present "
                "one. A second rollback goes one further back."
            ),
            input_schema=object_of({"service": SERVICE, "environment": ENVIRONMENT}),
            output_schema=MOVE,
            annotations=REPLACES,
        ),
    ),
]


def main() -> None:
    """Serve the repository named on the command line."""
    parser = transport_arguments("A deploy server over a git repository, speaking MCP.")
    parser.add_argument("--repo", type=Path, default=ROOT / "var" / "deploys")
    options = parser.parse_args()
    try:
        releases = ensure_repository(options.repo.absolute())
    except (OSError, GitFailed) as error:
        stop(f"Cannot use {options.repo} as the repository: {reason(error)}.")
    server = make_server(
        "deploys",
        title="Deploys",
        instructions="Compare the running release with the new one before deploying.",
        offers=[Offer.over(releases, act, tool) for act, tool in TOOLS],
    )
    serve(server, options)


if __name__ == "__main__":
    main()

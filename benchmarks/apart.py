"""Production: web, bridge, worker and beat as processes of their own, as the compose file says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.composing import Composed
from tests.support.running import Installation, free_port

_PARTS = ("web", "bridge", "worker", "beat")


@dataclass
class Apart(Installation):
    """The services of docker-compose.yml on a PostgreSQL and a Redis of their own."""

    services: Composed = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        places = {"DATABASE_URL": self.database_url, "REDIS_URL": self.settings["REDIS_URL"]}
        self.services = Composed(self.data, places, ports={"web": self.port, "bridge": free_port()})
        own = {"SECRET_KEY": "0" * 50, "PUBLIC_URL": self.url, "POSTGRES_PASSWORD": "unused"}
        _write(self.data / ".env", {**self.settings, **own})

    @property
    def agents_url(self) -> str:
        """Return where agents reach the bridge."""
        return self.services.url("bridge")

    def start(self, **settings: str) -> None:
        """Start every part; return when each serves."""
        if settings:
            raise NotImplementedError("its settings are those of its .env")
        for part in _PARTS:
            self.services.start(part)

    def kill(self) -> None:
        """SIGKILL every part."""
        self.services.kill()


def _write(path: Path, variables: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

"""Agents: identities of MCP clients, and the keys they sign in with."""

from django.core.validators import RegexValidator
from django.db import models

from approvals.models.catalog import Domain
from approvals.models.people import Person

READ, WRITE = "read", "write"


class Agent(models.Model):
    """The identity of one MCP client. It can ask; it can never decide."""

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]*$")],
    )
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="agents")
    domains = models.ManyToManyField(Domain, related_name="agents")
    # "write" covers destructive, unreviewed and changed tools: unknown means write.
    may_read = models.BooleanField(default=True)
    may_write = models.BooleanField(default=True)
    grace_seconds = models.PositiveSmallIntegerField(default=25)  # how long a request is held open
    is_paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class AgentKey(models.Model):
    """A bearer key `cs_<prefix>_<secret>` of one agent; only a digest of the secret is kept."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="keys")
    prefix = models.CharField(max_length=12, unique=True)  # public; names the key in pages and logs
    label = models.CharField(max_length=60, blank=True)  # where it is used, in a person's words
    secret_digest = models.CharField(max_length=64)  # SHA-256 hex; the secret has 256 random bits
    acts_for = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # to the minute; a hint

    def __str__(self) -> str:
        return f"{self.agent_id}/{self.prefix}"

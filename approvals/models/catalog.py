"""The catalogue: trust domains, the upstream servers in them, and the tools those list."""

from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from approvals.models.people import Person

RESERVED_DOMAINS = frozenset({"c"})  # /mcp/c/<class> belongs to task classes


class Domain(models.Model):
    """A trust domain: one purpose, one owner, one set of approvers, one reason to trust."""

    name = models.CharField(
        max_length=31,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9-]{1,30}$")],
    )
    purpose = models.CharField(max_length=140, blank=True)  # one sentence; empty is warned about
    owner = models.ForeignKey(
        Person,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="owned_domains",
    )
    # Off lets an agent's owner approve; every page and event then says so.
    four_eyes = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # When who approves here changed; null once the sweep has looked at every call that waits.
    people_changed_at = models.DateTimeField(null=True, default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class ApproverGroup(models.Model):
    """People who may decide calls of a domain; rules name such groups, and never persons."""

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="approver_groups")
    name = models.CharField(max_length=64, default="approvers")
    # Who answers for who is in it; null: whoever answers for the domain.
    owner = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="owned_groups"
    )
    people = models.ManyToManyField(Person, related_name="approver_groups", blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "name"], name="one_group_per_name"),
        ]

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"


class Upstream(models.Model):
    """An MCP server that owns tools; it belongs to one domain."""

    class Transport(models.TextChoices):
        STDIO = "stdio"
        HTTP = "http"

    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="upstreams")
    name = models.CharField(
        max_length=40, unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")]
    )
    transport = models.CharField(max_length=8, choices=Transport.choices)
    # stdio: {"command", "args", "env", "cwd"?}; http: {"url", "headers"}. Secrets only as ${NAME}.
    launch = models.JSONField(default=dict)
    # The second set of credentials, for writes: {"env"} or {"headers"}; null: one set for both.
    write_credentials = models.JSONField(null=True, blank=True)
    is_enabled = models.BooleanField(default=True)
    listed_at = models.DateTimeField(null=True, blank=True)  # last successful tools/list
    list_error = models.CharField(max_length=500, blank=True)  # why the last one failed
    dropped_tools = models.JSONField(default=list)  # [{"name", "why"}] refused from the last list
    server_info = models.JSONField(default=dict)  # what the server says of itself; untrusted
    # Whose call was claimed last, by id; the next agent has the next turn. Of no other meaning.
    turn_of = models.BigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Return what identifies the server: its URL, or its command line."""
        if self.transport == self.Transport.HTTP:
            return str(self.launch["url"])
        return " ".join([str(self.launch["command"]), *map(str, self.launch.get("args", []))])

    @property
    def credential_ref(self) -> str:
        """Return the *reference* to what a release signs in with; never a value."""
        kind = "shared" if self.write_credentials is None else "write"
        source: dict[str, Any] = self.write_credentials or self.launch
        references = {**source.get("env", {}), **source.get("headers", {})}
        return f"{self.name}/{kind}:" + ",".join(f"{k}={references[k]}" for k in sorted(references))


class Tool(models.Model):
    """One tool of an upstream as it is listed now, and what a person decided it does."""

    class Effect(models.TextChoices):
        READ = "read"
        WRITE = "write"
        DESTRUCTIVE = "destructive"

    UNREVIEWED = "unreviewed"
    CHANGED = "changed"

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=200)  # as the upstream calls it
    exposed_name = models.CharField(max_length=64, unique=True)  # as agents call it
    title = models.CharField(max_length=200, blank=True)  # untrusted text of the upstream
    definition_digest = models.CharField(max_length=64)  # what the upstream lists now
    # Digest by credential set ("plain", "write") that lists the tool now.
    listed_digests = models.JSONField(default=dict)
    # Two credential sets list two definitions under this name: not trusted, reviewed or not.
    is_ambiguous = models.BooleanField(default=False)
    is_listed = models.BooleanField(default=True)  # False: gone from the last list
    reviewed_effect = models.CharField(max_length=12, choices=Effect.choices, blank=True)
    reviewed_digest = models.CharField(max_length=64, blank=True)  # the definition the person saw
    reviewed_by = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)  # when the definition last changed
    # How a call of it reads; holds only for the definition it was written for.
    template = models.CharField(max_length=300, blank=True)
    template_digest = models.CharField(max_length=64, blank=True)
    last_called_at = models.DateTimeField(null=True, blank=True)  # to the minute; a hint

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upstream", "name"], name="one_tool_per_name"),
        ]

    def __str__(self) -> str:
        return self.exposed_name

    # The columns that say what a tool does, as `judged` takes them.
    JUDGED_BY = ("reviewed_effect", "is_ambiguous", "reviewed_digest", "definition_digest")

    @property
    def effect(self) -> str:
        """Return read, write or destructive as reviewed; else unreviewed or changed."""
        return self.judged(*(getattr(self, name) for name in self.JUDGED_BY))

    @classmethod
    def judged(cls, effect: str, is_ambiguous: bool, reviewed: str, listed: str) -> str:
        """Return the same of bare columns, where thousands of tools are looked at."""
        if not effect:
            return cls.UNREVIEWED
        if is_ambiguous or reviewed != listed:
            return cls.CHANGED
        return effect


class ToolDefinition(models.Model):
    """A definition some upstream once listed, kept for ever so that a digest can be read again."""

    digest = models.CharField(max_length=64, primary_key=True)
    body = models.BinaryField()  # RFC 8785 bytes: name, title, description, schemas, annotations
    seen_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest

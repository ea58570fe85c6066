"""The table by which history and insights find calls, and a row for each call there is."""

from datetime import UTC
from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def fill(apps: Any, schema_editor: Any) -> None:
    """Write a row for every call there is, as `approvals.searching` did at this version."""
    calls = apps.get_model("approvals", "ToolCall").objects.defer("arguments", "result")
    related = calls.select_related("agent", "domain", "tool", "owner", "acts_for")
    rows = related.prefetch_related("decisions__approver").order_by("created_at")
    model = apps.get_model("approvals", "HistoryRow")
    batch = []
    for call in rows.iterator(chunk_size=1000):
        batch.append(model(**row_of(call)))
        if len(batch) == 1000:
            model.objects.bulk_create(batch)
            batch = []
    model.objects.bulk_create(batch)


def row_of(call: Any) -> dict[str, Any]:
    """Return the columns of a call's row."""
    decisions = sorted(call.decisions.all(), key=lambda one: (one.at, one.pk))
    deciders = "".join(f",{one.approver.username}" for one in decisions)
    asked = [
        call.sentence, call.tool_name, call.tool.title, call.agent.name, call.domain.name,
        *(name(person) for person in dict.fromkeys((call.owner, call.acts_for))), call.claimed_acts_for,
        str(call.pk), call.binding[:20], call.arguments_digest[:20],
    ]
    said = [f"{name(one.approver)} {one.reason}" for one in decisions]
    return {
        "call_id": call.pk, "created_at": call.created_at,
        "day": call.created_at.astimezone(UTC).date(), "domain_id": call.domain_id,
        "agent_id": call.agent_id, "owner_id": call.owner_id, "acts_for_id": call.acts_for_id,
        "tool_name": call.tool_name, "status": call.status, "by_rule": call.quorum == 0,
        "deciders": f"{deciders}," if deciders else
        f"rule:{call.rule.get('name', '')}" if call.quorum == 0 else "",
        "decided_seconds": decided_seconds(call, decisions),
        "text": "\n".join(filter(None, asked)).lower(),
        "said": "\n".join(filter(None, [*said, call.status_reason])).lower(),
    }


def name(person: Any) -> str:
    """Return a sign-in name and the name people read."""
    return f"{person.username} {person.first_name} {person.last_name}".strip()


def decided_seconds(call: Any, decisions: list[Any]) -> int | None:
    """Return how long people took to decide, if they did."""
    rejected = [one.at for one in decisions if one.verdict == "reject"]
    approved = [one.at for one in decisions if one.verdict == "approve"]
    if not rejected and not 0 < call.quorum <= len(approved):
        return None
    at = min(rejected) if rejected else approved[call.quorum - 1]
    return max(0, int((at - call.created_at).total_seconds()))


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0002_pages'),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoryRow',
            fields=[
                ('call', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='history_row', serialize=False, to='approvals.toolcall')),
                ('created_at', models.DateTimeField()),
                ('day', models.DateField()),
                ('tool_name', models.CharField(max_length=64)),
                ('status', models.CharField(max_length=12)),
                ('by_rule', models.BooleanField()),
                ('deciders', models.TextField()),
                ('decided_seconds', models.PositiveIntegerField(null=True)),
                ('text', models.TextField()),
                ('said', models.TextField()),
                ('acts_for', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('agent', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='approvals.agent')),
                ('domain', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='approvals.domain')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [
                    models.Index(fields=['-created_at', '-call'], name='history_newest'),
                    models.Index(fields=['day', 'status', 'by_rule', 'domain', 'owner', 'acts_for'], name='history_by_day'),
                    models.Index(fields=['status', 'domain', 'tool_name', 'agent', 'deciders', 'owner', 'acts_for'], name='history_facets'),
                ],
            },
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['status', 'domain', 'four_eyes', 'owner', 'acts_for', 'id'], name='call_waiting'),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['status', 'moved_at'], name='call_by_move'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]

"""Two indexes for what the sweep asks every second, so that it does not look through all calls."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0010_stages"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="toolcall",
            index=models.Index(
                condition=Q(settled_at=None),
                fields=["tool", "definition_digest", "status"],
                name="call_unsettled",
            ),
        ),
        migrations.AddIndex(
            model_name="toolcall",
            index=models.Index(
                condition=Q(joins_repeats=True), fields=["settled_at"], name="call_joined"
            ),
        ),
    ]

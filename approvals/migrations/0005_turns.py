"""Whose turn it is at an upstream, and the index by which the next call there is found."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0004_indexes_that_answer_alone"),
    ]

    operations = [
        migrations.AddField(
            model_name="upstream",
            name="turn_of",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddIndex(
            model_name="toolcall",
            index=models.Index(
                fields=["upstream", "status", "agent", "moved_at"], name="call_of_upstream"
            ),
        ),
    ]

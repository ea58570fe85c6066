"""Why a call is held although its rule says otherwise, and the index that counts its forerunners."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0006_policy_reasons"),
    ]

    operations = [
        migrations.AddField(
            model_name="toolcall",
            name="held_because",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
        migrations.AddIndex(
            model_name="toolcall",
            index=models.Index(
                fields=["agent", "tool", "created_at"], name="call_of_agent_and_tool"
            ),
        ),
    ]

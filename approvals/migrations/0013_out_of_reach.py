"""Calls that too few people are left to approve, and where the sweep looks for them."""


import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0012_backtests'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='toolcall',
            name='call_waiting',
        ),
        migrations.AddField(
            model_name='domain',
            name='people_changed_at',
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='is_out_of_reach',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['status', 'domain', 'four_eyes', 'owner', 'acts_for', 'version', 'asked_group', 'escalated_to', 'is_out_of_reach', 'id'], name='call_waiting'),
        ),
    ]

"""Stages: who owns a group, in which stage a person decided, and whom a call waits for by now."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0009_freezes'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='toolcall',
            name='call_waiting',
        ),
        migrations.AddField(
            model_name='approvergroup',
            name='owner',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='owned_groups', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='decision',
            name='stage',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='asked_group',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='escalated_to',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='reminders',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='stage',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='toolcall',
            name='attend_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['status', 'attend_at'], name='call_to_attend'),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['status', 'domain', 'four_eyes', 'owner', 'acts_for', 'version', 'asked_group', 'escalated_to', 'id'], name='call_waiting'),
        ),
    ]

"""Proposals: working copies of the rules, and what waits for a second signature."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0010_stages'),
    ]

    operations = [
        migrations.CreateModel(
            name='PolicyDraft',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('based_on', models.PositiveIntegerField()),
                ('document', models.JSONField()),
                ('revision', models.PositiveIntegerField(default=1)),
                ('changed_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Proposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('document', models.JSONField()),
                ('based_on', models.PositiveIntegerField()),
                ('source', models.CharField(max_length=200)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('proposed_by', models.CharField(max_length=64)),
                ('evidence', models.JSONField()),
                ('effect', models.JSONField(default=dict)),
                ('state', models.CharField(choices=[('open', 'Open'), ('signed', 'Signed'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired'), ('applied', 'Applied')], default='open', max_length=12)),
                ('opened_at', models.DateTimeField()),
                ('applies_at', models.DateTimeField(null=True)),
                ('expires_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('end_reason', models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.AddField(
            model_name='policyversion',
            name='effect',
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='signed_by',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(fields=['policy_version', 'quorum', 'status'], name='call_of_version'),
        ),
        migrations.AddField(
            model_name='policydraft',
            name='author',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='policy_draft', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='proposal',
            name='proposer',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='proposals', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='proposal',
            name='signed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='signed_proposals', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='proposal',
            name='version',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='proposal', to='approvals.policyversion'),
        ),
        migrations.AddIndex(
            model_name='proposal',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['expires_at'], name='proposal_that_waits'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(('signed_by', None), ('proposer', None), models.Q(('signed_by', models.F('proposer')), _negated=True), _connector='OR'), name='proposal_signed_by_another'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('signed_by__isnull', False), ('state', 'signed')), models.Q(models.Q(('state', 'signed'), _negated=True), ('signed_by', None)), _connector='OR'), name='proposal_signed_has_a_signer'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['signed', 'applied']), ('version__isnull', False)), models.Q(models.Q(('state__in', ['signed', 'applied']), _negated=True), ('version', None)), _connector='OR'), name='proposal_in_force_has_a_version'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='proposal_open_has_not_ended'),
        ),
    ]

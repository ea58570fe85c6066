"""What admitted calls took of budgets, and repeats of what was rejected."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0007_conditions'),
    ]

    operations = [
        migrations.CreateModel(
            name='BudgetLock',
            fields=[
                ('rule', models.CharField(max_length=100, primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name='BudgetUse',
            fields=[
                ('call', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='budget_use', serialize=False, to='approvals.toolcall')),
                ('rule', models.CharField(max_length=100)),
                ('account', models.CharField(max_length=100)),
                ('counts', models.CharField(blank=True, max_length=300)),
                ('amount', models.BigIntegerField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='toolcall',
            name='repeats',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddIndex(
            model_name='toolcall',
            index=models.Index(condition=models.Q(('status', 'rejected')), fields=['agent', 'arguments_digest'], name='call_rejected'),
        ),
        migrations.AddIndex(
            model_name='budgetuse',
            index=models.Index(fields=['rule', 'account', 'at'], name='budget_spent'),
        ),
    ]

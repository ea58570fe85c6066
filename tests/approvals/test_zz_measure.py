import time, uuid
from datetime import timedelta
from django.db import connection
from django.db.models import F, Q
from approvals import guards, lifecycle, observations
from approvals.administration import catalog
from approvals.models import ToolCall
def old():
    unsent = ToolCall.objects.filter(status__in=lifecycle.UNSENT)
    other = ~Q(tool__definition_digest=F("definition_digest"))
    stale = unsent.filter(other | Q(tool__is_listed=False))
    return list(stale.order_by("needs_attention", "created_at").values_list("pk", "tool__is_listed"))
def test_measure(held_call):
    call = held_call(); done = held_call(status="rejected", arguments={"a": 1})
    guards.drop()
    for row in (call, done):
        rows = []
        for n in range(8000):
            row.pk = uuid.uuid4(); row.arguments_digest = f"{n:064}"; row._state.adding = True
            if row.settled_at: row.joins_repeats = False
            rows.append(ToolCall(**{f.attname: getattr(row, f.attname) for f in ToolCall._meta.concrete_fields}))
        ToolCall.objects.bulk_create(rows, batch_size=500)
    with connection.cursor() as c:
        c.execute("ANALYZE")
    for name, fn in {"old": old, "new": catalog.stale_calls, "close": lambda: observations.close_repeats(after=timedelta(minutes=10))}.items():
        ts = []
        for _ in range(7):
            b = time.perf_counter(); cpu = time.process_time(); fn(); ts.append((time.perf_counter() - b, time.process_time() - cpu))
        ts.sort(); print("\nTIME", name, f"{ts[3][0]*1e3:.1f} ms wall, {ts[3][1]*1e3:.1f} cpu, min {ts[0][0]*1e3:.1f}")
    print("TIME plan", catalog._tools_with_stale_calls().explain())

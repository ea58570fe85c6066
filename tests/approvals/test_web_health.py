"""What operators and load balancers ask: is it alive, is it ready, and if not, why."""

from datetime import timedelta

import pytest

from approvals import guards
from approvals.models import Heartbeat, database_now
from tests.support import listening
from tests.support.visiting import visitor


def beat(age: timedelta = timedelta(0)) -> None:
    Heartbeat.objects.create(name="sweep", at=database_now() - age)


def ready():
    response = visitor().get("/readyz")
    return response.status_code, response.json()["checks"]


def test_a_process_that_runs_is_alive_without_asking_anybody():
    response = visitor().get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_it_is_ready_when_everything_it_needs_is_there(db):
    beat()

    assert ready() == (200, dict.fromkeys(("database", "broker", "sweep", "guards"), "ok"))


@pytest.mark.parametrize(("age", "words"), [(None, "never run"), (60, "60 s late")])
def test_it_is_not_ready_without_sweeps(db, age, words):
    if age:
        beat(timedelta(seconds=age))

    status, checks = ready()

    assert status == 503
    assert words in checks["sweep"]


def test_it_is_not_ready_without_a_broker(db):
    beat()

    with listening.broken_broker():
        status, checks = ready()

    assert status == 503
    assert checks["broker"] == "The broker does not answer."


def test_it_is_not_ready_without_its_guards(transactional_db):
    beat()
    guards.drop()

    status, checks = ready()

    assert status == 503
    assert "is missing; run `manage.py migrate`" in checks["guards"]


def test_health_tells_strangers_nothing_of_calls(world, held_call):
    call = held_call()

    assert str(call.pk) not in visitor().get("/readyz").content.decode()

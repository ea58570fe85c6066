"""The Celery worker inside our processes goes on after Celery has given up."""

from celery.worker import state

from config.celery import app
from config.embedded import EmbeddedWorker
from tests.support.running import until

NAME = "one@localhost"


def queues() -> object:
    """Return what the worker takes messages from, by its own answer; None where it has none."""
    return app.control.inspect(destination=[NAME], timeout=1).active_queues()


def test_it_takes_messages_again_after_celery_gave_up(world, transactional_db, monkeypatch):
    monkeypatch.setitem(vars(state), "should_stop", None)  # the worker's stop leaves a mark there
    worker = EmbeddedWorker(app, domains=["billing"], concurrency=1, name=NAME)
    worker.start()
    try:
        before = until(queues, "an answer of the worker")
        # What Celery itself does after an error that it calls unrecoverable.
        assert worker._controller is not None
        worker._controller.stop(exitcode=1)
        assert queues() is None

        assert until(queues, "an answer of the worker that was started again") == before
    finally:
        assert worker.stop(10)

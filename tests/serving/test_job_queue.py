"""The queue: bounded, fair between clients, in order within one."""

from types import SimpleNamespace

import pytest

from host.errors import ClusterError
from host.serving.job import Failed, Job
from host.serving.job_queue import JobQueue, QueueFull


def make(client, number=0):
    events = []
    job = Job(SimpleNamespace(number=number), client, events.append)
    job.events = events
    return job


def taken(queue):
    return [(job.client, job.task.number) for job in iter(queue.take, None)]


def test_clients_take_turns_and_each_ones_jobs_are_in_order():
    queue = JobQueue(9)
    for number in range(4):
        queue.put(make("a", number))
    queue.put(make("b", 10))
    queue.put(make("c", 20))
    queue.put(make("b", 11))
    assert taken(queue) == [
        ("a", 0), ("b", 10), ("c", 20), ("a", 1), ("b", 11), ("a", 2), ("a", 3),
    ]  # fmt: skip
    assert len(queue) == 0 and queue.take() is None


def test_more_than_its_bound_is_refused_with_the_time_after_which_to_ask_again():
    queue = JobQueue(3)
    for number, client in enumerate("abc"):
        queue.put(make(client, number))
    for _ in range(50):
        queue.note_duration(4.0)
    with pytest.raises(QueueFull, match="^3 requests wait already: try again in 12 s$") as caught:
        queue.put(make("d"))
    assert caught.value.retry_after == 12
    queue.take()
    queue.put(make("d"))


def test_who_has_most_gives_way_where_there_is_no_room():
    queue = JobQueue(4)
    jobs = [make("a", number) for number in range(4)]
    for job in jobs:
        queue.put(job)
    queue.put(make("b", 10))
    queue.put(make("b", 11))
    for client in "ab":
        with pytest.raises(QueueFull):
            queue.put(make(client))
    for job in jobs[2:]:
        (event,) = job.events
        assert isinstance(event.error, QueueFull) and event.error.retry_after > 0
    assert jobs[0].events == [] and len(queue) == 4
    assert taken(queue) == [("a", 0), ("b", 10), ("a", 1), ("b", 11)]


def test_no_job_that_had_begun_gives_way():
    queue = JobQueue(1)
    queue.put_back([make("a", 1), make("a", 2)])
    with pytest.raises(QueueFull):
        queue.put(make("b"))
    assert len(queue) == 2


def test_who_has_gone_takes_no_room_and_no_turn():
    queue = JobQueue(2)
    first, second = make("a", 1), make("a", 2)
    queue.put(first)
    queue.put(second)
    queue.cancel(first)
    assert first.is_cancelled and len(queue) == 1
    queue.put(make("b", 3))
    assert taken(queue) == [("a", 2), ("b", 3)]
    queue.cancel(first)  # again, and of one that runs: no harm
    queue.cancel(second)


def test_what_had_begun_goes_on_first_and_is_never_refused():
    queue = JobQueue(1)
    queue.put(make("a", 1))
    queue.put_back([make("b", 2), make("c", 3)])
    assert len(queue) == 3
    gone = make("d", 4)
    gone.is_cancelled = True
    queue.put_back([gone])
    assert taken(queue) == [("b", 2), ("c", 3), ("a", 1)] and len(queue) == 0


def test_closing_fails_all_that_wait():
    queue = JobQueue(2)
    job = make("a")
    queue.put(job)
    error = ClusterError("the server stops")
    queue.close(error)
    assert job.events == [Failed(error)] and not queue.wait(60)

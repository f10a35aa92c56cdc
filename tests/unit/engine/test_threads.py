"""The pool of daemon threads: bounded, made when needed, and no reason for a process not to end."""

import threading

import pytest

from perdure.engine.threads import DaemonThreads

SECONDS_MOST = 10


def test_what_is_submitted_runs_on_another_thread_and_its_result_or_error_comes_back() -> None:
    threads = DaemonThreads(2)

    def fail() -> None:
        raise SystemExit("no")

    assert threads.submit(threading.get_ident).result(SECONDS_MOST) != threading.get_ident()
    with pytest.raises(SystemExit, match="no"):
        threads.submit(fail).result(SECONDS_MOST)
    assert threads.submit(lambda: "still there").result(SECONDS_MOST) == "still there"
    threads.close()


def test_no_more_threads_are_made_than_allowed_and_the_rest_waits() -> None:
    threads, may_end, executing = DaemonThreads(3), threading.Event(), threading.Semaphore(0)

    def work() -> int:
        executing.release()
        may_end.wait(SECONDS_MOST)
        return threading.get_ident()

    futures = [threads.submit(work) for _ in range(10)]
    for _ in range(3):
        assert executing.acquire(timeout=SECONDS_MOST)
    assert not executing.acquire(blocking=False)
    may_end.set()

    assert len({future.result(SECONDS_MOST) for future in futures}) == 3
    threads.close()


def test_a_thread_that_is_free_is_used_again() -> None:
    threads = DaemonThreads(10)
    used = set()
    for _ in range(5):
        used.add(threads.submit(threading.get_ident).result(SECONDS_MOST))
        while not threads._idle._value:  # it says that it is free a moment after it has answered
            pass
    assert len(used) == 1
    threads.close()


def test_all_threads_are_daemons_and_end_when_the_pool_is_closed() -> None:
    threads = DaemonThreads(2)
    threads.submit(lambda: None).result(SECONDS_MOST)
    assert all(thread.daemon for thread in threads._threads)

    threads.close()
    for thread in threads._threads:
        thread.join(SECONDS_MOST)
        assert not thread.is_alive()

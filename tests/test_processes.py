"""Work in parallel comes back in order, no more of it than asked for, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from medgen.processes import cores, in_order, process_pool, workers


def test_cores_where_the_system_tells_which_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 7}, raising=False)
    assert cores() == 3


@pytest.mark.parametrize(("count", "expected"), [(10, 10), (None, 1)])
def test_cores_where_it_does_not(monkeypatch, count, expected):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cores() == expected


def slowest_first(task: int) -> int:
    time.sleep(0.05 * (4 - task) if task < 4 else 0)
    return task * task


def test_in_order_whoever_is_first():
    with ThreadPoolExecutor(4) as pool:
        assert list(in_order(pool, slowest_first, range(6), ahead=4)) == [0, 1, 4, 9, 16, 25]


def test_tasks_are_taken_as_results_are():
    taken = []

    def tasks():
        for n in range(50):
            taken.append(n)
            yield n

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, str, tasks(), ahead=3)
        assert not taken
        assert [next(results) for _ in range(4)] == ["0", "1", "2", "3"]
        assert taken == list(range(6))
    alone = in_order(None, str, tasks(), ahead=3)
    assert (next(alone), len(taken)) == ("0", 7)


def test_what_nobody_asks_for_is_not_begun():
    go, begun = Event(), []

    def work(task):
        begun.append(task)
        go.wait(10)
        return task

    with ThreadPoolExecutor(1) as pool:
        go.set()
        results = in_order(pool, work, range(20), ahead=10)
        next(results)
        go.clear()
        results.close()
        go.set()
    assert len(begun) < 10


def fails_at_2(task: int) -> int:
    return 1 // (task - 2)


def test_an_error_comes_in_its_place():
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, fails_at_2, range(5), ahead=4)
        assert [next(results), next(results)] == [-1, -1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_one_job_is_done_here_and_two_in_other_processes():
    with workers(1) as nobody:
        assert nobody is None
    with workers(2) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


def test_ctrl_c_is_left_to_who_started_them():
    with process_pool(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() is signal.SIG_IGN


STARTING = """
import signal, sys, time
from medgen.processes import process_pool

def work():
    time.sleep(600)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored in the background
    pool = process_pool(2)
    futures = [pool.submit(work) for _ in range(2)]
    print("started", flush=True)
    time.sleep(600)
else:
    time.sleep(1)  # a long way to the first task
"""


def test_ctrl_c_while_processes_start_makes_no_tracebacks_but_one(tmp_path):
    """As a terminal sends it: to all of them."""
    script, said = tmp_path / "starting.py", tmp_path / "said"
    script.write_text(STARTING)
    with open(said, "w") as errors:
        parent = subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip
    assert parent.stdout.readline() == "started\n"
    time.sleep(0.5)  # until the processes are there, and import the script
    os.killpg(parent.pid, signal.SIGINT)
    while "KeyboardInterrupt" not in said.read_text():
        time.sleep(0.05)
    time.sleep(1)  # for others, if there were any
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert said.read_text().count("KeyboardInterrupt") == 1


PARENT = """
import os, time
from medgen.processes import process_pool
if __name__ == "__main__":
    pool = process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 100)
    time.sleep(100)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by a signal")
def test_none_outlives_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(200):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("The process is still there.")

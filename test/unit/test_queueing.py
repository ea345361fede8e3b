"""The queue in front of the networks, between threads and between processes."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bioseg.errors import Busy
from bioseg.queueing import Queue


def queue(folder: Path, waiting: int) -> Queue:
    return Queue(folder, waiting)


class Crowd:
    """Threads that hold or await a turn until they are let go."""

    def __init__(self, serving: Queue) -> None:
        self.serving = serving
        self.inside: list[int] = []
        self.most = 0
        self.busy = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def join(self) -> threading.Thread:
        thread = threading.Thread(target=self._visit, daemon=True)
        thread.start()
        return thread

    def _visit(self) -> None:
        try:
            with self.serving.place(), self.serving.turn():
                self.inside.append(1)
                self.most = max(self.most, len(self.inside))
                self.entered.release()
                self.leave.acquire(timeout=20)
                self.inside.pop()
        except Busy:
            self.busy.release()


class TestQueue:
    def test_one_runs_and_the_queue_waits_and_the_next_is_turned_away(self, tmp_path):
        crowd = Crowd(queue(tmp_path, 2))
        threads = [crowd.join() for _ in range(4)]
        assert crowd.busy.acquire(timeout=10)
        assert not crowd.busy.acquire(timeout=0.05)
        for _ in threads:
            crowd.leave.release()
        for thread in threads:
            thread.join(10)
        assert crowd.most == 1

    def test_everyone_in_the_queue_gets_a_turn(self, tmp_path):
        crowd = Crowd(queue(tmp_path, 3))
        threads = [crowd.join() for _ in range(4)]
        turns = []
        for _ in threads:
            turns.append(crowd.entered.acquire(timeout=10))
            crowd.leave.release()
        assert turns == [True] * 4

    def test_without_a_queue_the_second_is_turned_away(self, tmp_path):
        serving = queue(tmp_path, 0)
        with serving.place(), pytest.raises(Busy, match="one request runs and 0 wait"), serving.place():
            pass

    def test_a_failure_gives_place_and_turn_back(self, tmp_path):
        serving = queue(tmp_path, 0)
        with pytest.raises(ZeroDivisionError), serving.place(), serving.turn():
            raise ZeroDivisionError
        with serving.place(), serving.turn():
            assert True

    def test_may_be_checked_without_taking_a_place(self, tmp_path):
        serving = queue(tmp_path, 0)
        serving.check()
        with serving.place():
            pass

    def test_is_checked_as_full(self, tmp_path):
        serving = queue(tmp_path, 0)
        with serving.place(), pytest.raises(Busy):
            serving.check()


class TestStandingLoad:
    @pytest.fixture
    def experienced(self, tmp_path):
        """A queue whose turns take a fifth of a second."""
        serving = queue(tmp_path, 1)
        with serving.turn():
            time.sleep(0.2)
        return serving

    def test_a_burst_may_wait(self, experienced):
        with experienced.place(), experienced.turn(), experienced.place():
            assert True

    def test_who_was_turned_away_makes_those_wait_no_longer_who_come_at_once(self, experienced):
        with experienced.place(), experienced.turn():
            with experienced.place(), pytest.raises(Busy):
                experienced.check()
            with pytest.raises(Busy):
                experienced.check()

    def test_those_may_wait_whose_turn_comes_soon(self, experienced):
        with experienced.place(), experienced.turn():
            with experienced.place(), pytest.raises(Busy):
                experienced.check()
            time.sleep(0.15)
            experienced.check()

    def test_an_idle_queue_takes_the_next_one_at_once(self, experienced):
        with experienced.place(), experienced.turn(), experienced.place(), pytest.raises(Busy):
            experienced.check()
        time.sleep(0.25)
        with experienced.place():
            assert True


HOLDER = """
import sys, time
from pathlib import Path
from bioseg.queueing import Queue
with Queue(Path(sys.argv[1]), 0).place():
    print("holding", flush=True)
    time.sleep(60)
"""


class TestProcesses:
    @pytest.fixture
    def holder(self, tmp_path):
        command = [sys.executable, "-c", HOLDER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "holding\n"
            yield process
            process.kill()

    @pytest.mark.usefixtures("holder")
    def test_share_the_places(self, tmp_path):
        with pytest.raises(Busy), queue(tmp_path, 0).place():
            pass

    def test_that_are_killed_give_their_place_back(self, tmp_path, holder):
        holder.kill()
        holder.wait()
        with queue(tmp_path, 0).place():
            assert True

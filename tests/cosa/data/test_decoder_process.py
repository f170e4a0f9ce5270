"""Another process decodes: what it gives and raises, and what becomes of it when it hangs, crashes or is left alone."""

import os
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cosa.data import decoder_process
from cosa.data.clip_errors import CrashedError, DamagedClipError, HungError
from cosa.data.decoder_process import DecoderProcess, StartError


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    made = DecoderProcess(60.0)
    yield made
    made.close()


def doubled(*numbers: int) -> Iterator[int]:
    yield from (2 * number for number in numbers)


def own_id() -> Iterator[int]:
    yield os.getpid()


def length(content: bytes) -> Iterator[int]:
    yield len(content)


def damaged() -> Iterator[int]:
    yield 1
    raise DamagedClipError("a.mp4 is damaged")


class TwoPartsError(Exception):
    """One that cannot be pickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def unsendable() -> Iterator[int]:
    yield 1
    raise TwoPartsError("one", "two")


def defective() -> Iterator[float]:
    yield 1 / 0


def hanging() -> Iterator[int]:
    yield 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as native code that never returns
    time.sleep(1000)


def crashing(folder: Path, times: int) -> Iterator[int]:
    yield 1
    (folder / str(len(list(folder.iterdir())))).touch()
    if len(list(folder.iterdir())) <= times:
        os.kill(os.getpid(), signal.SIGSEGV)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(pid: int) -> bool:
    ends = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    return not is_alive(pid)


def test_it_gives_what_the_function_yields_and_raises_its_errors(process: DecoderProcess) -> None:
    assert process.ask(doubled, 1, 2, 3) == [2, 4, 6]
    [other] = process.ask(own_id)
    assert other != os.getpid()
    with pytest.raises(DamagedClipError, match=r"^a\.mp4 is damaged$"):
        process.ask(damaged)
    with pytest.raises(RuntimeError, match="TwoPartsError: onetwo"):
        process.ask(unsendable)
    with pytest.raises(ZeroDivisionError) as defect:
        process.ask(defective)
    assert "in defective" in "".join(defect.value.__notes__)
    assert process.ask(own_id) == [other]


def test_after_an_interruption_no_old_answer_is_taken(process: DecoderProcess) -> None:
    process.ask(own_id)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            process.ask(hanging)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert process.ask(doubled, 5) == [10]


def test_one_that_hangs_is_ended_and_another_takes_its_place(process: DecoderProcess) -> None:
    [first] = process.ask(own_id)
    process.seconds = 0.5
    with pytest.raises(HungError, match=r"longer than 0\.5 s; .*seconds_per_clip"):
        process.ask(hanging)
    assert gone(first)
    process.seconds = 60.0
    assert process.ask(doubled, 4) == [8]


def test_one_that_crashes_is_tried_again(tmp_path: Path, process: DecoderProcess) -> None:
    assert process.ask(crashing, tmp_path, 2) == [1]
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(CrashedError, match="SIGSEGV"):
        process.ask(crashing, tmp_path, 100)
    assert len(list(tmp_path.iterdir())) == 6


def test_one_that_cannot_start_is_no_fault_of_a_clip(process: DecoderProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = process.ask(own_id)
    process.close()
    assert gone(first)
    with monkeypatch.context() as patched:
        patched.setattr(decoder_process, "_START", "raise SystemExit(7)")
        with pytest.raises(StartError, match=r"ends when it starts \(exit code 7\)"):
            process.ask(own_id)
        patched.setattr(decoder_process, "_START", "import time; time.sleep(1000)")
        patched.setattr(decoder_process, "_START_SECONDS", 0.2)
        with pytest.raises(StartError, match=r"has not started for 0\.2 s"):
            process.ask(own_id)
    assert process.ask(doubled, 2) == [4]


def test_nothing_is_kept_of_a_request(process: DecoderProcess) -> None:
    [pid] = process.ask(own_id)
    before = psutil.Process(pid).memory_info().rss
    assert process.ask(length, bytes(2**27)) == [2**27]
    ends = time.monotonic() + 20
    while psutil.Process(pid).memory_info().rss > before + 2**26 and time.monotonic() < ends:
        time.sleep(0.05)
    assert psutil.Process(pid).memory_info().rss < before + 2**26


def test_copies_have_processes_of_their_own(process: DecoderProcess) -> None:
    [first] = process.ask(own_id)
    copied = pickle.loads(pickle.dumps(process))
    [second] = copied.ask(own_id)
    copied.close()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        [third] = process.ask(own_id)
        os.write(sender, str(third).encode())
        os._exit(0)
    os.waitpid(child, 0)
    third = int(os.read(receiver, 20))
    assert len({first, second, third}) == 3
    assert gone(third)  # It ends with the process that it works for,
    assert process.ask(own_id) == [first]  # and leaves that of its parent alone.

"""The contract of Locks, over every adapter; what it says of processes, over those that they share.

Nothing here waits for a time to pass: events and pipes tell. The time limits only keep a fault from hanging the tests.
"""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.strategies import HUSH

from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.failures import StoreUnavailable
from lading.ports.locks import Locks, NullLocks, SupportsHolder

SHARED: Final[dict[str, Callable[[Path], Locks]]] = {"file": lambda folder: FileLocks(folder / "locks")}
"""Those that several processes, or several adapters of one process, can go by."""
ADAPTERS: Final[dict[str, Callable[[Path], Locks]]] = {"memory": lambda _: MemoryLocks(), **SHARED}
ANONYMOUS: Final = 65534
GUARD: Final = 30.0
"""Seconds after which something hangs."""


@pytest.fixture(params=ADAPTERS)
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    return ADAPTERS[request.param](tmp_path)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def is_free(locks: Locks, name: str = "target /vms/1/disk") -> bool:
    """Whether it can be had without waiting."""
    with locks.hold(name, wait=False) as held:
        return held


# Every kind.


def test_who_holds_a_name_is_told_so(locks: Locks) -> None:
    with locks.hold("a") as held:
        assert held
    with locks.hold("a", wait=False) as held:
        assert held


def test_what_one_thread_holds_no_other_gets_without_waiting(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    with locks.hold("a"):
        assert not elsewhere.submit(is_free, locks, "a").result(GUARD)
    assert elsewhere.submit(is_free, locks, "a").result(GUARD)


def test_who_did_not_get_it_lets_go_of_nothing(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    with locks.hold("a"):
        for _ in range(3):
            assert not elsewhere.submit(is_free, locks, "a").result(GUARD)


def test_a_thread_that_holds_a_name_may_take_it_again(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    with locks.hold("a"):
        with locks.hold("a") as again, locks.hold("a", wait=False) as once_more:
            assert again
            assert once_more
        assert not elsewhere.submit(is_free, locks, "a").result(GUARD)
    assert elsewhere.submit(is_free, locks, "a").result(GUARD)


@pytest.mark.parametrize("other", ["b", "A", "", "a ", "image a"])
def test_different_names_do_not_exclude_each_other(locks: Locks, elsewhere: ThreadPoolExecutor, other: str) -> None:
    with locks.hold("a"):
        assert elsewhere.submit(is_free, locks, other).result(GUARD)


def test_an_exception_in_the_block_lets_go_of_it(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    with pytest.raises(KeyboardInterrupt), locks.hold("a"), locks.hold("a"):
        raise KeyboardInterrupt
    assert elsewhere.submit(is_free, locks, "a").result(GUARD)


def test_nothing_is_held_before_the_block_begins(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    about_to = locks.hold("a")
    assert elsewhere.submit(is_free, locks, "a").result(GUARD)
    with about_to:
        assert not elsewhere.submit(is_free, locks, "a").result(GUARD)


def test_who_waits_gets_it_afterwards(locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
    order: list[str] = []
    about_to = threading.Event()

    def wait() -> bool:
        about_to.set()
        with locks.hold("a") as held:
            order.append("waited")
            return held

    with locks.hold("a"):
        waiting = elsewhere.submit(wait)
        assert about_to.wait(GUARD)
        order.append("let go")
    assert waiting.result(GUARD)
    assert order == ["let go", "waited"]


def test_of_many_threads_one_at_a_time_holds_it(locks: Locks) -> None:
    inside, most, together = [0], [0], threading.Barrier(8)

    def work(_: int) -> None:
        together.wait(GUARD)
        for _ in range(5):
            with locks.hold("a"):
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8), timeout=GUARD))
    assert (max(most), len(most)) == (1, 41)


def test_two_that_take_two_names_in_one_order_both_get_them(locks: Locks) -> None:
    together = threading.Barrier(2)

    def work(_: int) -> int:
        together.wait(GUARD)
        for _ in range(10):
            with locks.hold("a"), locks.hold("b"):
                pass
        return 10

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, range(2), timeout=GUARD)) == [10, 10]


NAMES: Final = (
    "target /vms/1/disk", "target ../../etc/passwd", "nul\0byte", "new\nline", "x" * 5000, "", ".", "\N{SNOWMAN}",
    os.fsdecode(b"target /vms/\xff\xfe"), "\ud83d\ude00",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=[f"{name[:30]!a}" for name in NAMES])
def test_a_name_may_be_any_text(locks: Locks, elsewhere: ThreadPoolExecutor, tmp_path: Path, name: str) -> None:
    with locks.hold(name) as held:
        assert held
        assert not elsewhere.submit(is_free, locks, name).result(GUARD)
        assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "locks"] == []
    assert elsewhere.submit(is_free, locks, name).result(GUARD)


# No locks.


def test_the_locks_of_who_needs_none_are_always_had(elsewhere: ThreadPoolExecutor) -> None:
    locks: Locks = NullLocks()
    with locks.hold("a") as held:
        assert held
        assert elsewhere.submit(is_free, locks, "a").result(GUARD)


# Those that processes share.


@pytest.fixture(params=SHARED)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Locks]:
    """The same locks, once more each time."""
    return lambda: SHARED[request.param](tmp_path)


HOLDER: Final = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from lading.adapters.flock.locks import FileLocks

    with FileLocks(Path(sys.argv[1])).hold(sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()
    print("let go", flush=True)
    """
)


@contextmanager
def holder(folder: Path, name: str = "target /vms/1/disk") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the name, or waits for it, until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(folder), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(GUARD, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end_input(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def test_two_openings_exclude_each_other(opening: Callable[[], Locks], elsewhere: ThreadPoolExecutor) -> None:
    one, other = opening(), opening()
    with one.hold("a"):
        assert not elsewhere.submit(is_free, other, "a").result(GUARD)
        assert not is_free(other, "a")
    assert is_free(other, "a")


def test_whoever_waits_is_told_which_process_holds_the_name(tmp_path: Path) -> None:
    locks, name = FileLocks(tmp_path), "target /vms/1/disk"
    assert isinstance(locks, SupportsHolder)
    assert locks.holder(name) is None
    with holder(tmp_path) as process:
        assert line(process) == "held"
        assert (locks.holder(name), locks.holder("target /vms/2/disk")) == (process.pid, None)
        end_input(process)
        process.wait(GUARD)
    assert locks.holder(name) is None
    with locks.hold(name):
        assert locks.holder(name) is None, "a process does not wait for itself"


def test_what_one_process_holds_no_other_gets(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with holder(tmp_path) as process:
        assert line(process) == "held"
        assert not is_free(locks)
        assert is_free(locks, "target /vms/2/disk")
        end_input(process)
        assert line(process) == "let go"
        assert is_free(locks)


def test_a_process_that_waits_gets_it_afterwards(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with holder(tmp_path) as first:
        assert line(first) == "held"
        with holder(tmp_path) as second, ThreadPoolExecutor(1) as elsewhere:
            waiting = elsewhere.submit(line, second)
            assert not waiting.done()
            end_input(first)
            assert line(first) == "let go"
            assert waiting.result(GUARD) == "held"
            assert not is_free(locks)


def test_a_killed_holder_frees_it_at_once(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with holder(tmp_path) as process:
        assert line(process) == "held"
        process.send_signal(signal.SIGKILL)
        process.wait(GUARD)
        assert is_free(locks)
    assert os.listdir(tmp_path) == []


def test_who_waits_for_one_that_is_killed_gets_it(tmp_path: Path, elsewhere: ThreadPoolExecutor) -> None:
    locks = FileLocks(tmp_path)

    def wait() -> bool:
        with locks.hold("target /vms/1/disk") as held:
            return held

    with holder(tmp_path) as process:
        assert line(process) == "held"
        waiting = elsewhere.submit(wait)
        process.kill()
        assert waiting.result(GUARD)


def test_no_file_is_left_of_what_was_let_go(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path / "locks")
    assert not (tmp_path / "locks").exists()
    with locks.hold("a"), locks.hold("b"), locks.hold("a"):
        assert len(os.listdir(tmp_path / "locks")) == 2
    assert os.listdir(tmp_path / "locks") == []
    with pytest.raises(KeyboardInterrupt), locks.hold("a"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "locks") == []


def test_a_file_that_is_removed_while_it_is_held_is_no_fault_for_its_holder(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with locks.hold("a"):
        for path in tmp_path.iterdir():
            path.unlink()
    assert is_free(locks, "a")


def test_only_its_owner_may_read_what_it_makes_and_no_name_is_told_there(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with FileLocks(tmp_path / "state" / "locks").hold(f"target /vms/{HUSH}"):
            [path] = (tmp_path / "state" / "locks").iterdir()
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            assert HUSH not in path.name + path.read_text()
    finally:
        os.umask(umask)


def refusal(locks: Locks) -> str:
    with pytest.raises(StoreUnavailable) as refused, locks.hold("a"):
        pass
    return str(refused.value)


CROWD: Final = """
import os, sys
from pathlib import Path
from lading.adapters.flock.locks import FileLocks

locks, inside, met = FileLocks(Path(sys.argv[1], "locks")), Path(sys.argv[1], "inside"), 0
for _ in range(200):
    with locks.hold("a"):
        try:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            met += 1
        else:
            inside.unlink()
print(met)
"""


def test_of_several_processes_one_at_a_time_holds_it(tmp_path: Path) -> None:
    """Each removes the lock's file when it is done, while the others wait for it: filelock before 3.30 let two in."""
    crowd = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [each.communicate(timeout=4 * GUARD)[0] for each in crowd] == ["0\n"] * 4


def told_to_nobody(folder: Path) -> str:
    """What another user is told who takes the lock."""
    import filelock  # noqa: F401, PLC0415 - that user may be unable to read it

    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(ANONYMOUS)
            os.setuid(ANONYMOUS)
            os.write(writing, refusal(FileLocks(folder)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        told = said.read()
    os.waitpid(child, 0)
    return told


def test_whose_lock_it_is_and_what_to_do_is_told_to_another_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert "(its folder belongs to root, uid 0): run the command as that user" in told_to_nobody(folder)
        with FileLocks(folder).hold("a"):
            # Made by root before the folder was another user's: it belongs to root.
            os.chown(folder, ANONYMOUS, ANONYMOUS)
            [path] = folder.iterdir()
            told = told_to_nobody(folder)
        assert "(it belongs to root, uid 0): when no command of that user runs, remove it" in told
        assert told.endswith(f"rm {path}")


def test_a_lock_that_root_holds_in_another_users_folder_is_that_users() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be another user")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, ANONYMOUS, ANONYMOUS)
        with FileLocks(Path(name)).hold("a"):
            pass
        with FileLocks(Path(name)).hold("a"):
            # Killed now, it leaves a file that the other user's next command takes, and removes.
            [path] = Path(name).iterdir()
            assert path.stat().st_uid == ANONYMOUS


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told = refusal(FileLocks(tmp_path / "file" / "locks"))
    assert told.startswith(f"the lock {tmp_path}/file/locks/")
    assert told.endswith(
        "cannot be acquired: Not a directory: give this user write permission for its folder, or configure [locks]"
    )
    assert "\n" not in told


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user who may not: these tests may run as root, who may do anything."""
    real = os.open

    def refuse(path: str, *given: int, **named: int) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *given, **named)

    monkeypatch.setattr(os, "open", refuse)
    told = refusal(FileLocks(tmp_path))
    assert told.endswith(
        "cannot be acquired: Permission denied: give this user write permission for its folder, or configure [locks]"
    )
    assert "\n" not in told


def test_what_could_not_be_taken_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "locks").write_bytes(b"")
    locks = FileLocks(tmp_path / "locks")
    refusal(locks)
    (tmp_path / "locks").unlink()
    assert is_free(locks, "a")


def forked(act: Callable[[], bool]) -> int:
    """A process that is forked off here, does this, and ends."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return child


def in_a_child(act: Callable[[], bool]) -> bool:
    """What the act answers in a process that is forked off here."""
    status = os.waitstatus_to_exitcode(os.waitpid(forked(act), 0)[1])
    assert status in {0, 1}
    return status == 0


def test_a_child_does_not_hold_what_its_parent_held_when_it_forked(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with locks.hold("a"):
        assert not in_a_child(lambda: is_free(locks, "a"))
        assert not in_a_child(lambda: is_free(FileLocks(tmp_path), "a"))
    assert in_a_child(lambda: is_free(locks, "a"))


@pytest.mark.parametrize("times", [1, 2])
def test_a_child_that_leaves_its_parent_s_block_lets_go_of_nothing(tmp_path: Path, times: int) -> None:
    locks, inner, outer = FileLocks(tmp_path), ExitStack(), ExitStack()
    for stack in [outer, inner][:times]:
        stack.enter_context(locks.hold("a"))

    def leave() -> bool:
        inner.close()
        outer.close()
        return len(os.listdir(tmp_path)) == 1

    with outer, inner:
        assert in_a_child(leave)
        assert not in_a_child(lambda: is_free(FileLocks(tmp_path), "a"))
    assert is_free(FileLocks(tmp_path), "a")


def test_a_killed_holder_frees_it_though_a_child_of_its_lives_on(tmp_path: Path) -> None:
    """A child has its parent's open files, and with them their locks, unless it gives them up."""
    ending, end = os.pipe()
    telling, tell = os.pipe()

    def live() -> bool:
        os.close(end)
        os.write(tell, b".")
        return not os.read(ending, 1)

    def hold() -> bool:
        with FileLocks(tmp_path).hold("a"):
            forked(live)
            return live()

    holder = forked(hold)
    try:
        assert os.read(telling, 1) + os.read(telling, 1) == b".."
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert is_free(FileLocks(tmp_path), "a")
    finally:
        for each in (ending, end, telling, tell):
            os.close(each)

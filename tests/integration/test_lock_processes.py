"""Locks that processes share: held, waited for, inherited, and freed when their holder is killed.

Nothing here waits for a time to pass: pipes tell. The time limits only keep a fault from hanging the tests.
"""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.forked import forked, in_a_child
from tests.strategies import HUSH

from lading.adapters.flock import locks as flock
from lading.adapters.flock.locks import FileLocks
from lading.ports.failures import StoreUnavailable
from lading.ports.locks import Locks, SupportsHolder

ANONYMOUS: Final = 65534
GUARD: Final = 180.0
"""Seconds after which something hangs."""


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def is_free(locks: Locks, name: str = "target /vms/1/disk") -> bool:
    """Whether it can be had without waiting."""
    with locks.hold(name, wait=False) as held:
        return held


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


def test_a_waiter_is_told_which_process_holds_the_lock(tmp_path: Path) -> None:
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


def test_a_lock_of_one_process_excludes_all_others(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with holder(tmp_path) as process:
        assert line(process) == "held"
        assert not is_free(locks)
        assert is_free(locks, "target /vms/2/disk")
        end_input(process)
        assert line(process) == "let go"
        assert is_free(locks)


def test_a_waiting_process_gets_the_lock_after_its_release(tmp_path: Path) -> None:
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


def test_a_waiter_gets_the_lock_of_a_killed_holder(tmp_path: Path, elsewhere: ThreadPoolExecutor) -> None:
    locks = FileLocks(tmp_path)

    def wait() -> bool:
        with locks.hold("target /vms/1/disk") as held:
            return held

    with holder(tmp_path) as process:
        assert line(process) == "held"
        waiting = elsewhere.submit(wait)
        process.kill()
        assert waiting.result(GUARD)


def test_no_lock_file_is_left_after_its_release(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path / "locks")
    assert not (tmp_path / "locks").exists()
    with locks.hold("a"), locks.hold("b"), locks.hold("a"):
        assert len(os.listdir(tmp_path / "locks")) == 2
    assert os.listdir(tmp_path / "locks") == []
    with pytest.raises(KeyboardInterrupt), locks.hold("a"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "locks") == []


def test_a_lock_file_that_is_removed_while_held_is_no_error(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with locks.hold("a"):
        for path in tmp_path.iterdir():
            path.unlink()
    assert is_free(locks, "a")


def test_lock_files_are_private_and_show_no_name(tmp_path: Path) -> None:
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


COMPETITOR: Final = """
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


def test_one_process_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    """Each removes the lock's file when it is done, while the others wait for it."""
    processes = [
        subprocess.Popen([sys.executable, "-c", COMPETITOR, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [each.communicate(timeout=4 * GUARD)[0] for each in processes] == ["0\n"] * 4


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the folder of root's locks could let root overwrite any file otherwise."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")

    def swap(path: Path) -> None:
        path.unlink()
        path.symlink_to(victim)

    monkeypatch.setattr(flock, "give_to_folder_owner", swap)
    with FileLocks(tmp_path / "locks").hold("a"):
        pass
    assert victim.read_bytes() == b"precious"
    [link] = (tmp_path / "locks").iterdir()
    assert refusal(FileLocks(tmp_path / "locks")).startswith(f"the lock {link} cannot be acquired: Too many levels")
    assert victim.read_bytes() == b"precious"


def told_to_nobody(folder: Path) -> str:
    """What another user is told who takes the lock."""
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


def test_another_user_is_told_whose_lock_it_is_and_what_to_do() -> None:
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


def test_a_lock_of_root_in_a_users_folder_belongs_to_the_user() -> None:
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
    assert told.endswith("cannot be acquired: Not a directory: [locks] folder can name another one")
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


def test_a_lock_that_could_not_be_taken_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "locks").write_bytes(b"")
    locks = FileLocks(tmp_path / "locks")
    refusal(locks)
    (tmp_path / "locks").unlink()
    assert is_free(locks, "a")


def test_a_child_does_not_hold_what_its_parent_held_when_it_forked(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with locks.hold("a"):
        assert not in_a_child(lambda: is_free(locks, "a"))
        assert not in_a_child(lambda: is_free(FileLocks(tmp_path), "a"))
    assert in_a_child(lambda: is_free(locks, "a"))


@pytest.mark.parametrize("times", [1, 2])
def test_a_child_that_leaves_its_parents_block_releases_nothing(tmp_path: Path, times: int) -> None:
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


def test_a_killed_holder_frees_the_lock_though_its_child_lives(tmp_path: Path) -> None:
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

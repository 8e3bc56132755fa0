"""The disk that misbehaves to order: what it counts, fails and kills, or else the tests that use it prove nothing."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.disk.faulty_disk import Call, FaultyDisk

MakeDisk = Callable[..., FaultyDisk]
PROLOGUE = """
import ctypes, errno, fcntl, os, socket, sqlite3, subprocess, sys, threading
from pathlib import Path
disk = Path(sys.argv[1])
"""


def run(program: str, disk: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the program, in which `disk` is the folder."""
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE + program, str(disk)],
        cwd=disk.parent, env=variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is on the faulty disk."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture
def disk(faulty_disk: MakeDisk, folder: Path) -> FaultyDisk:
    return faulty_disk(folder)


def counted(disk: FaultyDisk, folder: Path, program: str) -> list[tuple[str, str]]:
    """The calls that the program makes, with paths relative to the folder."""
    done = run(program, folder, disk.counted())
    assert (done.returncode, done.stderr) == (0, "")
    calls = disk.calls()
    assert [call.number for call in calls] == list(range(1, len(calls) + 1))
    return [(name, os.path.relpath(path, folder)) for _, name, path in calls]


@pytest.mark.parametrize(
    ("program", "calls"),
    [
        ("(disk / 'a').write_bytes(b'1')", [("open", "a"), ("write", "a")]),
        ("os.open('a', os.O_CREAT | os.O_RDWR, dir_fd=os.open(disk, os.O_RDONLY))", [("openat", "a")]),
        ("(disk / 'old').open('r+b').truncate(2)", [("ftruncate", "old")]),
        ("os.truncate(disk / 'old', 2)", [("truncate", "old")]),
        ("os.pwrite(file, b'1', 2)", [("pwrite", "old")]),
        ("os.writev(file, [b'1', b'2'])", [("writev", "old")]),
        ("os.pwritev(file, [b'1', b'2'], 3)", [("pwritev2", "old")]),
        ("os.fsync(file)", [("fsync", "old")]),
        ("os.fdatasync(file)", [("fdatasync", "old")]),
        ("os.fsync(os.open(disk, os.O_RDONLY))", [("fsync", ".")]),
        ("os.posix_fallocate(file, 0, 9)", [("fallocate", "old")]),
        ("os.rename(disk / 'old', disk / 'new')", [("rename", "new")]),
        ("os.rename('old', 'new', src_dir_fd=there, dst_dir_fd=there)", [("renameat", "new")]),
        ("ctypes.CDLL(None).renameat2(there, b'old', there, b'new', 1)", [("renameat2", "new")]),
        ("os.link(disk / 'old', disk / 'new')", [("link", "new")]),
        ("os.link(disk / 'old', disk / 'new', follow_symlinks=False)", [("linkat", "new")]),
        ("os.unlink(disk / 'old')", [("unlink", "old")]),
        ("os.unlink('old', dir_fd=there)", [("unlinkat", "old")]),
        ("os.mkdir(disk / 'sub')", [("mkdir", "sub")]),
        ("os.mkdir('sub', dir_fd=there)", [("mkdirat", "sub")]),
        ("os.mkdir(disk / 'sub'); os.rmdir(disk / 'sub')", [("mkdir", "sub"), ("rmdir", "sub")]),
        ("os.symlink('old', disk / 'link')", [("symlink", "link")]),
        ("os.copy_file_range(file, file, 1, 0, 5)", [("copy_file_range", "old")]),
        ("os.sendfile(file, os.open(disk / 'old', os.O_RDONLY), 0, 1)", [("sendfile", "old")]),
        ("os.fchmod(file, 0o640)", [("fchmod", "old")]),
        ("os.fchown(file, -1, -1)", [("fchown", "old")]),
        ("os.chmod(disk / 'old', 0o640)", [("chmod", "old")]),
    ],
)
def test_calls_that_change_the_disk_are_counted(
    disk: FaultyDisk, folder: Path, program: str, calls: list[tuple[str, str]]
) -> None:
    (folder / "old").write_bytes(b"0123")
    prepared = "there = os.open(disk, os.O_RDONLY); file = os.open(disk / 'old', os.O_RDWR)\n"
    assert counted(disk, folder, prepared + program) == calls


def test_a_clone_is_counted_and_other_controls_are_not(disk: FaultyDisk, folder: Path) -> None:
    program = """
file = os.open(disk / "a", os.O_CREAT | os.O_RDWR)
fcntl.ioctl(file, 0x5451)
try:
    fcntl.ioctl(file, 0x40049409, file)
except OSError:
    pass
"""
    assert counted(disk, folder, program) == [("open", "a"), ("ioctl", "a")]


def test_a_file_under_no_name_is_counted_from_its_opening_to_its_publication(disk: FaultyDisk, folder: Path) -> None:
    program = """
there = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
file = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=there)
os.write(file, b"whole")
os.link(f"/proc/self/fd/{file}", "new", src_dir_fd=there, dst_dir_fd=there, follow_symlinks=True)
"""
    opened, (write, path), linked = counted(disk, folder, program)
    assert (opened, linked) == (("openat", "."), ("linkat", "new"))
    assert write == "write"
    assert path.startswith("#")
    assert (folder / "new").read_bytes() == b"whole"


def test_sqlite_s_writing_is_counted(disk: FaultyDisk, folder: Path) -> None:
    program = """
database = sqlite3.connect(disk / "db")
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE t (x)")
database.close()
"""
    calls = counted(disk, folder, program)
    assert {("open", "db"), ("pwrite", "db-wal"), ("fdatasync", "db-wal"), ("pwrite", "db"), ("unlink", "db-wal")} <= {
        *calls
    }
    assert {path for _, path in calls} == {"db", "db-journal", "db-wal", "db-shm", "."}


def test_nothing_else_is_counted(disk: FaultyDisk, folder: Path, tmp_path: Path) -> None:
    (folder / "old").write_bytes(b"0123")
    (tmp_path / "disk-2").mkdir()
    os.mkfifo(folder / "pipe")
    program = """
(disk / "old").read_bytes(), os.listdir(disk), (disk / "old").stat()
elsewhere = disk.with_name("disk-2")
(elsewhere / "a").write_bytes(b"1")
(elsewhere / "a").rename(elsewhere / "b")
open("/dev/null", "wb").write(b"1")
pair = socket.socketpair()
for channel in (os.pipe()[1], os.open(disk / "pipe", os.O_RDWR), pair[0].fileno(), 1):
    os.write(channel, b"1")
"""
    assert counted(disk, folder, program) == []


def test_what_comes_or_goes_is_counted_and_paths_are_seen_through_links(disk: FaultyDisk, folder: Path) -> None:
    program = """
other = disk.parent
(other / "a").write_bytes(b"1")
(other / "a").rename(disk / "b")
(disk / "b").rename(other / "c")
(other / "link").symlink_to(disk)
(other / "link" / "d").write_bytes(b"")
(other / "file").symlink_to(disk / "d")
(other / "file").open("w")
(other / "file").unlink()
os.chdir(disk)
os.unlink("../link/./d")
"""
    assert counted(disk, folder, program) == [
        ("rename", "b"), ("rename", "b"), ("open", "d"), ("open", "d"), ("unlink", "d"),
    ]  # fmt: skip


TWO_STEPS = "(disk / 'a').mkdir(); (disk / 'b').mkdir(); (disk / 'c').mkdir()"


def test_the_process_is_killed_just_before_the_call(disk: FaultyDisk, folder: Path) -> None:
    done = run(TWO_STEPS, folder, disk.kill_at(2))
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(folder) == ["a"]
    assert disk.calls() == [Call(1, "mkdir", str(folder / "a")), Call(2, "mkdir", str(folder / "b"))]


def test_the_process_is_killed_just_after_the_call(disk: FaultyDisk, folder: Path) -> None:
    assert run(TWO_STEPS, folder, disk.kill_after(2)).returncode == -signal.SIGKILL
    assert sorted(os.listdir(folder)) == ["a", "b"]


def test_a_process_that_makes_fewer_calls_is_not_killed(disk: FaultyDisk, folder: Path) -> None:
    assert run(TWO_STEPS, folder, disk.kill_at(4)).returncode == 0
    assert len(disk.calls()) == 3


def test_the_process_gets_a_signal_before_each_of_the_calls(disk: FaultyDisk, folder: Path) -> None:
    program = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM", len(os.listdir(disk))))
for name in "abcd":
    (disk / name).mkdir()
"""
    assert run(program, folder, disk.signal(signal.SIGTERM, 2, 3)).stdout == "SIGTERM 2\nSIGTERM 3\n"
    for each in folder.iterdir():
        each.rmdir()
    assert run(program, folder, disk.signal(signal.SIGTERM, 4)).stdout == "SIGTERM 4\n"


FIVE_WRITES = """
file = os.open(disk / "a", os.O_CREAT | os.O_RDWR)
for byte in b"12345":
    try:
        os.write(file, bytes([byte]))
    except OSError as error:
        print(chr(byte), errno.errorcode[error.errno])
os.fsync(file)
"""


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_calls_that_are_asked_for_fail_as_asked(disk: FaultyDisk, folder: Path, error: int) -> None:
    done = run(FIVE_WRITES, folder, disk.fail(error, "write", 2, 3))
    assert (done.returncode, done.stdout) == (0, "2 {0}\n3 {0}\n".format(errno.errorcode[error]))
    assert (folder / "a").read_bytes() == b"145"
    assert [call.name for call in disk.calls()] == ["open", *["write"] * 5, "fsync"]


def test_without_a_last_one_the_disk_never_recovers(disk: FaultyDisk, folder: Path) -> None:
    done = run(FIVE_WRITES, folder, disk.fail(errno.EIO, first=5))
    assert done.stdout == "4 EIO\n5 EIO\n"
    assert "Input/output error" in done.stderr
    assert (folder / "a").read_bytes() == b"123"


def test_calls_are_chosen_by_name_and_path(disk: FaultyDisk, folder: Path) -> None:
    program = """
for name in ("a.img", "b.sqlite"):
    for act in (lambda: (disk / name).touch(), lambda: os.unlink(disk / name), lambda: os.mkdir(disk / f"d-{name}")):
        try:
            act()
        except OSError as error:
            print(errno.errorcode[error.errno])
"""
    done = run(program, folder, disk.fail(errno.EROFS, "unlink*,mk*", path="*.sqlite"))
    assert (done.stdout, done.stderr) == ("EROFS\nEROFS\n", "")
    assert sorted(os.listdir(folder)) == ["b.sqlite", "d-a.img"]


def test_a_function_that_is_looked_up_fails_too(disk: FaultyDisk, folder: Path) -> None:
    program = """
(disk / "a").mkdir()
libc = ctypes.CDLL(None, use_errno=True)
print(libc.renameat2(-100, bytes(disk / "a"), -100, bytes(disk / "b"), 1), errno.errorcode[ctypes.get_errno()])
"""
    assert run(program, folder, disk.fail(errno.EINVAL, "renameat2")).stdout == "-1 EINVAL\n"
    assert os.listdir(folder) == ["a"]


def test_sqlite_reports_the_failure_of_its_write(disk: FaultyDisk, folder: Path) -> None:
    program = """
database = sqlite3.connect(disk / "db")
try:
    database.execute("CREATE TABLE t (x)")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname)
"""
    assert run(program, folder, disk.fail(errno.ENOSPC, "write,pwrite")).stdout == "SQLITE_FULL\n"
    assert run(program, folder, disk.fail(errno.EIO, "fdatasync,fsync")).stdout == "SQLITE_IOERR_FSYNC\n"


def test_no_call_of_any_thread_is_missed_or_counted_twice(disk: FaultyDisk, folder: Path) -> None:
    program = """
def make(name):
    for number in range(50):
        (disk / f"{name}{number}").mkdir()
threads = [threading.Thread(target=make, args=(name,)) for name in "abcd"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    assert len(counted(disk, folder, program)) == 200
    for each in folder.iterdir():
        each.rmdir()
    assert run(program, folder, disk.kill_at(151)).returncode == -signal.SIGKILL
    assert len(os.listdir(folder)) == 150


def test_every_process_counts_for_itself(disk: FaultyDisk, folder: Path) -> None:
    program = """
(disk / "a").mkdir()
if os.fork() == 0:
    (disk / "b").mkdir()
    (disk / "c").mkdir()
    os._exit(0)
print(os.wait()[1])
subprocess.run([sys.executable, "-c", "import os, sys; os.mkdir(sys.argv[1])", disk / "d"], check=True)
"""
    done = run(program, folder, disk.kill_at(2))
    assert (done.returncode, done.stdout) == (0, f"{signal.SIGKILL:d}\n")
    assert [(call.number, os.path.basename(call.path)) for call in disk.calls()] == [
        (1, "a"), (1, "b"), (2, "c"), (1, "d"),
    ]  # fmt: skip


def test_a_process_can_give_itself_new_orders(disk: FaultyDisk, folder: Path) -> None:
    program = """
(disk / "a").mkdir()
os.environ["FAULTY_DISK_FAIL"] = f"{errno.EDQUOT}:mkdir:2:2"
ctypes.CDLL(None).faulty_disk_arm()
(disk / "b").mkdir()
try:
    (disk / "c").mkdir()
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert run(program, folder, disk.counted()).stdout == "EDQUOT\n"
    assert [call.number for call in disk.calls()] == [1, 1, 2]

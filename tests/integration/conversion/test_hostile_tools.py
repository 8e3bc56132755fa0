"""Tools and images that misbehave, and callers that are interrupted: nothing runs on, and no host file is read."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.conversion.conftest import Opened
from tests.integration.conversion.disks import DISK, disk_with_gpt, holders, image_of
from tests.packages import needs
from tests.torture import TORTURE

from lading.adapters.formats.conversion import gpt, qemu, sandbox
from lading.adapters.formats.conversion.qemu import QEMU_IMG, Disk, Patience, convert, open_disk
from lading.adapters.formats.conversion.run import run
from lading.adapters.formats.conversion.sandbox import Limits
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, Unavailable, Unconfigured

LIMITS = Limits(processor=60, seconds=600, file_size=1 << 30)
FOREVER = "while true; do sleep 1; done"


@pytest.fixture(autouse=True)
def _needs_qemu() -> None:
    needs("qemu-img")


def refusal(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.refusal


def naming_a_host_file(kind: str, folder: Path) -> Path:
    """A qcow2 whose content is in another file of this host."""
    secret, image = folder / "secret", folder / "image"
    secret.write_bytes(b"secret".ljust(1 << 20, b"!"))
    if kind == "backing file":
        options = ["-b", str(secret), "-F", "raw", str(image)]
    else:
        options = ["-o", f"data_file={secret},data_file_raw=on", str(image), "1M"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options], check=True)
    secret.write_bytes(b"secret".ljust(1 << 20, b"!"))
    return image


@pytest.mark.parametrize(("sandboxed", "is_read"), [(True, False), (False, True)])
@pytest.mark.parametrize("kind", ["backing file", "data file"])
def test_only_the_sandbox_keeps_qemu_from_another_file(
    kind: str,
    sandboxed: bool,
    is_read: bool,
    tmp_path: Path,
    opened: Opened,
    bubblewrap: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not sandboxed:
        monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    image, target = opened(naming_a_host_file(kind, tmp_path)), opened(tmp_path / "target")
    command = ["convert", "-f", "qcow2", "-O", "raw", f"/dev/fd/{image}", f"/dev/fd/{target}"]
    with suppress(Refused):
        run(QEMU_IMG, command, {image: "the image", target: "the target"}, LIMITS, print)
    assert (tmp_path / "target").read_bytes().startswith(b"secret") is is_read


@pytest.mark.parametrize("kind", ["backing file", "data file"])
def test_an_image_with_another_file_is_refused(kind: str, tmp_path: Path, opened: Opened, bubblewrap: None) -> None:
    image = opened(naming_a_host_file(kind, tmp_path))
    assert isinstance(refusal(lambda: open_disk(image, "qcow2")), Mismatched)


def test_the_sandbox_has_no_network(opened: Opened, fake_qemu: Callable[[str], None], bubblewrap: None) -> None:
    fake_qemu("cat /proc/net/dev")
    output: list[bytes] = []
    run(QEMU_IMG, [], {}, LIMITS, output.append)
    devices = [line.split(b":")[0].strip() for line in b"".join(output).splitlines()[2:]]
    assert devices == [b"lo"]


@pytest.mark.usefixtures("_sandbox")
def test_tools_inherit_no_other_variable(fake_qemu: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    fake_qemu("env")
    output: list[bytes] = []
    run(QEMU_IMG, [], {}, LIMITS, output.append)
    assert b"secret" not in b"".join(output)


@pytest.mark.usefixtures("_sandbox")
def test_a_disk_larger_than_it_said_is_refused(tmp_path: Path, opened: Opened) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "image", "1T"], check=True)
    disk = Disk(opened(tmp_path / "image"), "qcow2", 1 << 20)
    target = opened(tmp_path / "target")
    assert "File too large" in str(refusal(lambda: convert(disk, target, "raw", print)))
    assert (tmp_path / "target").stat().st_size <= 1 << 20


@pytest.mark.usefixtures("_sandbox")
def test_a_tool_without_progress_is_ended(tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]) -> None:
    fake_qemu(f"printf '    (1.00/100%%)\\r'; {FOREVER}")
    disk, target = Disk(opened(tmp_path / "image"), "raw", 512), opened(tmp_path / "target")
    found = refusal(lambda: convert(disk, target, "raw", print, patience=Patience(600, 1)))
    assert found == Unavailable("qemu-img made no progress for 1 seconds")
    assert holders(tmp_path / "target") == []


def test_a_tool_that_writes_makes_progress_but_ends_in_time(
    tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]
) -> None:
    fake_qemu('for last; do :; done; while true; do echo >> "$last"; sleep 0.1; done')
    disk, target = Disk(opened(tmp_path / "image"), "raw", 1 << 20), opened(tmp_path / "target")
    found = refusal(lambda: convert(disk, target, "raw", print, patience=Patience(4, 3)))
    assert found == Unavailable("qemu-img took longer than 4 seconds")
    assert holders(tmp_path / "target") == []


def test_a_tool_that_computes_forever_is_ended(fake_qemu: Callable[[str], None]) -> None:
    fake_qemu("while :; do :; done")
    found = refusal(lambda: run(QEMU_IMG, [], {}, LIMITS._replace(processor=1), print))
    assert found == Mismatched("qemu-img was killed by SIGKILL")


@pytest.mark.usefixtures("_sandbox")
def test_a_crash_is_named(fake_qemu: Callable[[str], None]) -> None:
    fake_qemu("kill -SEGV $$")
    assert refusal(lambda: run(QEMU_IMG, [], {}, LIMITS, print)) == Mismatched("qemu-img was killed by SIGSEGV")


@pytest.mark.usefixtures("_sandbox")
def test_megabytes_of_errors_are_one_line(fake_qemu: Callable[[str], None], opened: Opened, tmp_path: Path) -> None:
    descriptor = opened(tmp_path / "image")
    fake_qemu(f"printf 'qemu-img: /dev/fd/{descriptor}: \\033[2J\\n' >&2; head -c 8000000 /dev/zero >&2; exit 1")
    found = refusal(lambda: run(QEMU_IMG, [], {descriptor: "the image"}, LIMITS, print))
    assert found == Mismatched("qemu-img failed: the image: ?[2J")


def test_an_error_without_a_line_end_is_cut(fake_qemu: Callable[[str], None]) -> None:
    fake_qemu("head -c 8000000 /dev/zero | tr '\\0' x >&2; exit 3")
    assert len(refusal(lambda: run(QEMU_IMG, [], {}, LIMITS, print)).reason) < 250


def test_a_silent_failure_tells_its_status(fake_qemu: Callable[[str], None]) -> None:
    fake_qemu("exit 3")
    assert refusal(lambda: run(QEMU_IMG, [], {}, LIMITS, print)).reason == "qemu-img failed: exit status 3"


def test_a_full_disk_is_the_targets_fault(small_disk: Path, tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "image").write_bytes(random.Random(1).randbytes(9 << 20))
    disk, target = open_disk(opened(tmp_path / "image"), "raw"), opened(small_disk / "target")
    found = refusal(lambda: convert(disk, target, "raw", print))
    assert isinstance(found, TargetFailed)
    assert "No space left on device" in found.reason


def test_an_answer_that_is_no_description_is_refused(
    tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]
) -> None:
    fake_qemu("echo '[]'")
    descriptor = opened(tmp_path / "image")
    assert refusal(lambda: open_disk(descriptor, "raw")).reason == "qemu-img does not tell the size of its disk"


def test_missing_tools_are_named_with_their_packages(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "_SYSTEM_PATH", ())
    descriptor = opened(tmp_path / "image")
    assert refusal(lambda: open_disk(descriptor, "raw")) == Unconfigured(
        "qemu-img is not installed: install qemu-utils (Debian, Ubuntu) or qemu-img (Fedora)"
    )
    assert refusal(lambda: gpt.moved_backup(disk_with_gpt(), len(DISK))) == Unconfigured(
        "fdisk is not installed: install fdisk (Debian, Ubuntu) or util-linux (Fedora)"
    )


@pytest.mark.parametrize("script", [None, "echo no user namespaces >&2; exit 1"])
def test_without_bubblewrap_tools_run_with_a_warning(
    script: str | None,
    tmp_path: Path,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = image_of(DISK, "qcow2", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sandbox, "_SYSTEM_PATH", ("/usr/bin", "/usr/sbin"))
    if script is not None:
        (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bwrap").chmod(0o755)
    sandbox._bubblewrap.cache_clear()  # noqa: SLF001
    try:
        assert open_disk(opened(image), "qcow2").size == len(DISK)
        assert open_disk(opened(image), "qcow2").size == len(DISK)
    finally:
        sandbox._bubblewrap.cache_clear()  # noqa: SLF001
    expected = "bubblewrap is not installed" if script is None else "bubblewrap does not work here (no user namespaces)"
    assert [record.message[: len(expected)] for record in caplog.records] == [expected]


@pytest.mark.usefixtures("_sandbox")
def test_an_interrupt_ends_the_tool(tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]) -> None:
    fake_qemu(f"printf '    (1.00/100%%)\\r'; {FOREVER}")
    disk, target = Disk(opened(tmp_path / "image"), "raw", 512), opened(tmp_path / "target")

    def interrupt(reached: int) -> None:
        assert holders(tmp_path / "target")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(disk, target, "raw", interrupt)
    assert holders(tmp_path / "target") == []


@pytest.mark.usefixtures("_sandbox")
def test_no_interrupt_leaves_a_tool_behind(tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    target, chance = opened(tmp_path / "target"), random.Random(5)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted = 0
    try:
        for _ in range(TORTURE or 12):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.06))
                convert(disk, target, "raw", list[int]().append)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert holders(tmp_path / "target") == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted


CALLER = """
import os, sys
from lading.adapters.formats.conversion import qemu, sandbox
if sys.argv[1] == "False":
    sandbox._bubblewrap = lambda: None
target = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
qemu.convert(qemu.Disk(target, "raw", 512), target, "raw", lambda reached: print("started", flush=True))
"""


@pytest.mark.parametrize("sandboxed", [True, False])
def test_the_tool_dies_with_its_caller(
    sandboxed: bool,
    tmp_path: Path,
    fake_qemu: Callable[[str], None],
    bubblewrap: None,
) -> None:
    fake_qemu(f"printf '    (1.00/100%%)\\r'; {FOREVER}")
    target = tmp_path / "target"
    command = [sys.executable, "-c", CALLER, str(sandboxed), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"started\n"
        assert len(holders(target)) > 1
        caller.kill()
    give_up = time.monotonic() + 60
    while holders(target) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert holders(target) == []


def test_the_progress_is_read_across_pieces() -> None:
    reached: list[int] = []
    progress = qemu._Progress(1000, reached.append)  # noqa: SLF001
    for piece in (b"    (0.00/10", b"0%)\r    (12.3", b"4/100%)\r", b"\n", b"    (50.00/100%)\r    (99.99/100%)\r"):
        progress.hear(piece)
    assert reached == [0, 123, 999]

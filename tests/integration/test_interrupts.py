"""A transfer is interrupted at any moment, and ends: no thread is left, and nothing waits for a lock for ever.

LADING_TORTURE says how many hundreds of tries; LADING_SEED makes a run again.
"""

import os
import random
import subprocess
import sys
from typing import Final

from tests.faulty_server import FaultyServer, Reply
from tests.torture import TORTURE

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
HUNDREDS: Final = TORTURE
HANGING_SECONDS: Final = 60
DATA: Final = random.Random(0).randbytes(12 << 20)
PROGRAM: Final = """
import faulthandler, itertools, random, signal, sys, threading
from lading.adapters.stream import pipeline
from lading.adapters.web import remote
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.stream.pipeline import CHUNK, Chunk

class Endless:
    def chunks(self, free):
        return (Chunk(number * CHUNK, CHUNK, None) for number in itertools.count())

class Interrupted(BaseException):
    '''As KeyboardInterrupt is.'''

def interrupt(number, frame):
    raise Interrupted

def repeat(unraisable):
    # Python drops what is raised within a weak reference's callback.
    assert unraisable.exc_type is Interrupted, unraisable
    signal.setitimer(signal.ITIMER_REAL, 0.001)

def remote_source():
    source = remote.RemoteSource(Mirrors([Origin(url)], HttpOptions(30, 30)), None, connections=4)
    source.open()
    return source

# Several connections after the first mebibyte, and until the end.
remote._FAST, remote._TRIAL, remote._TRIAL_SECONDS = float("inf"), 1 << 20, 1000
seed, tries, longest, hanging = map(int, sys.argv[1:5])
url = sys.argv[5]
chance = random.Random(seed)
signal.signal(signal.SIGALRM, interrupt)
sys.unraisablehook = repeat
for _ in range(tries):
    faulthandler.dump_traceback_later(hanging, exit=True)
    source = remote_source() if url else Endless()
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, longest / 1000))
        pipeline.run(source, (lambda chunk: None, lambda chunk: None), lambda read: None)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        pass
    if url:
        source.close()
    # One whose start was interrupted is listed for ever, but is no thread.
    others = [each for each in threading.enumerate() if each.is_alive() and each is not threading.main_thread()]
    for each in others:
        each.join(hanging / 2)
    assert not any(each.is_alive() for each in others), others
"""


def interrupted(tries: int, longest: int, url: str = "") -> None:
    """So many transfers, each interrupted within so many milliseconds."""
    arguments = [SEED, HUNDREDS * 100 or tries, longest, HANGING_SECONDS, url]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"LADING_SEED={SEED}"


def test_an_interrupt_at_any_moment_ends_the_pipeline() -> None:
    interrupted(800, 4)


def test_an_interrupt_at_any_moment_ends_reading_over_several_connections(faulty_server: FaultyServer) -> None:
    interrupted(60, 60, faulty_server.answer("/noble", Reply(DATA)))

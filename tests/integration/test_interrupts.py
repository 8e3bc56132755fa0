"""A transfer is interrupted at any moment, and ends: no thread is left, and nothing waits for a lock for ever.

LADING_TORTURE says how many hundreds of tries; LADING_SEED makes a run again.
"""

import os
import random
import subprocess
import sys
from typing import Final

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
TRIES: Final = 100 * int(os.environ.get("LADING_TORTURE") or 8)
HANGING_SECONDS: Final = 60
PROGRAM: Final = """
import faulthandler, itertools, random, signal, sys, threading
from lading.adapters.transfer import pipeline
from lading.adapters.transfer.pipeline import CHUNK, Chunk

class Endless:
    def chunks(self, free):
        return (Chunk(number * CHUNK, CHUNK, None) for number in itertools.count())

class Interrupted(Exception):
    pass

def interrupt(number, frame):
    raise Interrupted

seed, tries, hanging = map(int, sys.argv[1:])
chance = random.Random(seed)
signal.signal(signal.SIGALRM, interrupt)
for _ in range(tries):
    faulthandler.dump_traceback_later(hanging, exit=True)
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, 0.004))
        pipeline.run(Endless(), (lambda chunk: None, lambda chunk: None), lambda read: None)
    except Interrupted:
        pass
    assert threading.active_count() == 1, threading.enumerate()
"""


def test_an_interrupt_at_any_moment_ends_the_pipeline() -> None:
    command = [sys.executable, "-c", PROGRAM, str(SEED), str(TRIES), str(HANGING_SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"LADING_SEED={SEED}"

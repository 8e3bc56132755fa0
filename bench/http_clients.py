"""Compares HTTP clients that read into the pipeline: 1 GiB from nginx on loopback, hashed with sha512.

Each client feeds lading's own pipeline (16 buffers of 1 MiB, reused; hashing in a second thread) in a separate process,
in turns, for several rounds. The chunks of clients that allocate their own are copied to the buffers. Needs nginx.
Clients that are not installed are left out: pip install urllib3 requests httpx.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lading.adapters.stream import pipeline
from lading.adapters.stream.pipeline import Chunk

GIBIBYTE = 1 << 30


class Copied:
    """A stream that copies the chunks of a client to the pipeline's buffers."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        pass


def with_http_client(host: str, port: int) -> object:
    import http.client  # noqa: PLC0415 - one client in each process

    connection = http.client.HTTPConnection(host, port)
    connection.request("GET", "/image")
    return connection.getresponse()


def with_urllib3(host: str, port: int) -> object:
    import urllib3  # noqa: PLC0415

    return urllib3.PoolManager().request("GET", f"http://{host}:{port}/image", preload_content=False)


def with_requests(host: str, port: int) -> object:
    import requests  # noqa: PLC0415

    answer = requests.get(f"http://{host}:{port}/image", stream=True, timeout=60)
    return Copied(answer.iter_content(1 << 20))


def with_httpx(host: str, port: int) -> object:
    import httpx  # noqa: PLC0415

    client = httpx.Client()
    answer = client.send(client.build_request("GET", f"http://{host}:{port}/image"), stream=True)
    return Copied(answer.iter_raw(1 << 20))


def with_lading(host: str, port: int) -> object:
    """Uses http.client too, but takes each piece when it arrives: http.client's readinto waits for a full buffer."""
    from lading.adapters.web.http import HttpOptions, Origin  # noqa: PLC0415
    from lading.adapters.web.mirrors import Mirrors  # noqa: PLC0415
    from lading.adapters.web.remote import RemoteStream  # noqa: PLC0415

    return RemoteStream(Mirrors([Origin(f"http://{host}:{port}/image")], HttpOptions()))


CLIENTS: dict[str, Callable[[str, int], object]] = {
    "lading": with_lading,
    "http.client": with_http_client,
    "urllib3": with_urllib3,
    "requests": with_requests,
    "httpx": with_httpx,
}


def child(client: str, port: int) -> None:
    """Reads the whole image and prints the seconds."""
    from lading.adapters.stream.sources import StreamSource  # noqa: PLC0415 - the parent does not need it

    hashed = hashlib.sha512()

    def take(chunk: Chunk) -> None:
        if chunk.buffer is not None:
            hashed.update(chunk.view)

    started = time.perf_counter()
    stream = CLIENTS[client]("127.0.0.1", port)
    size = pipeline.run(StreamSource(stream, None), (take,), lambda _: None)  # type: ignore[arg-type]  # each has readinto
    if size != GIBIBYTE:
        sys.exit(f"{client} read {size} bytes")
    print(time.perf_counter() - started)


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Starts nginx in the foreground, and returns it and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    sys.exit("nginx did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds for the medians (default 5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]))
        return
    installed = [name for name in CLIENTS if importlib.util.find_spec(name)]
    times: dict[str, list[float]] = {name: [] for name in ["hashlib alone", *installed]}
    with tempfile.TemporaryDirectory(prefix="lading-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "image").write_bytes(os.urandom(GIBIBYTE))
        server, port = serve(folder)
        try:
            for _ in range(options.rounds):
                started = time.perf_counter()
                with (folder / "image").open("rb") as image:
                    hashlib.file_digest(image, "sha512")
                times["hashlib alone"].append(time.perf_counter() - started)
                for each in installed:
                    command = [sys.executable, __file__, "--child", each, str(port)]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    times[each].append(float(done.stdout))
        finally:
            server.terminate()
            server.wait()
    medians = {name: statistics.median(each) for name, each in times.items()}
    for each, seconds in medians.items():
        print(f"{each:<16}{seconds:>8.2f} s{seconds / medians['hashlib alone']:>8.2f} × hashlib alone")
    if options.json:
        Path(options.json).write_text(json.dumps(medians, indent=2))


if __name__ == "__main__":
    main()

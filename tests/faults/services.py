"""A stand-in for W&B's server, which hangs, fails or refuses; and W&B's own files, read without it."""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ANSWERS = {"hangs": None, "fails": 500, "refuses the key": 401}
BLOCK, HEADER = 32768, 7  # bytes, of LevelDB's log format, which W&B's files are in


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.status is None:
            time.sleep(600)
        self.send_response(self.server.status or 500)
        self.end_headers()

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *arguments) -> None:
        pass


@contextmanager
def stand_in(manner: str) -> Iterator[str]:
    """Serve, in that manner, at the address that is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close, server.status = True, False, ANSWERS[manner]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def content(file: Path) -> bytes:
    """Return the records of a .wandb file, one after the other: fragments of 32 KiB blocks put together."""
    data, kept = file.read_bytes(), []
    for start in range(0, len(data), BLOCK):
        block, at = data[start : start + BLOCK], HEADER if start == 0 else 0
        while at + HEADER <= len(block):
            _crc, length, kind = struct.unpack("<IHB", block[at : at + HEADER])
            if kind == 0:
                break
            kept.append(block[at + HEADER : at + HEADER + length])
            at += HEADER + length
    return b"".join(kept)


def missing_values(run: Path, after: int = 0) -> list[tuple[int, str]]:
    """Return the logged values, by step and name, that W&B's files of a run do not hold."""
    known = b"".join(content(file) for file in sorted(run.glob("wandb/*run-*/*.wandb")))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        (line["step"], name)
        for line in lines
        for name, value in line.items()
        if line["step"] > after and json.dumps(value).encode() not in known
    ]

"""Starts and stops the broker under test."""

import os
import re
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

START_SECONDS = 10
STOP_SECONDS = 10

LISTENING = re.compile(r"listening (on|for WebSockets on) (\d+\.\d+\.\d+\.\d+):(\d+)")


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    websocket_port: int | None = None


def program():
    """The broker's binary: `MQTTD`, or what `cargo build --release` made."""
    root = Path(__file__).resolve().parent.parent
    target = root / os.environ.get("CARGO_TARGET_DIR", "target")
    return Path(os.environ.get("MQTTD", target / "release" / "mqttd"))


class Broker:
    """A broker process of its own, on a port of the system's choice.

    It keeps its state on disk, unless `STORE` is `memory`.
    """

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="mqttd-interop-")
        command = [program(), "--listen", "127.0.0.1:0", "--websocket", "127.0.0.1:0"]
        if os.environ.get("STORE") != "memory":
            command += ["--data-dir", self._directory.name]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._log = []
        found = SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(found,), daemon=True)
        self._reader.start()
        ports = {}
        try:
            while len(ports) < 2 and (listening := found.get(timeout=START_SECONDS)):
                kind, host, port = listening
                ports[kind] = port
        except Empty:
            pass
        if len(ports) < 2:
            self._process.kill()
            raise ChildProcessError(f"{' '.join(map(str, command))} does not listen:\n{self.log()}")
        self.address = Address(host, ports["on"], ports["for WebSockets on"])

    def log(self):
        return "".join(self._log)

    def stop(self):
        """Ends the broker with SIGTERM and returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise TimeoutError(f"The broker runs on {STOP_SECONDS} s after SIGTERM:\n{self.log()}") from None
        self._reader.join(STOP_SECONDS)
        self._directory.cleanup()
        return code

    def _read(self, found):
        """Reads to the end of the process: a full pipe would stop the broker."""
        with self._process.stderr as lines:
            for line in lines:
                self._log.append(line)
                match = LISTENING.search(line)
                if match:
                    found.put((match[1], match[2], int(match[3])))
        found.put(None)

"""A terminal of our own: commands run in one of so many columns, and what they leave on it is read back line by line."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")


def run(columns, *words, cwd=None):
    """Run `striate` in a terminal of so many columns: exit status, and every line as it was written, bars too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**environment, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the terminal is closed at its end
            break
        if not part:
            break
        written += part
    os.close(ours)
    return process.wait(), lines(written.decode())


def lines(written):
    """What was written, without colours and movements of the cursor."""
    text = ESCAPE.sub("", written.replace("\r\n", "\n").replace("\r", "\n"))
    return [line.rstrip() for line in text.split("\n") if line.strip()]

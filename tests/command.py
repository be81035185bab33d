"""The command line as tests call it: in a process of its own, its output in files and nobody at a terminal.

Python's start and the imports take longer than most commands. So a process that has both behind it forks one for each
command: the same `main`, streams and exit code as of a process begun from nothing. What such a process would not show
(a module that nobody imports, the order of sets, which one seed decides here, signals, terminals) is for tests that
begin their own.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

SECONDS = 120
"""After which a command is taken to hang."""

WARM = """
LEFT_OUT = "__main__", "tui", "draw.heat", "draw.matplot", "draw.multiples"  # the last three need an extra
import gc, importlib, json, os, pkgutil, sys
import unrollviz.cli
for module in pkgutil.walk_packages(unrollviz.__path__, "unrollviz."):
    if not module.name.removeprefix("unrollviz.").startswith(LEFT_OUT):
        importlib.import_module(module.name)
gc.freeze()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
os.chdir(asked["cwd"])
os.environ.clear()
os.environ.update(asked["environment"])
for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
    os.dup2(os.open(asked["streams"][number], flags), number)
encoding, _, errors = os.environ["PYTHONIOENCODING"].partition(":")
errors = errors or "strict"
sys.stdin, sys.stdout = (open(n, "rw"[n], encoding=encoding, errors=errors) for n in (0, 1))
sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace")
sys.argv = ["unrollviz", *asked["arguments"]]
exec(asked["before"])
try:
    unrollviz.cli.main()
except SystemExit as end:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code)
"""


def unrollviz(
    *arguments: object, cwd: Path | None = None, given: str = "", before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `unrollviz arguments` prints to either stream, and its exit code.

    given: its standard input;  before: Python that is run in the process first."""
    with TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(streams, (given, "", ""), strict=True):
            path.write_text(text, encoding="utf-8", newline="")
        asked = {
            "arguments": list(map(str, arguments)),
            "before": before,
            "cwd": str(cwd or Path.cwd()),
            "streams": list(map(str, streams)),
            "environment": {**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        }
        code = _answer(json.dumps(asked))
        encoding = asked["environment"]["PYTHONIOENCODING"].partition(":")[0]
        out, err = (path.read_bytes().decode(encoding) for path in streams[1:])
    return subprocess.CompletedProcess(asked["arguments"], code, out, err)


def _answer(asked: str) -> int:
    if _warm().poll() is not None:
        _warm.cache_clear()
    warm = _warm()
    print(asked, file=warm.stdin, flush=True)
    if not select.select([warm.stdout], [], [], SECONDS)[0]:
        os.killpg(warm.pid, signal.SIGKILL)  # and the command with it
        _warm.cache_clear()
        raise subprocess.TimeoutExpired(asked, SECONDS)
    return int(warm.stdout.readline())


@cache
def _warm() -> subprocess.Popen[str]:
    begun = [sys.executable, "-c", WARM]
    warm = subprocess.Popen(begun, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    atexit.register(warm.kill)
    return warm

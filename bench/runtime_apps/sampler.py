# pyright: reportPrivateUsage=false
"""Where a worker's time goes: stacks of all its threads, looked at a thousand times a second, and their CPU clocks.

A sample is counted for the stage of its innermost frame that belongs to one (`STAGES`). A look needs the interpreter's
lock, so it comes when the thread that has it lets go: the switch interval is made short, or only those moments would be
seen. That costs some speed: the shares count, not the rate. Threads of librdkafka and RocksDB have no Python stacks;
their part is what is left of the CPU time of the process.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import FrameType

from bench.runtime_apps.progress import tell

EVERY_SECONDS = 0.001
SWITCH_SECONDS = 0.0002
CLOCKS_EVERY = 50
TOLD = 40

# The first that matches a frame: part of its file's path, its function ("" for any), the stage.
STAGES = (
    ("streams/agents/intake.py", "_is_duplicate", "dedupe"),
    ("streams/agents/intake.py", "", "decode and validate"),
    ("streams/agents/ingest.py", "unframing", "decode and validate"),
    ("streams/agents/ingest.py", "outgoing", "encode"),
    ("schemas/writes.py", "", "encode"),
    ("streams/enrichment/", "", "enrich"),
    ("streams/agents/travellers.py", "", "enrich: state"),
    ("streams/agents/embed.py", "", "embed"),
    ("connectors/embedders/", "", "embed"),
    ("streams/routing/", "", "route"),
    ("streams/runtime/publisher.py", "", "publish"),
    ("streams/deadletters.py", "", "publish"),
    ("streams/runtime/metrics.py", "", "metrics"),
    ("streams/runtime/transactions.py", "", "commit of state"),
    ("streams/runtime/entries.py", "", "commit of state"),
    ("streams/agents/events.py", "", "the pass around the stages"),
    ("streams/runtime/unpacking.py", "", "fetch: unpack"),
    ("aiokafka/", "", "fetch: driver"),
    ("streams/runtime/", "", "runtime"),
    ("faust/", "", "Faust"),
    ("mode/", "", "Faust"),
    ("streams/reference/", "", "reference"),
)
# What a thread does that waits: its innermost function.
WAITING = frozenset(
    {"run_forever", "run_until_complete", "execute_from_commandline", "_start_thread", "wait", "select"}
    | {"_serve", "_read", "_run", "run", "_worker", "poll"}
)


class Sampler:
    """Samples this process while it runs, and tells at its end what was seen."""

    def __init__(self) -> None:
        self._stages: dict[str, Counter[str]] = {}
        self._functions: dict[str, Counter[str]] = {}
        self._before = _cpu_by_thread()
        self._cpu: dict[str, float] = {}
        self._stopping = threading.Event()

    async def run(self) -> None:
        """Sample until cancelled."""
        sys.setswitchinterval(SWITCH_SECONDS)
        thread = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self._before, began = _cpu_by_thread(), time.process_time()
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stopping.set()
            thread.join()
            self._cpu["process"] = time.process_time() - began
            tell(
                profile={
                    "cpu": self._cpu,
                    "stages": self._stages,
                    "functions": {name: dict(one.most_common(TOLD)) for name, one in self._functions.items()},
                }
            )

    def _sample(self) -> None:
        own = threading.get_ident()
        looks = 0
        while not self._stopping.wait(EVERY_SECONDS):
            if looks % CLOCKS_EVERY == 0:  # in between, because some threads end before this one
                for name, cpu in _cpu_by_thread().items():
                    self._cpu[name] = cpu - self._before.get(name, 0.0)
            looks += 1
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident == own:
                    continue
                code = frame.f_code
                waits = code.co_name in WAITING
                name = names.get(ident, "?")
                self._stages.setdefault(name, Counter())["waiting" if waits else stage_of(frame)] += 1
                if not waits:
                    place = f"{_short(code.co_filename)}:{frame.f_lineno} {code.co_name}"
                    self._functions.setdefault(name, Counter())[place] += 1


def stage_of(frame: FrameType) -> str:
    """Return the stage of the innermost frame that belongs to one."""
    for file, function in _frames(frame):
        for part, wanted, stage in STAGES:
            if part in file and wanted in ("", function):
                return stage
    return "other"


def _frames(frame: FrameType | None) -> Iterator[tuple[str, str]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_code.co_name
        frame = frame.f_back


def _short(file: str) -> str:
    return "/".join(file.split("/")[-3:])


def _cpu_by_thread() -> dict[str, float]:
    clocks: dict[str, float] = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            clocks[thread.name] = clocks.get(thread.name, 0.0) + time.clock_gettime(clock)
    return clocks

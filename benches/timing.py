"""What the scripts that time the program share."""

import os
import shutil
import subprocess
import time

MASK = (1 << 64) - 1


def mix(number):
    """The examples' seeded numbers (splitmix64)."""
    z = (number + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def install(program, folder):
    """Copies the program, as an installation does: what a linker wrote takes the system longer to map (1 ms a start)."""
    installed = folder + "/fluxwatch"
    shutil.copy(program, installed)
    with open(installed, "rb") as file:
        os.fsync(file.fileno())
    return installed


def evict(path):
    """Makes the kernel forget the pages of a file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def tell(what, times):
    """Prints the spread of times that are in seconds."""
    times.sort()
    at = lambda share: times[int((len(times) - 1) * share)] * 1000
    print(f"{what}: p50 {at(0.5):.2f} ms, p99 {at(0.99):.2f} ms, most {times[-1] * 1000:.2f} ms ({len(times)} runs)", flush=True)


def time_lookups(program, config, database, names):
    """Times `fluxwatch history NAME` with a cold and a warm cache, and what a start and a read of a page cost anyway."""

    def look(name):
        started = time.perf_counter()
        out = subprocess.run([program, "--config", config, "history", name, "--format", "ndjson"], check=True, stdout=subprocess.PIPE).stdout
        took = time.perf_counter() - started
        assert out, name
        return took

    times = {"cold": [], "warm": []}
    for name in names:
        evict(database)
        times["cold"].append(look(name))
        times["warm"].append(look(name))
    for cache, took in times.items():
        tell(f"fluxwatch history NAME, process start included, cache {cache}", took)
    for floor in ([program, "--version"], ["/bin/true"]):
        took = []
        for _ in range(100):
            started = time.perf_counter()
            subprocess.run(floor, check=True, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - started)
        tell(f"floor: {os.path.basename(floor[0])} {' '.join(floor[1:])}", took)
    evict(database)
    took = []
    with open(database, "rb", buffering=0) as file:
        pages = os.fstat(file.fileno()).st_size // 4096
        for number in range(300):
            started = time.perf_counter()
            os.pread(file.fileno(), 4096, mix(number) % pages * 4096)
            took.append(time.perf_counter() - started)
    tell("floor: one page read, cache cold", took)

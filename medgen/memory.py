"""How much memory there is, and refusing work that would need more before it is begun.

A process that asks for more than there is gets killed without a word, hours later.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medgen.errors import ResourceError

GIB = 2**30
MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def require_memory(needed: float, what: str) -> None:
    """Refuse work that needs more memory than there is, where the system tells how much there is.

    Args:
        needed: bytes beyond those that are taken already.
        what: that needs them, as the beginning of a sentence.

    Raises:
        ResourceError: there are fewer.
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise ResourceError(
            f"{what} needs about {needed / GIB:.1f} GiB of memory, but {available / GIB:.1f} GiB "
            "are free; end other programs, take a larger machine, or cut the scan into parts."
        )


def available_bytes() -> int | None:
    """Memory a process can still take without swapping, None where the system does not tell.

    On Linux that is what the kernel takes for available, or less where a control group (a
    container, a batch job) sets a limit.
    """
    try:
        fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return min([free, *_left_by_limits()])


def _left_by_limits() -> Iterator[int]:
    """What every limit on this process, or on a group it is in, leaves of memory."""
    try:
        lines = CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            top, limit, usage, cache = MOUNT, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, usage = MOUNT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            try:
                most = int((folder / limit).read_text())
                used = int((folder / usage).read_text())
                stat = dict(
                    line.split() for line in (folder / "memory.stat").read_text().splitlines()
                )
                yield most - used + int(stat.get(cache, 0))
            except (OSError, ValueError):
                pass  # no limit, or not ours to read
            if folder == top:
                break

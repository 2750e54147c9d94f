"""What a process frees stays with it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Ever larger blocks, one after another: glibc by itself asks the system for each of them, as it
# knows only blocks as large as the largest so far for something that comes again. Counted are the
# pages that the system hands out.
_SCRIPT = """
import resource
import sys
import torch
from selfsteer.app.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for megabytes in range(1, 31):
    torch.ones(megabytes * 2**18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _pages(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_what_was_freed_is_not_asked_for_again() -> None:
    assert _pages("keep") < _pages("leave") / 2

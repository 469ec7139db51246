"""The child that runs untrusted Python: it confines itself, runs the program, and says how it ended.

Standard library only; run by its path in a fresh interpreter (`sandbox.run_program`). One pipe gives it the program and
a word to say first, which the program is not told; another takes how it ended. Linux alone can do this without
privileges: Landlock says which files may be touched, a seccomp filter which system calls may be made, and resource
limits hold the rest.
"""

import ctypes
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2

_EXECUTE, _WRITE, _READ, _READ_DIR = 1, 2, 4, 8
_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Rights that Landlock can withhold, by the version that brought them: the first knows 13 of files, and so on."""

_ALLOW, _REFUSE, _MISSING = 0x7FFF0000, 0x00050001, 0x00050026
"""What a filter answers: go on, EPERM, ENOSYS (glibc then takes the older call, which is looked at)."""


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


CALLS: dict[str, dict[str, Any]] = {
    "x86_64": {
        "arch": 0xC000003E,
        # socket, fork, vfork, execve, execveat, ptrace, shmget, semget, msgget, setrlimit, mount, unshare,
        # setns, process_vm_readv, process_vm_writev, io_uring_setup, bpf, perf_event_open, userfaultfd, add_key,
        # request_key, keyctl, pidfd_send_signal, pidfd_open, tkill
        "refused": _numbers(
            "41 57 58 59 322 101 29 64 68 160 165 272 308 310 311 425 321 298 323 248 249 250 424 434 200"
        ),
        "clone": 56,
        "clone3": 435,
        "prlimit": 302,
        "kill": (62, 234),
        "renumbered": 0x40000000,
    },
    "aarch64": {
        "arch": 0xC00000B7,
        "refused": _numbers(
            "198 221 281 117 194 190 186 164 40 97 268 270 271 425 280 241 282 217 218 219 424 434 130"
        ),
        "clone": 220,
        "clone3": 435,
        "prlimit": 261,
        "kill": (129, 131),
        "renumbered": 0,
    },
}
"""System calls by machine. Without sockets there is no network, without fork and exec no other process."""


def main() -> None:
    """Confine this process, run what is given, and say "pass" or why not."""
    given, said, seconds, memory, folder, *readable = sys.argv[1:]
    word, code, tests = _read(int(given))

    def say(status: str, why: str) -> None:
        os.write(int(said), f"{word}{status}\n{why}".encode("utf-8", "replace"))
        # The program may have left threads or exit handlers that hang; nothing after this matters.
        os._exit(0)

    try:
        limit(int(seconds), int(memory))
        restrict_files(folder, readable)
        restrict_calls()
    except OSError as error:
        say("error", f"the sandbox cannot be closed: {error}")
    names = {"__name__": "__main__"}
    try:
        exec(compile(code, "answer.py", "exec"), names)
        exec(compile(tests, "tests.py", "exec"), names)
    except MemoryError:
        say("error", "more memory than allowed")
    except BaseException as error:
        say("fail", f"{type(error).__name__}: {error}"[:500])
    say("pass", "")


def _read(given: int) -> tuple[str, str, str]:
    """Return the word, the program and its tests: each has its length before it."""
    parts = []
    with os.fdopen(given, "rb") as pipe:
        for _ in range(3):
            (length,) = struct.unpack("<Q", pipe.read(8))
            parts.append(pipe.read(length).decode())
    return parts[0], parts[1], parts[2]


def limit(seconds: int, memory: int) -> None:
    """Hold processor seconds, bytes of memory, bytes of a file, and leave no core."""
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 1 << 24),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    # At the first limit comes SIGXCPU, which says what happened; at the second SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def restrict_files(folder: str, readable: list[str]) -> None:
    """Let nothing be read but `readable`, and nothing be written but in `folder` (Landlock)."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = _called(libc.syscall(_CREATE_RULESET, None, 0, 1), "Landlock")
    known = max(bits for since, bits in _RIGHTS if since <= version)
    every = (1 << known) - 1
    attributes = struct.pack("<Q", every)
    ruleset = _called(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    rules = [(folder, every & ~_EXECUTE), ("/dev/null", _READ | _WRITE), ("/dev/urandom", _READ)]
    rules += [(place, _EXECUTE | _READ | _READ_DIR) for place in readable]
    for place, rights in rules:
        if not Path(place).exists():
            continue
        if not Path(place).is_dir():
            rights &= _EXECUTE | _WRITE | _READ
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
        _called(libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("<Qi", rights, handle), 0), place)
        os.close(handle)
    _called(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _called(libc.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def restrict_calls() -> None:
    """Refuse the system calls that reach other processes or the network (seccomp)."""
    calls = CALLS.get(os.uname().machine)
    if calls is None:
        raise OSError(f"no table of system calls for {os.uname().machine}")
    program = _filter(calls, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, then a pointer to them.
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    _called(libc.prctl(_SET_SECCOMP, _FILTER_MODE, head, 0, 0), "seccomp")


def _filter(calls: dict[str, Any], own: int) -> bytes:
    """Return the filter, a classic BPF program over struct seccomp_data (number 0, machine 4, arguments from 16)."""
    number, machine, first, third = 0, 4, 16, 32
    lines: list[tuple[int, int, int, int]] = [_load(machine), *_unless(calls["arch"], _REFUSE), _load(number)]
    if calls["renumbered"]:
        lines += [(0x35, 0, 1, calls["renumbered"]), _answer(_REFUSE)]
    for call in calls["refused"]:
        lines += [(0x15, 0, 1, call), _answer(_REFUSE)]
    lines += [(0x15, 0, 1, calls["clone3"]), _answer(_MISSING)]
    # A thread may be made, a process not: CLONE_THREAD is 0x10000.
    lines += [(0x15, 0, 4, calls["clone"]), _load(first), (0x45, 1, 0, 0x10000), _answer(_REFUSE), _answer(_ALLOW)]
    # Limits may be read, not set: the third argument is the new limit, a pointer of two words.
    lines += [(0x15, 0, 6, calls["prlimit"]), _load(third), (0x15, 0, 2, 0), _load(third + 4), (0x15, 1, 0, 0)]
    lines += [_answer(_REFUSE), _answer(_ALLOW)]
    for call in calls["kill"]:
        lines += [(0x15, 0, 4, call), _load(first), (0x15, 1, 0, own), _answer(_REFUSE), _answer(_ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, _answer(_ALLOW)])


def _load(offset: int) -> tuple[int, int, int, int]:
    return (0x20, 0, 0, offset)


def _answer(value: int) -> tuple[int, int, int, int]:
    return (0x06, 0, 0, value)


def _unless(value: int, answer: int) -> list[tuple[int, int, int, int]]:
    return [(0x15, 1, 0, value), _answer(answer)]


def _called(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())} ({what})")
    return result


if __name__ == "__main__":
    main()

"""The filter of system calls: a small BPF program, written here, that bubblewrap loads before a program starts.

Namespaces decide what an agent can see; the filter takes away the kernel's rarely used doors, behind which most holes
were found: keyrings, ptrace, bpf, io_uring, mounts, new namespaces, strange socket families, keystrokes put into a
terminal. What is forbidden answers EPERM, as if the right were missing; what the kernel may learn after this was
written answers ENOSYS, and programs fall back. Programs for another architecture are ended.
"""

import errno
import platform
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

LAST_KNOWN = 462
"""mseal, of Linux 6.10. Numbers are the same on every architecture from 424 on."""

NEW_NAMESPACES = 0x7E020080
"""All CLONE_NEW* flags."""
TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX put keystrokes into a terminal, whose shell would run them."""
SOCKET_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)
"""16 is netlink, with which programs list interfaces. Others, such as vsock, are not held by a network namespace."""

_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
}
CLONE3 = 435
"""Its flags lie in memory, where a filter cannot look; the C library falls back to clone."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """System calls by number."""

    audit: int
    forbidden: dict[str, int]
    clone: int
    ioctl: int
    socket: int


ARCHITECTURES = {
    "x86_64": Architecture(
        audit=0xC000003E,
        clone=56,
        ioctl=16,
        socket=41,
        forbidden=_EVERYWHERE
        | {
            "ptrace": 101,
            "syslog": 103,
            "uselib": 134,
            "ustat": 136,
            "sysfs": 139,
            "vhangup": 153,
            "modify_ldt": 154,
            "pivot_root": 155,
            "_sysctl": 156,
            "adjtimex": 159,
            "chroot": 161,
            "acct": 163,
            "settimeofday": 164,
            "mount": 165,
            "umount2": 166,
            "swapon": 167,
            "swapoff": 168,
            "reboot": 169,
            "iopl": 172,
            "ioperm": 173,
            "create_module": 174,
            "init_module": 175,
            "delete_module": 176,
            "quotactl": 179,
            "nfsservctl": 180,
            "lookup_dcookie": 212,
            "clock_settime": 227,
            "kexec_load": 246,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "migrate_pages": 256,
            "unshare": 272,
            "move_pages": 279,
            "perf_event_open": 298,
            "fanotify_init": 300,
            "name_to_handle_at": 303,
            "open_by_handle_at": 304,
            "clock_adjtime": 305,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "kcmp": 312,
            "finit_module": 313,
            "kexec_file_load": 320,
            "bpf": 321,
            "userfaultfd": 323,
        },
    ),
    "aarch64": Architecture(
        audit=0xC00000B7,
        clone=220,
        ioctl=29,
        socket=198,
        forbidden=_EVERYWHERE
        | {
            "lookup_dcookie": 18,
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "nfsservctl": 42,
            "chroot": 51,
            "vhangup": 58,
            "quotactl": 60,
            "acct": 89,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "delete_module": 106,
            "clock_settime": 112,
            "syslog": 116,
            "ptrace": 117,
            "reboot": 142,
            "settimeofday": 170,
            "adjtimex": 171,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "swapon": 224,
            "swapoff": 225,
            "migrate_pages": 238,
            "move_pages": 239,
            "perf_event_open": 241,
            "fanotify_init": 262,
            "name_to_handle_at": 264,
            "open_by_handle_at": 265,
            "clock_adjtime": 266,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "kcmp": 272,
            "finit_module": 273,
            "bpf": 280,
            "userfaultfd": 282,
            "kexec_file_load": 294,
        },
    ),
}


def seccomp_filter(machine: str = "") -> bytes | None:
    """The program for this machine, or the named one, as bubblewrap's --seccomp reads it. None for others."""
    known = ARCHITECTURES.get(machine or platform.machine())
    return b"".join(_program(known)) if known is not None else None


def _program(known: Architecture) -> Iterator[bytes]:
    yield _instruction(_LOAD, _ARCHITECTURE_AT)
    yield from _unless_equal(known.audit, _KILL)
    yield _instruction(_LOAD, _NUMBER_AT)
    # The x32 calls of x86_64 have bit 30 set, so they are above it too.
    yield _instruction(_JUMP_ABOVE, LAST_KNOWN, no=1)
    yield _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    yield from _if_equal(CLONE3, _ERRNO | errno.ENOSYS)
    for number in sorted(known.forbidden.values()):
        yield from _if_equal(number, _ERRNO | errno.EPERM)
    yield from _argument_rule(
        known.clone,
        0,
        [_instruction(_JUMP_ANY_BIT, NEW_NAMESPACES, no=1), _instruction(_RETURN, _ERRNO | errno.EPERM)],
    )
    yield from _argument_rule(
        known.ioctl, 1, [line for each in TERMINAL_INPUT for line in _if_equal(each, _ERRNO | errno.EPERM)]
    )
    families = [line for each in SOCKET_FAMILIES for line in _if_equal(each, _ALLOW)]
    yield from _argument_rule(known.socket, 0, [*families, _instruction(_RETURN, _ERRNO | errno.EAFNOSUPPORT)])
    yield _instruction(_RETURN, _ALLOW)


def _argument_rule(number: int, argument: int, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Rules for one call, which look at the low half of an argument: the kernel reads no more of these."""
    body = [_instruction(_LOAD, _ARGUMENTS_AT + 8 * argument), *lines, _instruction(_RETURN, _ALLOW)]
    yield _instruction(_JUMP_EQUAL, number, no=len(body))
    yield from body


def _if_equal(value: int, action: int) -> tuple[bytes, bytes]:
    return _instruction(_JUMP_EQUAL, value, no=1), _instruction(_RETURN, action)


def _unless_equal(value: int, action: int) -> tuple[bytes, bytes]:
    return _instruction(_JUMP_EQUAL, value, yes=1), _instruction(_RETURN, action)


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """A struct sock_filter: `yes` and `no` are how many instructions a jump leaves out."""
    return struct.pack("=HBBI", code, yes, no, value)

"""The system calls that a solution may make; a seccomp filter refuses every other.

The list says what is allowed, so a call that nobody thought of, or of a future kernel, is refused.
A solution can make threads but no processes. It cannot execute programs, open sockets (except the
socketpair of asyncio), send signals to others, change modes, owners and times of files (which
Landlock does not guard), or change limits, priorities and affinities of others.
"""

import ctypes
import errno
import struct

from verifiers.sandbox import kernel

_ALLOWED = """
access 21 -; alarm 37 -; brk 12 214; chdir 80 49; clock_getres 229 114; clock_gettime 228 113;
clock_nanosleep 230 115; close 3 57; close_range 436 436; copy_file_range 326 285; creat 85 -;
dup 32 23; dup2 33 -; dup3 292 24; epoll_create 213 -; epoll_create1 291 20; epoll_ctl 233 21;
epoll_pwait 281 22; epoll_pwait2 441 441; epoll_wait 232 -; eventfd2 290 19; exit 60 93;
exit_group 231 94; faccessat 269 48; faccessat2 439 439; fadvise64 221 223; fallocate 285 47;
fchdir 81 50; fdatasync 75 83; flock 73 32; fstat 5 80; fstatfs 138 44; fsync 74 82;
ftruncate 77 46; futex 202 98; futex_waitv 449 449; get_robust_list 274 100; getcpu 309 168;
getcwd 79 17; getdents64 217 61; getegid 108 177; geteuid 107 175; getgid 104 176;
getgroups 115 158; getitimer 36 102; getpgid 121 155; getpgrp 111 -; getpid 39 172;
getppid 110 173; getpriority 140 141; getrandom 318 278; getresgid 120 150; getresuid 118 148;
getrlimit 97 163; getrusage 98 165; getsid 124 156; getsockopt 55 209; gettid 186 178;
gettimeofday 96 169; getuid 102 174; lseek 8 62; lstat 6 -; madvise 28 233; membarrier 324 283;
mkdir 83 -; mkdirat 258 34; mmap 9 222; mprotect 10 226; mremap 25 216; msync 26 227;
munmap 11 215; nanosleep 35 101; newfstatat 262 79; open 2 -; openat 257 56; pause 34 -;
pipe 22 -; pipe2 293 59; poll 7 -; ppoll 271 73; pread64 17 67; preadv 295 69; preadv2 327 286;
pselect6 270 72; pwrite64 18 68; pwritev 296 70; pwritev2 328 287; read 0 63; readlink 89 -;
readlinkat 267 78; readv 19 65; recvfrom 45 207; rename 82 -; renameat 264 38; renameat2 316 276;
restart_syscall 219 128; rmdir 84 -; rseq 334 293; rt_sigaction 13 134; rt_sigpending 127 136;
rt_sigprocmask 14 135; rt_sigreturn 15 139; rt_sigsuspend 130 133; rt_sigtimedwait 128 137;
sched_get_priority_max 146 125; sched_get_priority_min 147 126; sched_getaffinity 204 123;
sched_getparam 143 121; sched_getscheduler 145 120; sched_yield 24 124; select 23 -;
sendfile 40 71; sendto 44 206; set_robust_list 273 99; set_tid_address 218 96; setitimer 38 103;
setrlimit 160 164; shutdown 48 210; sigaltstack 131 132; splice 275 76; stat 4 -; statfs 137 43;
statx 332 291; sysinfo 99 179; tee 276 77; time 201 -; times 100 153; umask 95 166; uname 63 160;
unlink 87 -; unlinkat 263 35; wait4 61 260; waitid 247 95; write 1 64; writev 20 66
"""  # name, its number on x86_64, on aarch64
_CONDITIONAL = {  # allowed with some arguments only; numbers as above
    "clone": (56, 220),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "kill": (62, 129),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "socketpair": (53, 199),
    "tgkill": (234, 131),
}
# Higher numbers are "not implemented", so that libraries use older calls. One of them is clone3,
# whose flags are in memory, which a filter cannot see.
_FIRST_RECENT = 424

_CLONE_THREAD = 0x10000
_CLONE_REFUSED = 0x7E020000 | 0x2000 | 0x8000  # CLONE_NEW*, CLONE_PTRACE, CLONE_PARENT
_FCNTL_REFUSED = (8, 10, 15, 1024, 1026)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: they send signals;
#                                           F_SETLEASE, F_NOTIFY
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD,
#                                                                    FIONBIO, FIONCLEX, FIOCLEX
_PRCTL_ALLOWED = (3, 15, 16, 23, 39, 0x53564D41)  # GET_DUMPABLE, SET_NAME, GET_NAME, CAPBSET_READ,
#                                                   GET_NO_NEW_PRIVS, SET_VMA (names of memory)
_AF_UNIX = 1
_SOCKET_TYPES = (1, 0x801, 0x80001, 0x80801)  # SOCK_STREAM, with SOCK_NONBLOCK, SOCK_CLOEXEC

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _NOT_IMPLEMENTED = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_JUMP_AT_LEAST = 0x35
_OWN_ID = 0x7FFFFFFE  # placeholder for the id of the process that installs the filter
_SECCOMP_SET_MODE_FILTER = 1

_Instruction = tuple[int, int, int, int]  # code, steps if true, steps if false, operand


class FilterTemplate:
    """A filter without the id of the process that will install it."""

    def __init__(self) -> None:
        if kernel.MACHINE not in _AUDIT_ARCH:
            raise OSError(f"no system call filter for {kernel.MACHINE}")
        program = _make_program(kernel.MACHINE)
        self._own_id_places = [at for at, (*_, word) in enumerate(program) if word == _OWN_ID]
        self._code = bytearray(b"".join(struct.pack("=HBBI", *step) for step in program))

    def install(self, own_id: int) -> None:
        """Put the filter on this process for good; new privileges must already be forbidden."""
        code = bytearray(self._code)
        for place in self._own_id_places:
            struct.pack_into("=I", code, 8 * place + 4, own_id)
        buffer = (ctypes.c_char * len(code)).from_buffer(code)
        head = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
        kernel.system_call("seccomp", _SECCOMP_SET_MODE_FILTER, 0, head)


def _make_program(machine: str) -> list[_Instruction]:
    column = list(_AUDIT_ARCH).index(machine)
    number_at, arch_at = 0, 4
    program = [
        (_LOAD, 0, 0, arch_at),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),  # 32-bit calls have different numbers
        (_LOAD, 0, 0, number_at),
    ]
    for entry in _ALLOWED.split(";"):
        number = entry.split()[1 + column]
        if number != "-":
            program += [(_JUMP_EQUAL, 0, 1, int(number)), (_RETURN, 0, 0, _ALLOW)]
    conditions = _make_conditions()
    for name, numbers in _CONDITIONAL.items():
        body = conditions[name]
        program += [(_JUMP_EQUAL, 0, len(body), numbers[column]), *body]
    program += [
        (_JUMP_AT_LEAST, 0, 1, _FIRST_RECENT),  # the x32 numbers too
        (_RETURN, 0, 0, _NOT_IMPLEMENTED),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return program


def _make_conditions() -> dict[str, list[_Instruction]]:
    return {
        "clone": [
            _load_argument(0),
            (_JUMP_SET, 0, 2, _CLONE_THREAD),
            (_JUMP_SET, 1, 0, _CLONE_REFUSED),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ],
        "fcntl": _allow_unless(1, _FCNTL_REFUSED),
        "ioctl": _allow_if(1, _IOCTL_ALLOWED),
        "kill": _allow_if(0, (_OWN_ID,)),
        "prctl": _allow_if(0, _PRCTL_ALLOWED),
        "prlimit64": _allow_if(0, (0,)),
        "socketpair": [  # of streams: a datagram could be sent to another address
            _load_argument(0),
            (_JUMP_EQUAL, 1, 0, _AF_UNIX),
            (_RETURN, 0, 0, _REFUSE),
            *_allow_if(1, _SOCKET_TYPES),
        ],
        "tgkill": _allow_if(0, (_OWN_ID,)),
    }


def _load_argument(number: int) -> _Instruction:
    """Load the lower half of an argument; the kernel reads no more of those checked here."""
    return (_LOAD, 0, 0, 16 + 8 * number)


def _allow_if(argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    steps = [(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    end = [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return [_load_argument(argument), *steps, *end]


def _allow_unless(argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    steps = [(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    end = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return [_load_argument(argument), *steps, *end]

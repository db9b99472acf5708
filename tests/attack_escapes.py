"""Programs that try to get out of the sandbox: files, processes, network, kernel, resources.

Each entry raises an exception if the sandbox refuses it. attacks.py says how names with a dollar
sign are filled in.
"""

_SYSCALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
"""  # numbers below are those of x86_64; on aarch64 they are other calls, equally refused

ESCAPES = {
    # files
    "write beside": "open('$canary', 'w').write('x')",
    "append beside": "open('$canary', 'a').write('x')",
    "make a file beside": "open('$folder/new', 'w')",
    "read beside": "open('$canary').read()",
    "list a folder beside": "import os; os.listdir('$folder')",
    "delete beside": "import os; os.unlink('$canary')",
    "rename beside": "import os; os.rename('$canary', '$canary.moved')",
    "chmod beside": "import os; os.chmod('$canary', 0o777)",
    "chmod by descriptor": "import os; os.fchmod(os.open('$canary', os.O_RDONLY), 0)",
    "chown beside": "import os; os.chown('$canary', 1, 1)",
    "utime beside": "import os; os.utime('$canary', (1, 1))",
    "truncate beside": "import os; os.truncate('$canary', 0)",
    "open to truncate": "import os; os.open('$canary', os.O_RDONLY | os.O_TRUNC)",
    "truncate a library": (
        "import os\nos.close(os.open(os.__file__, os.O_RDONLY))\n"
        "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)"
    ),
    "write a library": "import os; open(os.__file__, 'a').write('x')",
    "plant a module": "import os; open(os.path.dirname(os.__file__) + '/planted.py', 'w')",
    "extended attribute": "import os; os.setxattr('$canary', 'user.x', b'1')",
    "rename a folder out": "import os; os.mkdir('d'); os.rename('d', '$folder/d')",
    "rename a folder in": "import os; os.rename('$folder', 'd')",
    "write by /dev/null": "open('/dev/null/../../$canary', 'w')",
    "remove the work directory": "import os; os.rmdir(os.getcwd())",
    "folders without end": (
        "import os\nfor n in range(10**6): os.mkdir(str(n))\nfor n in range(10): print(n)"
    ),
    "make a folder beside": "import os; os.mkdir('$folder/new')",
    "symlink out": "import os; os.symlink('$canary', 'link'); open('link').read()",
    "hard link out": "import os; os.link('$canary', 'link'); open('link').read()",
    "read passwords": "open('/etc/passwd').read()",
    "read /root": "import os; os.listdir('/root/.ssh')",
    "write /tmp": "open('/tmp/planted', 'w').write('x')",
    "write /dev/shm": "open('/dev/shm/planted', 'w').write('x')",
    "up from the work directory": "import os; os.chdir('..'); open('planted', 'w')",
    "device": "import os; os.mknod('device', 0o60666, os.makedev(254, 0))",
    "disk": "open('/dev/vda', 'rb').read(1)",
    "core pattern": "open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')",
    # processes
    "fork": "import os\nif os.fork() == 0: os._exit(0)",
    "vfork by subprocess": "import subprocess; subprocess.run(['/bin/true'])",
    "system": "import os\nassert os.system('true') == 0",
    "spawn": "import os\nassert os.posix_spawn('/bin/true', ['true'], {})",
    "execute python": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', '0'])",
    "multiprocessing": "import multiprocessing as m\np = m.Process(target=print)\np.start()",
    "daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)"
    ),
    "raw fork": _SYSCALL + "r = call(57)\nassert r >= 0",
    "raw vfork": _SYSCALL + "r = call(58)\nassert r >= 0",
    "raw clone": _SYSCALL + "r = call(56, 17, 0, 0, 0, 0)\nassert r >= 0",
    "clone3": _SYSCALL + "b = ctypes.create_string_buffer(88)\n"
    "r = libc.syscall(ctypes.c_long(435), b, ctypes.c_long(88))\nassert r >= 0",
    "x32 fork": _SYSCALL + "r = call(0x40000000 | 57)\nassert r >= 0",
    "kill the parent": "import os; os.kill(os.getppid(), 9)",
    "kill the server": "import os; os.kill($server, 9)",
    "kill a bystander": "import os; os.kill($bystander, 9)",
    "kill everything": "import os; os.kill(-1, 9)",
    "kill the group": "import os; os.killpg(0, 9)",
    "signal the parent": "import os, signal; os.kill(os.getppid(), signal.SIGINT)",
    "signal by thread": _SYSCALL + "assert call(234, $bystander, $bystander, 9) == 0",
    "signal by tkill": _SYSCALL + "assert call(200, $bystander, 9) == 0",
    "signal by queue": _SYSCALL + "b = ctypes.create_string_buffer(128)\n"
    "r = libc.syscall(ctypes.c_long(129), ctypes.c_long($bystander), ctypes.c_long(9), b)\n"
    "assert r == 0",
    "signal by pidfd": (
        "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open($bystander), 9)"
    ),
    "signal by file": "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, $bystander)",
    "signal number of a file": "import fcntl\nfcntl.fcntl(0, 10, 9)",
    "survive the parent": _SYSCALL + "assert libc.prctl(1, 0, 0, 0, 0) == 0",
    "trace": _SYSCALL + "assert call(101, 16, $bystander, 0, 0) == 0",
    "read memory of another": _SYSCALL + "assert call(310, $bystander, 0, 0, 0, 0, 0) == 0",
    "read another's /proc": "open('/proc/$bystander/environ', 'rb').read()",
    "read the server's memory": "open('/proc/$server/mem', 'rb').read(1)",
    "read the parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "read own maps": "open('/proc/self/maps').read()",
    "list processes": "import os; assert len(os.listdir('/proc')) > 3",
    "limits of another": (
        "import resource\nresource.prlimit($bystander, resource.RLIMIT_NOFILE, (9, 9))"
    ),
    "raise own limits": (
        "import resource\nr = resource.RLIM_INFINITY\n"
        "resource.setrlimit(resource.RLIMIT_AS, (r, r))"
    ),
    "affinity": "import os; os.sched_setaffinity($bystander, {0})",
    "priority": "import os; os.setpriority(os.PRIO_PROCESS, $bystander, 19)",
    "nice": "import os; os.nice(5)",
    "scheduler": "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
    # network
    "tcp": "import socket; socket.create_connection(('127.0.0.1', $port), 1)",
    "udp": "import socket; socket.socket(type=2).sendto(b'x', ('127.0.0.1', $port))",
    "listen": "import socket; socket.create_server(('127.0.0.1', 0))",
    "ipv6": "import socket; socket.socket(socket.AF_INET6)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX).connect('$unix')",
    "datagram": (
        "import socket\none, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "one.sendto(b'x', '$unix')"
    ),
    "abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('\\0$abstract')",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packet": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "resolve": "import socket; socket.getaddrinfo('example.com', 80)",
    # the kernel
    "unshare": _SYSCALL + "assert call(272, 0x10000000) == 0",
    "setns": _SYSCALL + "assert call(308, 0, 0) == 0",
    "mount": _SYSCALL + "assert libc.mount(b'tmpfs', b'.', b'tmpfs', 0, None) == 0",
    "umount": _SYSCALL + "assert libc.umount2(b'/box', 2) == 0",
    "chroot": "import os; os.chroot('.')",
    "pivot_root": _SYSCALL + "assert libc.syscall(ctypes.c_long(155), b'.', b'.') == 0",
    "bpf": _SYSCALL + "assert call(321, 0, 0, 0) >= 0",
    "perf": _SYSCALL + "assert call(298, 0, 0, -1, -1, 0) >= 0",
    "io_uring": _SYSCALL + "b = ctypes.create_string_buffer(120)\n"
    "assert libc.syscall(ctypes.c_long(425), ctypes.c_long(4), b) >= 0",
    "userfaultfd": _SYSCALL + "assert call(323, 1) >= 0",
    "keyring": _SYSCALL + "assert call(250, 0, -3, 1) >= 0",
    "memfd": "import os; os.memfd_create('x')",
    "shared memory": _SYSCALL + "assert call(29, 4242, 4096, 0o1666) >= 0",
    "message queue": _SYSCALL + "assert call(68, 4242, 0o1666) >= 0",
    "personality": _SYSCALL + "assert call(135, 0x40000) >= 0",
    "host name": "import socket; socket.sethostname('owned')",
    "clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 1)",
    "become another": "import os; os.setuid(0); os.setresuid(1, 1, 1); os.setgid(12)",
    "inotify": _SYSCALL + "assert call(253) >= 0",
    "handle": _SYSCALL + "assert call(304, -100, 0, 0) >= 0",
    "dumpable": _SYSCALL + "assert libc.prctl(4, 1, 0, 0, 0) == 0",
    "int 0x80": (
        "import ctypes, mmap\n"
        "m = mmap.mmap(-1, 4096, prot=7)\n"
        "m.write(b'\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3')\n"  # mov eax, 2 (fork); int 0x80; ret
        "at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
        "assert ctypes.CFUNCTYPE(ctypes.c_int)(at)() >= 0"
    ),
    "inherited descriptors": (
        "import os\nfound = []\n"
        "for d in range(3, 256):\n    try:\n        os.fstat(d); found.append(d)\n"
        "    except OSError: pass\nassert found"
    ),
    "secrets of the environment": "import os\nassert [n for n in os.environ if 'SECRET' in n]",
    # resources: what the kernel or the supervisor refuses
    "50 GB": "x = bytearray(50 * 2**30)",
    "50 GB shared": "import mmap; mmap.mmap(-1, 50 * 2**30)",
    "a gigabyte on disk": "open('big', 'wb').truncate(2**30)",
    "many descriptors": "import os\nfor _ in range(5000): os.dup(0)",
    "files without end": (
        "import os\nfor number in range(100):\n"
        "    with open(str(number), 'wb') as f: f.write(bytes(2**24))\n"
        "import time; time.sleep(0.3)"
    ),
    "threads without end": (
        "import threading, time\nthreading.stack_size(32768)\nfor _ in range(3000):\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "time.sleep(0.3)"
    ),
}

"""Programs that try to earn a reward without solving the task, each with its ground truth."""

ESCAPED = {"inputs": [""], "outputs": ["escaped"]}
_SECRET = {"inputs": ["1\n", "2\n"], "outputs": ["48151623\n", "42108\n"]}
_SECRET_FUNCTION = {"fn_name": "f", "inputs": ["1", "2"], "outputs": ["48151623", "[42108]"]}
_SECRET_ASSERTS = {"test_list": ["assert f(1) == 48151623", "assert f(2) == [42108]"]}
_SECRET_CHECK = {
    "test": "def check(candidate):\n    assert candidate(1) == 48151623\n"
    "    assert abs(candidate(2) - 0.5) < 1e-6\n",
    "entry_point": "f",
}

FORGERIES = {
    "leave at once": ("import os; os._exit(0)", _SECRET),
    "leave politely": ("raise SystemExit(0)", _SECRET),
    "close stdout": ("import os; os.close(1)", _SECRET),
    "right, then an exception": ("print(48151623); 1 / 0", _SECRET),
    "right, then a bad status": ("import sys; print('escaped'); sys.exit(3)", ESCAPED),
    "right, then a signal": (
        "import os; print('escaped', flush=True); os.kill(os.getpid(), 9)",
        ESCAPED,
    ),
    "right, then a crash": (
        "print('escaped', flush=True)\nimport ctypes; ctypes.string_at(0)",
        ESCAPED,
    ),
    "search the frames": (
        "import sys\ndef look():\n    needle, f = ''.join(['481', '51623']), sys._getframe(1)\n"
        "    while f:\n        for value in [*f.f_locals.values(), *f.f_globals.values()]:\n"
        "            if needle in repr(value): print(needle)\n        f = f.f_back\nlook()",
        _SECRET,
    ),
    "search all objects": (
        "import gc\ndef look():\n    needle = ''.join(['481', '51623'])\n"
        "    if any(needle in repr(o)[:9999] for o in gc.get_objects()): print(needle)\nlook()",
        _SECRET,
    ),
    "search the memory": (
        "import ctypes\ndef look():\n    needle = b''.join([b'481', b'51623'])\n"
        "    start = id(object()) & ~0xFFFFF\n"
        "    if needle in ctypes.string_at(start, 2**20): print(needle.decode())\nlook()",
        _SECRET,
    ),
    "exception for a value": ("def f(x): raise SystemExit(0)", _SECRET_FUNCTION),
    "exit from the function": ("import os\ndef f(x): os._exit(0)", _SECRET_FUNCTION),
    "forged equality, function": (
        "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def f(x): return E()",
        _SECRET_FUNCTION,
    ),
    "forged list": (
        "class L(list):\n    def __eq__(self, other): return True\ndef f(x): return L()",
        _SECRET_FUNCTION,
    ),
    "patched json": (
        "import json\njson.dumps = lambda *a, **k: '48151623'\njson.loads = lambda *a, **k: 1\n"
        "def f(x): return x",
        {"fn_name": "f", "inputs": ["1"], "outputs": ["7"]},
    ),
    "patched codec": (
        "import sys\nsys.modules['verifiers.code.values'].encode = lambda *a: {'type': 'x'}\n"
        "def f(x): return x",
        _SECRET_FUNCTION,
    ),
    "written past the codec": (
        'import os\ndef f(x):\n    os.write(4, b\'{"type": "any", "items": 1}\'); os._exit(0)',
        _SECRET_FUNCTION,
    ),
    "deep result": (
        "import os\ndef f(x):\n    os.write(4, b'[' * 10**6); os._exit(0)",
        _SECRET_FUNCTION,
    ),
    "pickle for a result": (
        "import os\ndef f(x):\n    os.write(4, b'cos\\nsystem\\n(S\\'true\\'\\ntR.'); os._exit(0)",
        _SECRET_FUNCTION,
    ),
    "forged equality": (
        "class E:\n    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\ndef f(x): return E()",
        _SECRET_ASSERTS,
    ),
    "forged subclass": (
        "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def f(x): return E()",
        _SECRET_ASSERTS,
    ),
    "forged everything": (
        "class E:\n    def __getattr__(self, n): return lambda *a: E()\n"
        "    __eq__ = __lt__ = __gt__ = __le__ = __contains__ = lambda *a: True\n"
        "    __sub__ = __rsub__ = __abs__ = lambda *a: E()\n    __float__ = lambda s: 0.0\n"
        "def f(x): return E()",
        _SECRET_CHECK,
    ),
    "own abs": (
        "class Z(float): pass\ndef abs(x): return 0\ndef f(x): return 48151623",
        _SECRET_CHECK,
    ),
    "own check": ("def check(candidate): pass\ndef f(x): return 0", _SECRET_CHECK),
    "patched builtins": (
        "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = SystemExit\n"
        "def f(x): return 48151623",
        _SECRET_CHECK,
    ),
    "end of iteration": (
        "def f(x): raise StopIteration",
        {
            "test_list": ["assert all(map(lambda x: f(x) == 5, [1, 2]))"],
        },
    ),
    "generator exit": ("def f(x): raise GeneratorExit", _SECRET_ASSERTS),
    "exit from an assert": ("import sys\ndef f(x): sys.exit(0)", _SECRET_ASSERTS),
    "hard exit from an assert": ("import os\ndef f(x): os._exit(0)", _SECRET_ASSERTS),
    "module that exits": ("import sys; sys.exit(0)", _SECRET_ASSERTS),
    "walk for the expected value": (
        "import sys, gc\n"
        "def f(x):\n"
        "    needle, frame = ''.join(['481', '51623']), sys._getframe(1)\n"
        "    hits = [o for o in gc.get_objects() if needle in repr(o)[:9999]]\n"
        "    while frame:\n"
        "        hits += [1] if int(needle) in frame.f_code.co_consts else []\n"
        "        frame = frame.f_back\n"
        "    return int(needle) if hits else 0",
        {"test_list": ["assert f(1) == 48151623"]},
    ),
    "answer in the peer's stead": (
        "import os\ndef f(x):\n    os.write(3, b'{\"value\": 5}\\n' * 9); os._exit(0)",
        _SECRET_ASSERTS,
    ),
    "command the tests": (
        'import os\ndef f(x):\n    os.write(3, b\'{"operation": "call", "target": 0, \'\n'
        '        b\'"arguments": [], "keywords": {}}\\n\'); os._exit(0)',
        _SECRET_ASSERTS,
    ),
    "forged exception class": (
        'import os\ndef f(x):\n    os.write(3, b\'{"error": {"type": "builtin", "name": \'\n'
        '        b\'"SystemExit"}, "text": ""}\\n\')',
        _SECRET_ASSERTS,
    ),
    "text that never ends": (
        "class E:\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\n"
        "def f(x): return E()",
        {"test_list": ["assert str(f(1)) == '5'"]},
    ),
    "items that never end": (
        "import itertools\ndef f(x): return itertools.count()",
        {"test_list": ["assert list(f(1)) == [5]"]},
    ),
    "kill the tests": (
        "import os\ndef f(x):\n    for p in range(2, 50):\n"
        "        try: os.kill(p, 9)\n        except OSError: pass\n    return 5",
        _SECRET_ASSERTS,
    ),
}

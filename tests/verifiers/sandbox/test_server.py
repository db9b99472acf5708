"""The code server: when it ends, and what it ends."""

import os

from code_helpers import HONEST, LAYERS, TRUTH, find_descendants, start_server, wait_until

from verifiers.code.program import grade


def test_the_server_ends_with_its_last_client():
    server, process = start_server(LAYERS)
    copy = server.dup()
    server.close()
    assert grade(HONEST, TRUTH, copy, 10.0) == (1.0, "correct")
    copy.close()
    assert wait_until(lambda: not os.path.exists(f"/proc/{process}"))


def test_a_dead_server_is_an_error():
    server, process = start_server(LAYERS)
    os.kill(process, 9)
    assert wait_until(lambda: not os.path.exists(f"/proc/{process}"))
    assert grade(HONEST, TRUTH, server, 5.0) == (0.0, "error")
    server.close()


def test_without_any_layer_daemons_are_still_ended():
    server, process = start_server(dict.fromkeys(LAYERS, "left out"))
    program = (
        "```python\nimport os, time\nprint(7, flush=True)\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\n```"
    )
    grade(program, TRUTH, server, 5.0)
    assert wait_until(lambda: not find_descendants(process))
    server.close()

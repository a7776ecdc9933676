"""Runs one script for the benchmark: host.py SCRIPT ARGS FOLDER.

SCRIPT defines `prepare(arrays, args)`: `arrays` are the FOLDER's .npy files by name, `args` is ARGS read as JSON. It returns an object
with `run()`, whose answer becomes JSON, and maybe `reset()`, called before every round outside of the clock. Each line "run" on standard
input is one round; each answer is a line {"seconds": ..., "result": ...}.
"""
import importlib.util
import json
import pathlib
import sys
import time

import numpy


def plain(value):
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    if isinstance(value, numpy.generic):
        return value.item()
    raise TypeError(f"{type(value)} is not for JSON")


def main():
    script, args, folder = sys.argv[1:4]
    # Whatever a library prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    spec = importlib.util.spec_from_file_location("peer", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arrays = {path.stem: numpy.load(path) for path in pathlib.Path(folder).glob("*.npy")}
    peer = module.prepare(arrays, json.loads(args))
    reset = getattr(peer, "reset", lambda: None)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for _ in sys.stdin:
        reset()
        started = time.perf_counter()
        result = peer.run()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "result": result}, default=plain), file=answers, flush=True)


main()

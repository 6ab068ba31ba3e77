"""Times of `medgen export` and `medgen serve`, and load tests over the loopback.

    python benchmarks/serving.py export [--model models/ct-pixelminer] [--side 512]
    python benchmarks/serving.py load   [--seconds 20]
    python benchmarks/serving.py mixed  [--requests 10000] [--minutes 30]

`export`: the export, its first answer after loading and a warmed answer, compared with
interpolating the same gap in one process. `load`: 1, 8 and 64 clients ask for small slices; answers
a second, waiting times, and how many were sent away (503). `mixed`: requests of many shapes, among
them odd and malformed ones; how many were answered how, and the server's memory before, in between
and after.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from medgen.bundles.bundle import load_bundle
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.phantoms.phantom import phantom_volume
from medgen.serving.export import export_bundle
from medgen.volumes import Volume

GAP_MM = 4.0
SMALL_SIDE = 32
# What a client that is sent away waits before it asks again.
AWAY_S = 0.5


def seconds(function, *args, **options) -> float:
    start = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - start


def measure_export(model: Path, volume: Volume) -> dict[str, float]:
    """Seconds and megabytes of the export and its answers, and of interpolating one gap."""
    bundle = load_bundle(model)
    interpolator = interpolator_named(str(model), temperature=1.0)

    def interpolate():
        interpolate_volume(volume, interpolator, factor=2, slice_axis=2)

    previous, following = np.moveaxis(volume.to_physical(), 2, 0)
    request = {
        "previous": tf.constant(previous[None]),
        "next": tf.constant(following[None]),
        "position": tf.constant(0.5),
        "gap_mm": tf.constant(GAP_MM),
        "seed": tf.constant(0, tf.int64),
        "temperature": tf.constant(1.0),
    }
    with tempfile.TemporaryDirectory() as work:
        start = time.perf_counter()
        version = export_bundle(bundle, Path(work))
        exported = time.perf_counter() - start
        size = sum(p.stat().st_size for p in version.rglob("*") if p.is_file())
        start = time.perf_counter()
        loaded = tf.saved_model.load(str(version))
        predict = loaded.signatures["serving_default"]
        predict(**request)
        first = time.perf_counter() - start
        times = {
            "export_s": exported,
            "export_mb": size / 1e6,
            "load_and_first_answer_s": first,
            "predict_s": min(seconds(predict, **request) for _ in range(2)),
            "interpolate_s": (interpolate(), min(seconds(interpolate) for _ in range(2)))[1],
        }
    return times | {"predict_over_interpolate": times["predict_s"] / times["interpolate_s"]}


class Served:
    """`medgen serve` in a process of its own."""

    def __init__(self, model: Path):
        code = "from medgen.cli import main; main()"
        words = [sys.executable, "-c", code, "serve", str(model), "--port", "0", "--name", "m"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        start = time.perf_counter()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        self.port = int(self.process.stdout.readline().split(":")[2].split("/")[0])
        self.started_s = time.perf_counter() - start

    def ask(self, body: bytes) -> tuple[int, float]:
        """Status and seconds of a request."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", "/v1/models/m:predict", body)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, time.perf_counter() - start

    def memory_mb(self, field: str = "VmRSS") -> int:
        """What the server holds now; `VmHWM` is the most that it ever held."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) // 1000

    def stop(self) -> None:
        """As a container's host would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(180)


def load(served: Served, clients: int, duration_s: float) -> dict[str, float]:
    """Every client asks for a small slice, and for another once it has it."""
    bodies = [body_of((SMALL_SIDE, SMALL_SIDE), 1, seed) for seed in range(clients)]
    end = time.perf_counter() + duration_s

    def client(body: bytes) -> list[tuple[int, float]]:
        answers = []
        while time.perf_counter() < end:
            answers.append(served.ask(body))
            if answers[-1][0] == 503:
                time.sleep(AWAY_S)
        return answers

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for one in pool.map(client, bodies) for answer in one]
    elapsed = time.perf_counter() - start
    waits = sorted(wait for status, wait in answers if status == 200)
    return {
        "clients": clients,
        "answered": len(waits),
        "sent_away": sum(status == 503 for status, _ in answers),
        "other": sum(status not in (200, 503) for status, _ in answers),
        "answers_per_s": round(len(waits) / elapsed, 2),
        "median_s": round(waits[len(waits) // 2], 3),
        "p95_s": round(waits[int(0.95 * (len(waits) - 1))], 3),
        "server_mb": served.memory_mb(),
    }


def body_of(shape: tuple[int, int], count: int, seed: int, **changes: object) -> bytes:
    """A request for `count` slices between noise."""
    noise = np.random.default_rng(seed).integers(-200, 200, (2, count, *shape)).tolist()
    inputs = {"previous": noise[0], "next": noise[1], "seed": seed} | changes
    return json.dumps({"inputs": inputs}).encode()


def mixed_body(seed: int) -> bytes:
    """Most are small slices of any shape; one in eight is long, many or makes no sense."""
    rng = np.random.default_rng(seed)
    shape, count = tuple(int(n) for n in rng.integers(1, 49, 2)), 1
    match int(rng.integers(64)):
        case 0:
            shape = (int(rng.integers(1, 4)), int(rng.integers(1000, 8000)))
        case 1:
            shape = (int(rng.integers(100, 400)), 1)
        case 2:
            shape, count = (1, 1), int(rng.integers(100, 2000))
        case 3:
            shape = (int(rng.integers(100, 200)), int(rng.integers(100, 200)))
        case 4:
            return body_of(shape, 1, seed, position=2.0)
        case 5:
            return body_of(shape, 1, seed, next=[[[0.0]]])
        case 6:
            return b"[" * int(rng.integers(1, 100_000))
        case 7:
            return body_of(shape, 1, seed)[:-20]
        case _:
            count = int(rng.integers(1, 4))
    return body_of(shape, count, seed)


def mixed(served: Served, requests: int, minutes: float, clients: int = 8) -> None:
    """Print the server's memory while it gets `requests`, or as many as `minutes` allow."""
    end, statuses = time.perf_counter() + 60 * minutes, Counter()
    print(json.dumps({"before_mb": served.memory_mb()}), flush=True)

    def ask(seed: int) -> int | None:
        if time.perf_counter() > end:
            return None
        body = mixed_body(seed)
        while (status := served.ask(body)[0]) == 503:
            time.sleep(AWAY_S)
        return status

    with ThreadPoolExecutor(clients) as pool:
        for done, status in enumerate(pool.map(ask, range(requests)), 1):
            if status is None:
                break
            statuses[status] += 1
            if done % (requests // 20) == 0:
                print(json.dumps({"requests": done, "mb": served.memory_mb()}), flush=True)
    print(
        json.dumps(
            {
                "statuses": {str(status): n for status, n in statuses.items()},
                "after_mb": served.memory_mb(),
                "highest_mb": served.memory_mb("VmHWM"),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["export", "load", "mixed"])
    parser.add_argument("--model", type=Path, default=Path("models/ct-pixelminer"))
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    if options.what == "export":
        shape, spacing = (options.side, options.side, 2), (0.7, 0.7, GAP_MM)
        modality = load_bundle(options.model).rule.modality
        volume = phantom_volume(modality, shape, spacing, seed=0)
        print(json.dumps(measure_export(options.model, volume)))
        return
    served = Served(options.model)
    print(json.dumps({"start_s": served.started_s, "mb": served.memory_mb()}), flush=True)
    try:
        if options.what == "mixed":
            mixed(served, options.requests, options.minutes)
        else:
            for clients in (1, 8, 64):
                print(json.dumps(load(served, clients, options.seconds)), flush=True)
    finally:
        served.stop()


if __name__ == "__main__":
    main()

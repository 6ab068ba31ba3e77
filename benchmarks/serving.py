"""Times of `medgen export` and `medgen serve`, and a load test over the loopback.

    python benchmarks/serving.py [--model models/ct-pixelminer] [--side 512] [--requests 200]

The export, its first answer after loading and a warmed answer are compared with interpolating the
same gap in one process. Then a server gets `--requests` small requests, first from few
clients and then from more than it admits: answers a second, waiting times, how many were sent away
(503), and the memory that the server took.
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

    previous, following = np.moveaxis(volume.physical(), 2, 0)
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
        return {
            "export_s": exported,
            "export_mb": size / 1e6,
            "load_and_first_answer_s": first,
            "predict_s": min(seconds(predict, **request) for _ in range(2)),
            "interpolate_s": (interpolate(), min(seconds(interpolate) for _ in range(2)))[1],
        }


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

    def memory_mb(self) -> float:
        """Highest so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3

    def stop(self) -> None:
        """As a container's host would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(180)


def load_test(served: Served, body: bytes, clients: int, requests: int) -> dict[str, float]:
    with ThreadPoolExecutor(clients) as pool:
        start = time.perf_counter()
        answers = list(pool.map(lambda _: served.ask(body), range(requests)))
        elapsed = time.perf_counter() - start
    waits = sorted(wait for status, wait in answers if status == 200)
    return {
        "clients": clients,
        "requests": requests,
        "answered": len(waits),
        "sent_away": sum(status == 503 for status, _ in answers),
        "other": sum(status not in (200, 503) for status, _ in answers),
        "answers_per_s": len(waits) / elapsed,
        "median_s": waits[len(waits) // 2],
        "p95_s": waits[int(0.95 * (len(waits) - 1))],
        "server_mb": served.memory_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/ct-pixelminer"))
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    shape, spacing = (options.side, options.side, 2), (0.7, 0.7, GAP_MM)
    modality = load_bundle(options.model).rule.modality
    result = measure_export(options.model, phantom_volume(modality, shape, spacing, seed=0))
    result["predict_over_interpolate"] = result["predict_s"] / result["interpolate_s"]
    print(json.dumps(result))
    small = np.random.default_rng(0).integers(0, 200, (2, 1, SMALL_SIDE, SMALL_SIDE)).tolist()
    body = json.dumps({"inputs": {"previous": small[0], "next": small[1]}}).encode()
    served = Served(options.model)
    print(json.dumps({"start_s": served.started_s}))
    try:
        for clients in (1, 4, 100):
            print(json.dumps(load_test(served, body, clients, options.requests)))
    finally:
        served.stop()


if __name__ == "__main__":
    main()

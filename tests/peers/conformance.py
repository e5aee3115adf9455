"""Runs the `service` example against real peers, and asserts on what the peers received.

`python conformance.py SERVICE ROTEL`: the example's binary, and rotel's.

Two checks: a strict protobuf decoder (`sink.py`), and rotel, a real OpenTelemetry collector, which
prints what it gets. Each over HTTP and over gRPC; the decoder gets it compressed. The counts must
equal what the example's ledger calls delivered.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

from sink import Sink

SECONDS = 2
TIMEOUT = 60
PROTOCOLS = ["http/protobuf", "grpc"]
# What the example emits: log bodies, span names, metric names.
LOGS = {"listening", "order placed"}
SPANS = {"POST /orders", "GET /orders/{order}", "place_order", "charge", "look_up"}
METRICS = {"shop.orders", "shop.stock", "http.server.request.duration", "process.memory.usage"}


def run_service(service, protocol, endpoint, compression, folder):
    """Runs the example and returns what its ledger says was delivered over OTLP."""
    command = [service, "--seconds", str(SECONDS), "--json", os.path.join(folder, "service.jsonl")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    environment["OTEL_EXPORTER_OTLP_COMPRESSION"] = compression
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["agrees"] and result["complete"], result
    return {name: counts["delivered"] for name, counts in result["exporters"]["otlp"].items()}


def strict_decoder(service, _rotel, protocol, folder):
    with Sink() as sink:
        delivered = run_service(service, protocol, sink.endpoints[protocol], "gzip", folder)
    assert not sink.errors, sink.errors[:5]
    assert all(delivered.values()), delivered
    assert sink.counts == delivered, f"received {sink.counts}, delivered {delivered}"
    assert sink.services == {"shop"}, sink.services
    missing = (LOGS | SPANS | METRICS) - sink.names
    assert not missing, f"never received: {missing}"
    return delivered


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, f"rotel ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"rotel does not listen on port {port}")


def read_received(text):
    """What rotel printed: counts, and the names it saw."""
    count = lambda pattern: len(re.findall(pattern, text, re.MULTILINE))
    counts = {
        "logs": count(r"^LogRecord #\d+"),
        "spans": count(r"^Span #\d+"),
        "metrics": count(r"^(?:Number|Histogram|ExponentialHistogram)DataPoints #\d+"),
    }
    names = set(re.findall(r"^\s*(?:-> )?Name\s*: (.*)$", text, re.MULTILINE))
    bodies = set(re.findall(r"^Body: Str\((.*)\)$", text, re.MULTILINE))
    services = set(re.findall(r"-> service\.name: Str\((.*)\)", text))
    return counts, names | bodies, services


def collector(service, rotel, protocol, folder):
    grpc, http = free_port(), free_port()
    port = {"grpc": grpc, "http/protobuf": http}[protocol]
    debug = [word for signal in ("traces", "metrics", "logs") for word in ("--debug-log", signal)]
    command = [
        rotel, "start", *debug, "--debug-log-verbosity", "detailed", "--exporter", "blackhole",
        "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}",
    ]
    output = os.path.join(folder, "rotel.txt")

    def read():
        with open(output, encoding="utf-8", errors="replace") as file:
            return read_received(file.read())

    with open(output, "wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for_port(port, process)
        delivered = run_service(service, protocol, f"http://127.0.0.1:{port}", "none", folder)
        # It answers first and prints later.
        deadline = time.monotonic() + 10
        while read()[0] != delivered and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    counts, names, services = read()
    assert all(delivered.values()), delivered
    assert counts == delivered, f"rotel received {counts}, delivered {delivered}"
    assert services == {"shop"}, services
    missing = (LOGS | SPANS | METRICS) - names
    assert not missing, f"rotel never received: {missing}"
    return delivered


def main():
    service, rotel = sys.argv[1:]
    failed = 0
    checks = [(check, protocol) for check in (strict_decoder, collector) for protocol in PROTOCOLS]
    for check, protocol in checks:
        name = f"{check.__name__} over {protocol}"
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"ok {name}: {check(service, rotel, protocol, folder)}", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()

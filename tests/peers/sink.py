"""A strict OTLP sink, over HTTP and gRPC: decodes every request with google's protobuf and counts
what is in it.

A field with a wrong wire type is no error to protobuf but an unknown field, so every message is
walked, and one unknown field anywhere makes the request an error. Ids must have their length.
"""

import gzip
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

BODY_BYTES_MAX = 64 * 1024 * 1024


def check(message, path=""):
    """Raises unless the message, and every one inside, has known fields only."""
    path = path or message.DESCRIPTOR.name
    unknown = [field.field_number for field in UnknownFieldSet(message)]
    if unknown:
        raise ValueError(f"{path}: unknown fields {unknown}")
    for field, value in message.ListFields():
        if field.message_type is not None:
            values = value if field.is_repeated else [value]
            for inner in values:
                check(inner, f"{path}.{field.name}")
        elif field.name in ("trace_id", "span_id", "parent_span_id"):
            size = 16 if field.name == "trace_id" else 8
            if len(value) not in (0, size) or not any(value):
                raise ValueError(f"{path}.{field.name}: {value.hex()}")


def log_records(request):
    return [r for o in request.resource_logs for s in o.scope_logs for r in s.log_records]


def spans(request):
    found = [r for o in request.resource_spans for s in o.scope_spans for r in s.spans]
    for span in found:
        if not (span.trace_id and span.span_id and span.name):
            raise ValueError(f"a span without trace id, span id or name: {span}")
        if span.end_time_unix_nano < span.start_time_unix_nano:
            raise ValueError(f"a span that ends before it starts: {span}")
    return found


def points(request):
    found = [m for o in request.resource_metrics for s in o.scope_metrics for m in s.metrics]
    return [(m.name, p) for m in found for p in getattr(m, m.WhichOneof("data")).data_points]


GRPC = "/opentelemetry.proto.collector."
METHODS = {
    GRPC + "logs.v1.LogsService/Export": "/v1/logs",
    GRPC + "trace.v1.TraceService/Export": "/v1/traces",
    GRPC + "metrics.v1.MetricsService/Export": "/v1/metrics",
}
SIGNALS = {
    "/v1/logs": ("logs", logs.ExportLogsServiceRequest, log_records, "resource_logs"),
    "/v1/traces": ("spans", traces.ExportTraceServiceRequest, spans, "resource_spans"),
    "/v1/metrics": ("metrics", metrics.ExportMetricsServiceRequest, points, "resource_metrics"),
}


class Calls(grpc.GenericRpcHandler):
    """The collector's three methods, over messages that stay bytes until they are counted."""

    def __init__(self, sink):
        self.sink = sink

    def service(self, details):
        path = METHODS.get(details.method)
        return path and grpc.unary_unary_rpc_method_handler(
            lambda body, context: self.take(path, body, context)
        )

    def take(self, path, body, context):
        try:
            self.sink.count(path, body)
        except Exception as error:  # whatever it is, the check fails and says so
            self.sink.errors.append(f"grpc {path}: {error}")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return b""


class Sink:
    """Serves on two ports of the loopback interface while it is entered."""

    def __init__(self):
        self.counts = {"logs": 0, "spans": 0, "metrics": 0}
        self.services, self.names, self.errors = set(), set(), []
        self.lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self):
                length = int(self.headers.get("content-length", "-1"))
                try:
                    if not 0 <= length <= BODY_BYTES_MAX:
                        raise ValueError(f"content-length {length}")
                    sink.take(self.path, self.headers, self.rfile.read(length))
                    status = 200
                except Exception as error:  # whatever it is, the check fails and says so
                    sink.errors.append(f"{self.path}: {error}")
                    status = 400
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        options = [("grpc.max_receive_message_length", BODY_BYTES_MAX)]
        self.grpc = grpc.server(futures.ThreadPoolExecutor(4), [Calls(self)], options=options)
        port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.endpoints = {
            "http/protobuf": f"http://127.0.0.1:{self.server.server_port}",
            "grpc": f"http://127.0.0.1:{port}",
        }

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.grpc.start()
        return self

    def __exit__(self, *_):
        self.grpc.stop(None).wait()
        self.server.shutdown()
        self.server.server_close()

    def take(self, path, headers, body):
        """Decodes the body of one request over HTTP and counts it."""
        if headers["content-type"] != "application/x-protobuf":
            raise ValueError(f"content-type {headers['content-type']}")
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.count(path, body)

    def count(self, path, body):
        """Decodes one message and counts it."""
        name, kind, items, owners = SIGNALS[path]
        request = kind.FromString(body)
        check(request)
        found = items(request)
        with self.lock:
            self.counts[name] += len(found)
            for owner in getattr(request, owners):
                attributes = {a.key: a.value.string_value for a in owner.resource.attributes}
                self.services.add(attributes.get("service.name"))
            for item in found:
                body = getattr(item, "body", None)
                self.names.add(
                    item[0] if isinstance(item, tuple)
                    else body.string_value if body is not None
                    else item.name
                )

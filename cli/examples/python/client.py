"""A client of a Populace cluster: submits a plan, watches the run, reads its table of ticks.

    populace compile --model model.json --study study.yaml --out study.plan
    python client.py 127.0.0.1:7600 study.plan ticks.parquet

Needs grpcio, grpcio-tools (which read control.proto as it stands) and pyarrow.
"""

import json
import sys
from pathlib import Path

import grpc

PROTO = Path(__file__).resolve().parents[3] / "protocol"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("control.proto")

VERSION = ("populace-control", "1.0")
SETTLED = {"paused", "frozen", "done", "failed", "canceled"}
MESSAGE_BYTES_MAX = 64 * 1024 * 1024


class Refusal(Exception):
    """A failed call with the code of Populace's error table and the details that came with it."""

    def __init__(self, error):
        trailers = dict(error.trailing_metadata() or ())
        self.code = trailers.get("populace-code", error.code().name)
        self.details = json.loads(trailers.get("populace-details-bin", b"{}"))
        super().__init__(f"{self.code}: {error.details()}")


class Cluster:
    """Calls whoever leads, starting from any coordinator."""

    def __init__(self, address, tenant=""):
        self.tenant = tenant
        self._connect(address)

    def _connect(self, address):
        options = [("grpc.max_send_message_length", MESSAGE_BYTES_MAX), ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.enable_http_proxy", 0)]
        self._stub = services.ControlStub(grpc.insecure_channel(address, options=options))

    def _call(self, method, request):
        for _ in range(3):
            try:
                reply = getattr(self._stub, method)(request, metadata=[VERSION])
                # A stream is read whole, but for the one that is watched.
                return reply if method == "Watch" or not hasattr(reply, "__iter__") else list(reply)
            except grpc.RpcError as error:
                refusal = Refusal(error)
                if not refusal.details.get("address"):
                    raise refusal from None
                self._connect(refusal.details["address"])
        raise refusal

    def submit(self, plan, **fields):
        return self._call("Submit", messages.SubmitRequest(tenant=self.tenant, plan=plan, **fields))

    def watch(self, run):
        """The run at every change, last in a state that does not change by itself."""
        try:
            for now in self._call("Watch", messages.RunRequest(tenant=self.tenant, run=run)):
                yield now
                if now.state in SETTLED:
                    return
        except grpc.RpcError as error:
            raise Refusal(error) from None

    def release(self, table, model=b"", **fields):
        """Announces a score table and the text of its model; refused with UNCALIBRATED by the calibration gate, unless `force` says why not."""
        return self._call("Release", messages.ReleaseRequest(tenant=self.tenant, table=table, model=model, **fields))

    def table(self, run, name="ticks"):
        """The bytes of a Parquet file."""
        return b"".join(part.bytes for part in self._call("Table", messages.TableRequest(tenant=self.tenant, run=run, table=name)))


def main(address, plan, out):
    cluster = Cluster(address)
    run = cluster.submit(Path(plan).read_bytes(), label="python")
    for run in cluster.watch(run.run):
        print(f"{run.state:10} tick {run.tick + 1} of {run.ticks}, {run.exposures} exposures", file=sys.stderr)
    if run.state != "done":
        raise SystemExit(f"the run is {run.state}: {run.reason}")
    Path(out).write_bytes(cluster.table(run.run))

    import pyarrow.parquet

    table = pyarrow.parquet.read_table(out)
    exposures = sum(table.column("exposures").to_pylist()) // len(set(table.column("step").to_pylist()))
    print(json.dumps({"run": run.run, "root": run.root, "rows": table.num_rows, "exposures": exposures, "columns": table.column_names}))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    try:
        main(*sys.argv[1:])
    except Refusal as refusal:
        raise SystemExit(str(refusal))

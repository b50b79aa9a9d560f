"""A real S3 server for tests, and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.processes import free_port, wait_until

KEY, SECRET = "TESTKEY", "TESTSECRET"
BUCKET = "backups"


@dataclasses.dataclass(frozen=True)
class Bucket:
    """
    A bucket on a server of this machine.

    Attributes:
        endpoint: the server's address.
        url: what BACKUP_STORAGE takes.
    """

    endpoint: str
    url: str = f"s3://{BUCKET}"

    @property
    def environ(self) -> dict[str, str]:
        """What a client of it needs in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    @property
    def client(self) -> Any:
        """A client of the server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def below(self, prefix: str) -> Bucket:
        """Return the part of the bucket below *prefix*."""
        return dataclasses.replace(self, url=f"{self.url}/{prefix}")

    def list_keys(self) -> list[str]:
        """Return the keys of all objects below the prefix, relative to it."""
        prefix = self.url.removeprefix(f"s3://{BUCKET}").lstrip("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"{prefix}/" if prefix else ""
        )
        return sorted(
            each["Key"].removeprefix(f"{prefix}/")
            for page in pages
            for each in page.get("Contents", [])
        )


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Bucket]:
    """Run SeaweedFS with its data in *folder*, and a bucket in it."""
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    ports = {
        name: free_port()
        for name in ("master", "volume", "filer", "s3")
        for name in (f"{name}.port", f"{name}.port.grpc")
    }
    data = folder / "weed"
    data.mkdir()
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "weed"),
                "-v=0",
                "server",
                f"-dir={data}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=64",
                "-master.telemetry=false",
                "-s3",
                f"-s3.config={config}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *(f"-{name}={port}" for name, port in ports.items()),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    bucket = Bucket(endpoint)
    try:

        def has_bucket() -> bool:
            assert process.poll() is None, (folder / "weed.log").read_text()
            try:
                bucket.client.create_bucket(Bucket=BUCKET)
                bucket.client.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
            except (BotoCoreError, ClientError):
                return False
            bucket.client.delete_object(Bucket=BUCKET, Key="probe")
            return True

        wait_until(has_bucket, 60, "the S3 server taking objects")
        yield bucket
    finally:
        process.kill()  # it does not end on SIGTERM
        process.wait()


class FaultyProxy:
    """
    A proxy in front of an S3 server.

    Attributes:
        fault: '' for none; a status as '500', with which every request is answered;
            'slow', a second before each answer; 'half', half of each object, then
            the end; 'stuck', no answer at all.
        path_part: what a path must have to be concerned.
        at_most: so many requests are concerned; the others are answered.
        hits: how many have been.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.fault = ""
        self.path_part = ""
        self.at_most = sys.maxsize
        self.hits = 0
        self._over = threading.Event()
        _, _, netloc = bucket.endpoint.partition("//")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def handle_any(self) -> None:
                proxy.serve(self, netloc)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.handle_any
                raise AttributeError(name)

            def handle_expect_100(self) -> bool:
                self.send_response_only(100)
                self.end_headers()
                return True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.bucket = dataclasses.replace(
            bucket, endpoint=f"http://127.0.0.1:{self._server.server_port}"
        )
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        ).start()

    def close(self) -> None:
        """Stop serving."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler, netloc: str) -> None:
        """Answer one request: by the server behind, or by the fault."""
        length = int(request.headers.get("Content-Length", 0))
        body = request.rfile.read(length)
        is_concerned = self.path_part in request.path and self.hits < self.at_most
        fault = self.fault if is_concerned else ""
        self.hits += bool(fault)
        if fault.isdigit():
            self._answer(request, int(fault), {}, b"")
            return
        if fault == "slow":
            time.sleep(1)
        if fault == "stuck":
            self._over.wait(60)
            request.close_connection = True
            return
        if fault == "half" and request.command == "PUT":
            # What came is thrown away, with the connection.
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
            return
        connection = http.client.HTTPConnection(netloc, timeout=60)
        try:
            # The signature is over the address that the client knows.
            headers = dict(request.headers.items())
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        headers = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}
        }
        if request.command == "HEAD":
            headers["Content-Length"] = response.getheader("Content-Length") or "0"
        self._answer(request, response.status, headers, content, half=fault == "half")

    def _answer(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        content: bytes,
        *,
        half: bool = False,
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if request.command != "HEAD" or "Content-Length" not in headers:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        with contextlib.suppress(OSError):
            if request.command == "HEAD":
                return
            if half:
                request.wfile.write(content[: len(content) // 2])
                request.wfile.flush()
                request.close_connection = True
                request.connection.shutdown(socket.SHUT_RDWR)
            else:
                request.wfile.write(content)

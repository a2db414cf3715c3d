"""`offramp serve` on a free port of this machine, and questions to it."""

import contextlib
import json
import subprocess
import urllib.request


@contextlib.contextmanager
def service(program, run, *options):
    """The address of a running service, which is stopped at the end."""
    command = [program, "serve", run, "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("listening on "), f"{command}: {line or 'ended'}"
            yield line.split()[-1] + "/"
        finally:
            process.terminate()


def ask(url, query, picture):
    """The service's answer about a PNG file."""
    headers = {"content-type": "application/octet-stream"}
    request = urllib.request.Request(f"{url}v1/predict?{query}", data=picture.read_bytes(), headers=headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["predictions"][0]


def model(url):
    with urllib.request.urlopen(f"{url}v1/model") as reply:
        return json.load(reply)

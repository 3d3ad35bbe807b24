#!/usr/bin/env python3
"""Downloads from a hostile server on the loopback: usage: test_pull.py PULL_HELPER

Every test starts its own server with a handler that cuts, lies, stalls or behaves, and looks at the
result code, the text, the files that are left and the requests that were made."""
import hashlib
import http.server
import os
import pathlib
import random
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HELPER = None
OK, IO, FORMAT, CANCELLED = 0, -3, -4, -8
DATA = random.Random(1).randbytes(300_000)
SHA1 = hashlib.sha1(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.data with ranges; server.behave(self) may do something else and return True."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        behave = self.server.behave
        if not (behave and behave(self)):
            self.answer(self.server.data)

    def start(self):
        value = self.headers.get("Range")
        return int(value.removeprefix("bytes=").rstrip("-")) if value else 0

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def answer(self, data, cut=None):
        """The range that was asked for, or all; `cut` bytes of it, then the connection closes."""
        start = self.start()
        if start and start >= len(data):
            return self.head(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
        if start:
            self.head(206, Content_Length=len(data) - start,
                      Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.head(200, Content_Length=len(data))
        self.wfile.write(data[start:][:cut])

    def log_message(self, *args):
        pass


class PullTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="wisp-pull-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = self.dir / "model.bin"
        self.part = self.dir / "model.bin.part"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.data, self.server.behave, self.server.requests = DATA, None, []
        self.server.handle_error = lambda *args: None  # clients that leave are part of the tests
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/model.bin"

    def command(self, url=None, digest=SHA1, size=len(DATA), stall=20, cancel_at=0):
        return [HELPER, url or self.url, self.path, digest, str(size), str(stall), str(cancel_at)]

    def pull(self, env=None, preexec_fn=None, **kwargs):
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        done = subprocess.run(self.command(**kwargs), capture_output=True, text=True, timeout=60,
                              env=clean | (env or {}), preexec_fn=preexec_fn)
        self.assertEqual(done.returncode, 0, done.stderr)
        code, _, text = done.stdout.rstrip("\n").partition(" ")
        return int(code), text

    def assert_pulled(self):
        self.assertEqual(self.path.read_bytes(), DATA)
        self.assertEqual(os.listdir(self.dir), ["model.bin"])

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.dir), [])

    # ---------------------------------------------------------------- servers that behave

    def test_plain(self):
        self.assertEqual(self.pull(), (OK, ""))
        self.assert_pulled()

    def test_size_unknown_and_sha256(self):
        self.assertEqual(self.pull(size=0, digest=hashlib.sha256(DATA).hexdigest())[0], OK)
        self.assert_pulled()

    def test_redirect(self):
        self.server.behave = lambda h: h.path == "/model.bin" and (
            h.head(302, Location="/elsewhere", Content_Length=0) or True)
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual([r[0] for r in self.server.requests], ["/model.bin", "/elsewhere"])
        self.assert_pulled()

    def test_proxy_from_environment(self):
        proxy = self.url.rsplit("/", 1)[0]
        code, text = self.pull(url="http://models.invalid/model.bin", env={"http_proxy": proxy})
        self.assertEqual((code, text), (OK, ""))
        self.assertEqual(self.server.requests[0][0], "http://models.invalid/model.bin")
        self.assert_pulled()

    def test_resumes_what_an_earlier_call_left(self):
        self.part.write_bytes(DATA[:123_456])
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual(self.server.requests, [("/model.bin", "bytes=123456-")])
        self.assert_pulled()

    def test_complete_part_needs_no_request(self):
        self.part.write_bytes(DATA)
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual(self.server.requests, [])
        self.assert_pulled()

    def test_complete_part_of_unknown_size(self):
        self.part.write_bytes(DATA)
        self.assertEqual(self.pull(size=0)[0], OK)
        self.assertEqual(len(self.server.requests), 1)  # answered by 416
        self.assert_pulled()

    def test_finished_file_is_not_fetched_again(self):
        self.path.write_bytes(DATA)
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual(self.server.requests, [])

    def test_broken_finished_file_is_replaced(self):
        self.path.write_bytes(DATA[:-1] + b"?")
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    # ---------------------------------------------------------------- cut connections

    def test_cut_again_and_again(self):
        self.server.behave = lambda h: h.answer(DATA, cut=40_000) or True
        self.assertEqual(self.pull(), (OK, ""))
        starts = [int(r[1][6:-1]) for r in self.server.requests[1:]]
        self.assertEqual(starts, list(range(40_000, 300_000, 40_000)))
        self.assert_pulled()

    def test_cut_without_ranges_gives_up_and_keeps(self):
        def behave(h):
            h.head(200, Content_Length=len(DATA))
            h.wfile.write(DATA[:50_000])
            return True
        self.server.behave = behave
        code, text = self.pull()
        self.assertEqual(code, IO)
        self.assertIn("cut again and again", text)
        self.assertLess(len(self.server.requests), 10)
        self.assertEqual(os.listdir(self.dir), ["model.bin.part"])

    def test_resume_from_a_server_without_ranges(self):
        self.part.write_bytes(b"x" * 1000)
        self.server.behave = lambda h: (h.head(200, Content_Length=len(DATA)),
                                        h.wfile.write(DATA)) and True
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    def test_answers_nothing(self):
        self.server.behave = lambda h: h.connection.close() or True
        code, text = self.pull()
        self.assertEqual(code, IO)
        self.assert_nothing_left()

    def test_silence_then_resume(self):
        def behave(h):
            h.head(200, Content_Length=len(DATA)) if not h.start() else None
            h.wfile.write(DATA[:70_000] if not h.start() else b"")
            time.sleep(4)
            return True
        self.server.behave = behave
        code, text = self.pull(stall=1)
        self.assertEqual(code, IO)
        self.assertIn("silent", text)
        self.assertIn("goes on from there", text)
        self.assertEqual(self.part.read_bytes(), DATA[:70_000])
        self.server.behave = None
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual(self.server.requests[-1][1], "bytes=70000-")
        self.assert_pulled()

    def test_refused(self):
        code, text = self.pull(url="http://127.0.0.1:9/model.bin")
        self.assertEqual(code, IO)
        self.assertIn("refused", text)
        self.assert_nothing_left()

    def test_busy_server_is_asked_again(self):
        self.server.behave = lambda h: len(self.server.requests) < 3 and (
            h.head(503, Content_Length=0) or True)
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    # ---------------------------------------------------------------- wrong bytes

    def test_wrong_bytes(self):
        self.server.data = DATA[:1000] + b"\0" + DATA[1001:]
        code, text = self.pull()
        self.assertEqual(code, FORMAT)
        self.assertIn(SHA1, text)
        self.assertIn(hashlib.sha1(self.server.data).hexdigest(), text)
        self.assert_nothing_left()

    def test_wrong_bytes_keep_the_old_file(self):
        self.path.write_bytes(b"old")
        self.server.data = b"\0" * len(DATA)
        self.assertEqual(self.pull()[0], FORMAT)
        self.assertEqual(self.path.read_bytes(), b"old")

    def test_part_of_another_file(self):
        self.part.write_bytes(b"\0" * 5000)
        self.assertEqual(self.pull()[0], OK)
        self.assertEqual([r[1] for r in self.server.requests], ["bytes=5000-", None])
        self.assert_pulled()

    def test_part_longer_than_the_file(self):
        self.part.write_bytes(DATA + b"more")
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    def test_other_size_than_published(self):
        self.server.data = DATA + b"more"
        code, text = self.pull()
        self.assertEqual(code, FORMAT)
        self.assertIn("300004 bytes", text)
        self.assert_nothing_left()

    def test_endless_body(self):
        def behave(h):
            h.head(200)
            while True:
                h.wfile.write(DATA)
        self.server.behave = behave
        code, text = self.pull()
        self.assertEqual(code, FORMAT)
        self.assertIn("more than", text)
        self.assertLess(self.part.stat().st_size if self.part.exists() else 0, 2 * len(DATA))

    def test_short_body_without_length(self):
        self.server.behave = lambda h: (h.head(200), h.wfile.write(DATA[:500])) and True
        code, text = self.pull(size=0)
        self.assertEqual(code, FORMAT)
        self.assert_nothing_left()

    def test_empty_answer(self):
        self.server.data = b""
        self.assertEqual(self.pull(size=0)[0], FORMAT)
        self.assert_nothing_left()

    def test_range_that_was_not_asked_for(self):
        self.part.write_bytes(DATA[:1000])
        self.server.behave = lambda h: (
            h.head(206, Content_Length=10, Content_Range=f"bytes 500-509/{len(DATA)}"),
            h.wfile.write(b"0123456789")) and True
        code, text = self.pull()
        self.assertEqual(code, FORMAT)
        self.assertEqual(self.part.read_bytes(), DATA[:1000])

    def test_status_codes(self):
        for status in (404, 403, 500):
            with self.subTest(status=status):
                self.server.behave = lambda h: h.head(status, Content_Length=0) or True
                code, text = self.pull()
                self.assertEqual(code, IO)
                self.assertIn(f"HTTP status {status}", text)
                self.assert_nothing_left()

    def test_redirect_circle_and_to_a_file(self):
        self.server.behave = lambda h: h.head(302, Location="/model.bin", Content_Length=0) or True
        self.assertIn("circles", self.pull()[1])
        self.server.behave = lambda h: h.head(302, Location="file:///etc/passwd",
                                              Content_Length=0) or True
        self.assertEqual(self.pull()[0], IO)
        self.assert_nothing_left()

    # ---------------------------------------------------------------- this side

    def test_cancel_keeps_the_part(self):
        self.server.behave = lambda h: h.answer(DATA, cut=100_000) or time.sleep(0.3) or True
        code, text = self.pull(cancel_at=100_000)
        self.assertEqual(code, CANCELLED)
        self.assertEqual(self.part.read_bytes(), DATA[:100_000])
        self.server.behave = None
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    def test_two_at_once(self):
        go_on = threading.Event()

        def behave(h):
            h.head(200, Content_Length=len(DATA))
            h.wfile.write(DATA[:1000])
            go_on.wait(20)
            h.wfile.write(DATA[1000:])
            return True
        self.server.behave = behave
        first = subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
        while not self.server.requests:
            time.sleep(0.01)
        code, text = self.pull()
        go_on.set()
        out = first.communicate(timeout=30)[0]
        self.assertEqual(code, IO)
        self.assertIn("another wisp", text)
        self.assertEqual(out, "0 \n")
        self.assertEqual(len(self.server.requests), 1)
        self.assert_pulled()

    def test_disk_full(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        code, text = self.pull(preexec_fn=limit)
        self.assertEqual(code, IO)
        self.assertIn("free some space", text)
        self.assertFalse(self.path.exists())
        self.assertEqual(self.pull()[0], OK)
        self.assert_pulled()

    def test_no_such_folder(self):
        self.path = self.dir / "missing" / "model.bin"
        code, text = self.pull()
        self.assertEqual(code, IO)
        self.assertIn("cannot write", text)

    def test_untrusted_certificate(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl program to make a certificate with")
        key, cert = self.dir / "key.pem", self.dir / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                        "/CN=127.0.0.1", "-keyout", key, "-out", cert], check=True,
                       capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        code, text = self.pull(url=self.url.replace("http:", "https:"))
        self.assertEqual(code, IO)
        self.assertIn("certificate", text)
        self.assertFalse(self.path.exists())
        self.assertEqual(self.server.requests, [])


if __name__ == "__main__":
    HELPER = sys.argv.pop(1)
    unittest.main()

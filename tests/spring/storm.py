"""One process of the storm: eight threads ask a session for tokens, and the API whether it accepts them.

    storm.py URL CA_FILE SESSION_FILE SECONDS

It prints its counts as JSON.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import cmauth
from servers import ID, SECRET


class Storm:
    def __init__(self, url: str, ca_file: str | None, path: Path, seconds: float) -> None:
        client = cmauth.Client(ID, SECRET, base_url=url, ca_file=ca_file, proxy="")
        self.session = cmauth.Session(client, cmauth.FileStore(path))
        trust = ssl.create_default_context(cafile=ca_file)
        self.http = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        self.url = f"{url}/rest/v2.4/cameras"
        self.end = time.monotonic() + seconds
        self.ok = self.repaired = 0
        self.errors: list[str] = []
        # Which tokens it used: a number for each, because the test prints them.
        self.tokens: set[int] = set()

    def accepts(self, tokens: cmauth.Tokens) -> bool:
        headers = {"Authorization": tokens.authorization, "Accept": "application/json"}
        try:
            with self.http.open(urllib.request.Request(self.url, headers=headers), timeout=30):
                return True
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            return False

    def work(self) -> None:
        while time.monotonic() < self.end:
            try:
                tokens = self.session.tokens()
                self.tokens.add(zlib.crc32(tokens.access_token.encode()))
                if self.accepts(tokens):
                    self.ok += 1
                elif self.accepts(self.session.rejected(tokens)):
                    # Another process has refreshed meanwhile, or the token had just expired.
                    self.repaired += 1
            except cmauth.RetryError as error:
                self.errors.append(f"retry: {error}")
            except Exception as error:
                self.errors.append(repr(error))

    def run(self) -> None:
        threads = [threading.Thread(target=self.work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(
            json.dumps({"ok": self.ok, "repaired": self.repaired, "errors": self.errors, "tokens": list(self.tokens)})
        )


if __name__ == "__main__":
    Storm(sys.argv[1], sys.argv[2] or None, Path(sys.argv[3]), float(sys.argv[4])).run()

"""Shakes hands through the proxy of the environment: dials one host, and wants a certificate of another, or of the same.

    python handshake.py HOST:PORT NAME

Trusts what SSL_CERT_FILE holds. Prints one line: the name, or why the certificate was refused.
"""

import base64
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

dialled, name = sys.argv[1:]
proxy = urlsplit(os.environ["HTTPS_PROXY"])
caller = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
with socket.create_connection((proxy.hostname, proxy.port), timeout=30) as tunnel:
    tunnel.sendall(f"CONNECT {dialled} HTTP/1.1\r\nHost: {dialled}\r\nProxy-Authorization: Basic {caller}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += tunnel.recv(1)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    try:
        with context.wrap_socket(tunnel, server_hostname=name):
            print(name)
    except ssl.SSLCertVerificationError as error:
        print(error.verify_message)

"""A camera on this machine: RTSP over TCP (RFC 2326), MPEG-4 pictures in RTP (RFC 6416)."""

from __future__ import annotations

import socketserver
import struct
import threading
from fractions import Fraction
from itertools import cycle

import av
from PIL import Image

_PAYLOAD_BYTES = 1200
_TYPE = 96
_MARKER = 0x80


class RtspServer:
    """Sends pictures over and over, to whoever asks, as fast as they are taken.

    Args:
        pictures: Of one size.

    Attributes:
        address: `rtsp://...`
        connections: How many were played.
    """

    def __init__(self, pictures: list[Image.Image]) -> None:
        self._packets = _encoded(pictures)
        self._losing = threading.Event()
        self.connections = 0
        self.stopping = threading.Event()
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server._serve(self)

        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.address = f"rtsp://127.0.0.1:{self.port}/front"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def lose(self) -> None:
        """Ends the connection that is played."""
        self._losing.set()

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        while line := handler.rfile.readline().decode():
            method = line.split()[0]
            headers = {}
            while field := handler.rfile.readline().decode().strip():
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            reply = {"CSeq": headers["cseq"], "Session": "1"}
            body = ""
            if method == "OPTIONS":
                reply["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
            elif method == "DESCRIBE":
                reply |= {"Content-Type": "application/sdp", "Content-Base": self.address + "/"}
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=front\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    f"m=video 0 RTP/AVP {_TYPE}\r\na=rtpmap:{_TYPE} MP4V-ES/90000\r\n"
                    "a=control:track1\r\n"
                )
            elif method == "SETUP":
                reply["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
            reply["Content-Length"] = str(len(body))
            told = "".join(f"{name}: {value}\r\n" for name, value in reply.items())
            handler.wfile.write(f"RTSP/1.0 200 OK\r\n{told}\r\n{body}".encode())
            if method == "PLAY":
                self._play(handler)
                return

    def _play(self, handler: socketserver.StreamRequestHandler) -> None:
        self.connections += 1
        sequence = 0
        for number, packet in enumerate(cycle(self._packets)):
            if self.stopping.is_set():
                return
            if self._losing.is_set():
                self._losing.clear()
                return
            parts = [
                packet[at : at + _PAYLOAD_BYTES] for at in range(0, len(packet), _PAYLOAD_BYTES)
            ]
            for n, part in enumerate(parts, start=1):
                marker = _MARKER if n == len(parts) else 0
                rtp = struct.pack(
                    ">BBHII", 0x80, marker | _TYPE, sequence % 2**16, 3600 * number % 2**32, 1
                )
                framed = b"$\0" + struct.pack(">H", len(rtp) + len(part)) + rtp + part
                try:
                    handler.wfile.write(framed)
                except OSError:  # the one who watched has left
                    return
                sequence += 1


def _encoded(pictures: list[Image.Image]) -> list[bytes]:
    context = av.CodecContext.create("mpeg4", "w")
    context.width, context.height = pictures[0].size
    context.pix_fmt, context.time_base, context.bit_rate = "yuv420p", Fraction(1, 25), 4_000_000
    context.gop_size = 5
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_image(picture)
        frame.pts = number
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode()]

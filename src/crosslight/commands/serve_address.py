"""The address that others open, and the code that a phone's camera reads it from."""

from __future__ import annotations

import socket
import sys

import segno

_ANYWHERE = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}
"""Every address of this machine, and one of the documentation's that is reached by the usual way
out."""

_WHITE_ON_BLACK, _PLAIN = "\033[97;40m", "\033[0m"


def reachable(host: str) -> str:
    """The name of the host in an address that other machines can open."""
    if host in _ANYWHERE:
        host = _way_out(*_ANYWHERE[host]) or host
    return f"[{host}]" if ":" in host else host


def print_code(address: str) -> None:
    """Prints an address as a QR code, where a terminal can show it."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if sys.stdout.isatty() and encoding == "utf8":
        print("\n".join(code_lines(address)), flush=True)


def code_lines(address: str) -> list[str]:
    """The lines of a QR code, two modules above each other in a character.

    White on black whatever the terminal's colours: not every camera reads an inverted code.
    """
    modules = [list(row) for row in segno.make_qr(address, error="l").matrix_iter(border=2)]
    if len(modules) % 2:
        modules.append([1] * len(modules[0]))
    shown = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    return [
        _WHITE_ON_BLACK + "".join(map(shown.__getitem__, zip(*pair, strict=True))) + _PLAIN
        for pair in zip(modules[::2], modules[1::2], strict=True)
    ]


def _way_out(family: socket.AddressFamily, far: str) -> str | None:
    """This machine's address on its way to others; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((far, 9))
            return str(way.getsockname()[0])
    except OSError:  # there is no way out
        return None

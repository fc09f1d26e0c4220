"""What a user may say about a service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crosslight.errors import ConfigError
from crosslight.ranges import Port, Positive


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a service listens, and who may come in.

    Attributes:
        host: Address to listen on; beyond this machine, clients need a token.
        port: Port to listen on; 0: any free one.
        token_file: File with the token; None: CROSSLIGHT_TOKEN, or a new one where needed.
        users: File of users with tokens and roles of their own, see `crosslight users`.
        trusted_proxy: Addresses or networks of proxies that say truly who asks and whether TLS
            was used, such as 127.0.0.1.
        audit: File to which a line of JSON is added for every search, removal and export: who,
            when, what, how many.

    Raises:
        ConfigError: Both a token and users were given.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    token_file: Path | None = None
    users: Path | None = None
    trusted_proxy: tuple[str, ...] = ()
    audit: Path | None = None

    def __post_init__(self) -> None:
        if self.token_file is not None and self.users is not None:
            raise ConfigError(
                "Both --token-file and --users were given; users have tokens of their own, so give "
                "one of them."
            )


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What clients may ask for.

    Attributes:
        searches_per_minute: Searches that one client may make.
        upload_mib: Largest upload.
        upload_megapixels: Largest image; larger ones are not decoded.
    """

    searches_per_minute: Positive = 120.0
    upload_mib: Positive = 10.0
    upload_megapixels: Positive = 16.0

    @property
    def upload_bytes(self) -> int:
        """Largest body of a request."""
        return int(self.upload_mib * 2**20)

    @property
    def upload_pixels(self) -> int:
        """Images with more pixels are refused before they are decoded."""
        return int(self.upload_megapixels * 10**6)

"""The gallery over HTTP: an API described by OpenAPI, and one page that uses it."""

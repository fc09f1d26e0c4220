"""The one limit on waiting, against a hang: no test waits for it, no busy machine takes as long."""

HANG_S = 1200.0
HANG_MS = 1000 * HANG_S

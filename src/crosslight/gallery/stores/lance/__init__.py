"""LanceDB on one machine: the rows, exact scans of them, removal down to the bytes."""

"""Where enrolled rows are kept: one protocol, three kinds of store, and the ledger beside them."""

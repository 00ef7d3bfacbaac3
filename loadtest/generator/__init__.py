"""The load of a whole mesh: customers on a schedule over real sockets, and what it costs to serve them."""

"""The sandbox: walls around untrusted programs, and the server that runs programs within them."""

"""The gateway: sockets, authentication, limits and resume; what it says is in AG-UI's words."""

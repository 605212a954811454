"""The customers' commands: thin functions over the client, one module a topic."""

"""What an operator steers by: cells and locations that take no new servers, and actions that don't get on."""

"""The operator's side of accounts: make, change, disable and delete them, over the API and by command."""

"""What happens to an account's things, in the order it was committed: to read, and to follow as it happens.

Triggers write an event in the transaction of what happened (migration 0013), numbered at its commit. So a writer
can't forget one, who has read up to a number has missed none, and a server's come as they happened to it.
"""

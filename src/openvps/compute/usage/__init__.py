"""What servers use: the latest of it, and its history in three resolutions.

The idea: every sample is added to a row of each resolution at once, so that nothing is ever condensed afterwards, no
job can be late with it, and what is old goes by dropping a partition. It knows servers by their ids only.
"""

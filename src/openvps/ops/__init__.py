"""What prepares and runs the machine: the `openvps` command and all it does as root.

`up` and `down` are the two ends; between them each module makes one thing true and may be repeated:
`users`, `kernel`, `postgres`, `incus_daemon`, `incus_project`, `hostnet`, `images`, `seed`. The processes that run
afterwards are children of `up` (`supervisor`).
"""

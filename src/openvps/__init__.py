"""OpenVPS: a VPS cloud on Linux machines, speaking the VPS.org REST API."""

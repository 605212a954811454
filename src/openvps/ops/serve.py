"""The API process: uvicorn with our application, as the user openvps-api."""

import uvicorn

from openvps.core import settings

DRAIN_S = 10  # requests under way may finish


def main() -> int:
    """Serve until SIGTERM; requests under way are finished first."""
    config = settings.load()
    uvicorn.run(
        "openvps.app:create_app",
        factory=True,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=config.trusted_proxies,
        timeout_graceful_shutdown=DRAIN_S,
        log_config=None,  # openvps.core.log has configured it
        access_log=False,
        server_header=False,
    )
    return 0

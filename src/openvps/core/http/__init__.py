"""What every answer has, whatever answers: ASGI middlewares that know nothing of servers.

From the outside in: `envelope` (a request id, headers, and JSON when all else crashed), gzip (Starlette's),
`conditional` (ETag and HEAD). Plain ASGI, because each is paid for by every request.
"""

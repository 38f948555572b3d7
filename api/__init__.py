"""The FastAPI service around the engine: who somebody is, the transports, the statistics, the dashboard page.

Imports inside are relative, because an installation has it as `changefeed_api`, shadowing no host's `api`.
"""

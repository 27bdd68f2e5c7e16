"""The serverless host's core: handlers that do a bounded piece of work and return. No timers, no globals.

Wrapped by thin entry points (one per kind of message). Imports execution, upkeep, kernel, ports; importing it pulls in
no web framework, no migrations, no broker client.
"""

from mainspring.hosts.serverless.host import MaintenanceReport, ProcessReport, ServerlessHost
from mainspring.hosts.serverless.working import Budget

__all__ = ["Budget", "MaintenanceReport", "ProcessReport", "ServerlessHost"]

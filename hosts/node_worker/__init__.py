"""The node worker: a long-lived host that claims jobs, runs bodies concurrently, and keeps the store in order.

``worker.Worker`` runs inside any event loop; ``process`` makes a process of it. Imports execution, upkeep, kernel,
ports.
"""

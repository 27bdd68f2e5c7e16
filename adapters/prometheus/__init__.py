"""Figures of one worker for Prometheus: ``metrics.PrometheusMetrics``. Imports prometheus-client, and ports."""
